"""What a client is given to enqueue: a job, a pipeline, or calls of jobs, and nothing else."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from rota.model.flows.stages import Pipeline
from rota.model.job import Call, Job

R = TypeVar("R")


def check_enqueueable(job: Any) -> None:
    """Raise TypeError for what is neither a job nor a pipeline."""
    if not isinstance(job, Job | Pipeline):
        raise TypeError(_no_job(job))


def checked_calls(calls: Iterable[Any]) -> Iterator[Call[Any]]:
    """Yield the calls one by one. Raises TypeError for what is none."""
    for call in calls:
        if not isinstance(call, Call):
            name = f"{call.name}.call(...)" if isinstance(call, Job) else "the call of a job"
            raise TypeError(f"enqueue_many takes calls, not {type(call).__name__}; write {name}")
        yield call


def parser_of(job: Job[Any, R] | None) -> Callable[[Any], R] | None:
    """Return what makes the typed result of a job of its JSON value; None for a job that is not known."""
    return None if job is None else job.result.parse


def _no_job(given: Any) -> str:
    """Return why nothing can be enqueued of what was given in place of a job."""
    if isinstance(given, Call):
        name = given.job.name
        return f"a call of {name} is no job; write enqueue({name}, ...) with its arguments, or enqueue_many([...])"
    return f"{given!r} is no job; enqueue a function that @job has decorated, or a pipeline"
