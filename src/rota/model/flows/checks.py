"""What may stand in a pipeline is checked when the pipeline is made, at import, so that no run of one finds out."""

from typing import Any

from rota.model.flows.stages import Pipeline
from rota.model.job import Job


def check_first(stage: Any, place: str) -> None:
    """Raise TypeError, which says why, unless `stage` may begin a pipeline; `place` is how the message names it."""
    if not isinstance(stage, Job | Pipeline):
        raise TypeError(
            f"{place} is {type(stage).__name__}; it is a function that @job has decorated, each(...), or a pipeline"
        )
    if stage.enqueue_options.id is not None:
        raise TypeError(
            f"{place}, {stage.name}, has an id; ids of stages are the pipeline's: give that one the id"
        )
    if stage.enqueue_options.webhook is not None:
        raise TypeError(
            f"{place}, {stage.name}, has a webhook; that is for jobs which are enqueued alone, or in a batch"
        )
    if stage.enqueue_options.tenant is not None:
        raise TypeError(
            f"{place}, {stage.name}, has a tenant; all stages are of the pipeline's: give that one the tenant"
        )


def check_later(stage: Any, place: str) -> None:
    """Raise TypeError, which says why, unless `stage` may take what another stage returned."""
    check_first(stage, place)
    first = stage.stages[0] if isinstance(stage, Pipeline) else stage
    # A pipeline that begins with `each` takes a list, which only a run can check.
    if isinstance(first, Job):
        _check_takes_one(first, place)


def _check_takes_one(job: Job[Any, Any], place: str) -> None:
    names, required = job.payload.positional, job.payload.required
    if not names:
        raise TypeError(
            f"{place}, {job.name}, takes no argument by position; it takes what the stage before returns"
        )
    if more := [name for name in required if name != names[0]]:
        raise TypeError(
            f"{place}, {job.name}, needs {', '.join(more)} too; a stage takes one argument, what the stage before "
            "returns, and others have defaults"
        )
