"""A schedule as it is declared on a job: its times, its arguments, and what becomes of ticks that could not run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from rota.model.schedules.times import Times

#: What becomes of the ticks that nobody could run at their time: none runs, or one for all of them.
Missed = Literal["run_once", "skip"]
#: What becomes of a tick while the job of an earlier one is alive: it is left out, or runs beside it.
Overlap = Literal["skip", "allow"]

#: Why the job of a tick is cancelled at its start: it is later than "skip" allows, or the one before is alive.
TOO_LATE = "its time is over, and its schedule skips what it missed"
OVERLAPPED = "the run before it is still alive"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times at which a job runs by itself; `@every` makes one.

    times: when.
    name: unlike that of any other schedule; None leaves the job's full name, with a number where it has several.
    arguments: what the job is called with.
    missed: "run_once" runs once for all ticks that were missed; "skip" waits for the next.
    overlap: "skip" leaves out a tick while an earlier one's job is alive, "allow" does not.
    """

    times: Times
    name: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    missed: Missed = "run_once"
    overlap: Overlap = "skip"


def check_choice(name: str, value: Any, allowed: Any) -> None:
    """Raise ValueError unless `value` is one of the texts that `allowed`, a Literal, names."""
    choices = get_args(allowed)
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; choose one of: {', '.join(choices)}")
