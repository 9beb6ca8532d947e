"""The settings of one queue: the options under QUEUES__, and the values in force with the gaps filled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import BaseModel, ConfigDict

from rota.model.policies.backoff import Backoff, BackoffKind
from rota.model.policies.limits import RateLimit
from rota.settings.types import (
    Attempts,
    Concurrency,
    Duration,
    Factor,
    Fraction,
    PositiveDuration,
    Rate,
    Weight,
)
from rota.wire.keys import check_queue

QUEUES = "QUEUES__"


class QueueOptions(BaseModel):
    """The variables QUEUES__<QUEUE>__<OPTION> of one queue; where an option is None, the general setting holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    concurrency: Concurrency | None = None
    """In place of QUEUE_CONCURRENCY."""

    fleet_concurrency: Concurrency | None = None
    """How many jobs of this queue run at once over all worker processes; else any number."""

    max_attempts: Attempts | None = None
    """In place of MAX_ATTEMPTS."""

    backoff: BackoffKind | None = None
    """In place of BACKOFF."""

    backoff_base: Duration | None = None
    """In place of BACKOFF_BASE, in seconds."""

    backoff_factor: Factor | None = None
    """In place of BACKOFF_FACTOR."""

    backoff_max: Duration | None = None
    """In place of BACKOFF_MAX, in seconds."""

    backoff_jitter: Fraction | None = None
    """In place of BACKOFF_JITTER."""

    timeout: PositiveDuration | None = None
    """In place of JOB_TIMEOUT, in seconds."""

    keep_result: Duration | None = None
    """In place of KEEP_RESULT, in seconds."""

    keep_log: bool | None = None
    """In place of KEEP_LOG."""

    rate_limit: Rate | None = None
    """In place of QUEUE_RATE_LIMIT."""

    weight: Weight | None = None
    """Jobs that start for each one of a queue with weight 1, where WORKER_CONCURRENCY leaves too few slots; else 1."""

    slo: PositiveDuration | None = None
    """In place of QUEUE_SLO, in seconds."""


OPTIONS = tuple(name.upper() for name in QueueOptions.model_fields)


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The settings in force for one queue, which a job or an enqueue may override; times in seconds.

    `concurrency` is the queue's limit in one process, `fleet_concurrency` and `rate_limit` are its limits over all
    processes, and `weight` is its share where WORKER_CONCURRENCY caps the process. `slo` is the longest acceptable wait
    of a job.
    """

    name: str
    concurrency: int
    max_attempts: int
    backoff: Backoff
    timeout: float
    keep_result: float
    rate_limit: RateLimit | None = None
    fleet_concurrency: int | None = None
    weight: float = 1.0
    slo: float = 60.0
    keep_log: bool = True


def in_variables(name: str) -> str:
    """Return the queue's name as it is in variable names, in lower case: they cannot contain `-`."""
    return name.replace("-", "_")


def variable_prefix(queue: str) -> str:
    """Return the beginning of the variables of `queue`; for the general settings, "", it is empty."""
    return f"{QUEUES}{queue.upper()}__" if queue else ""


def by_variable(queues: object) -> object:
    """Return a mapping `queues` with each queue under its name in variables."""
    return {in_variables(str(k)): v for k, v in queues.items()} if isinstance(queues, Mapping) else queues


def misnamed(variables: Iterable[str]) -> dict[str, str]:
    """Return the problem with each of `variables` under QUEUES__ that names no option of a queue."""
    problems = ((name, _problem(name)) for name in variables)
    return {name: f"{name} {problem}" for name, problem in problems if problem}


def _problem(variable: str) -> str | None:
    queue, _, option = variable.removeprefix(QUEUES).rpartition("__")
    if not queue:
        return f"names no option; write QUEUES__<QUEUE>__<OPTION> with one of: {', '.join(OPTIONS)}"
    if variable != in_variables(variable).upper():
        return f"is not written as variables are; write {in_variables(variable).upper()}"
    if "__" in queue:
        return f"has a part too many; write QUEUES__<QUEUE>__<OPTION> with one of: {', '.join(OPTIONS)}"
    if option not in OPTIONS:
        close = get_close_matches(option, OPTIONS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"names an option that no queue has; {hint}the options are: {', '.join(OPTIONS)}"
    try:
        check_queue(queue.lower())
    except ValueError as error:
        return f"names no queue: {error}"
    return None
