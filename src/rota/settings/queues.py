"""The settings of one queue: what may be set under QUEUES__, and what holds with the gaps filled."""

from collections.abc import Mapping
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
    """What QUEUES__<QUEUE>__<OPTION> said of one queue; None where it said nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    concurrency: Concurrency | None = None
    max_attempts: Attempts | None = None
    backoff: BackoffKind | None = None
    backoff_base: Duration | None = None
    backoff_factor: Factor | None = None
    backoff_max: Duration | None = None
    backoff_jitter: Fraction | None = None
    timeout: PositiveDuration | None = None
    keep_result: Duration | None = None
    rate_limit: Rate | None = None
    weight: Weight | None = None
    slo: PositiveDuration | None = None


OPTIONS = tuple(name.upper() for name in QueueOptions.model_fields)


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What holds for the jobs of one queue, unless a job or an enqueue says otherwise; times in seconds.

    `concurrency` is the queue's limit in one process, `rate_limit` one for all processes together, and `weight` its
    share where WORKER_CONCURRENCY caps the process. `slo` is the longest acceptable wait of a job.
    """

    name: str
    concurrency: int
    max_attempts: int
    backoff: Backoff
    timeout: float
    keep_result: float
    rate_limit: RateLimit | None = None
    weight: float = 1.0
    slo: float = 60.0


def in_variables(name: str) -> str:
    """The queue's name as variable names have it, in small letters: variables know no `-`."""
    return name.replace("-", "_")


def variable_prefix(queue: str) -> str:
    """What the variables of `queue` begin with; those for all queues begin with nothing, as "" does."""
    return f"{QUEUES}{queue.upper()}__" if queue else ""


def by_variable(queues: object) -> object:
    """`queues` by their names in variables, however they were written."""
    return {in_variables(str(k)): v for k, v in queues.items()} if isinstance(queues, Mapping) else queues


def split_queues(variables: Mapping[str, str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The values under QUEUES__ by queue and option, and a problem for each name that is none."""
    queues: dict[str, dict[str, str]] = {}
    problems = []
    for variable, value in variables.items():
        queue, _, option = variable.removeprefix(QUEUES).rpartition("__")
        problem = _problem(variable, queue, option)
        if problem:
            problems.append(f"{variable} {problem}")
        else:
            queues.setdefault(queue.lower(), {})[option.lower()] = value
    return queues, problems


def _problem(variable: str, queue: str, option: str) -> str | None:
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
