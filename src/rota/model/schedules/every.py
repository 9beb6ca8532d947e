"""`@every`: lets a job run by the clock, and complains at import of what can never run."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

from rota.errors import InvalidPayload
from rota.model.job import Job
from rota.model.schedules.schedule import Missed, Overlap, Schedule, check_choice
from rota.model.schedules.times import times_of
from rota.names import check_name

P = ParamSpec("P")
R = TypeVar("R")

#: The options of an enqueue that mean nothing to a schedule, which says by itself when and under which ids.
_NOT_HERE = ("delay", "at", "id", "on_taken")


def every(
    when: str | timedelta,
    *,
    tz: str = "UTC",
    args: Mapping[str, Any] | None = None,
    missed: Missed = "run_once",
    overlap: Overlap = "skip",
    name: str | None = None,
) -> Callable[[Job[P, R]], Job[P, R]]:
    """Run a job by the clock: `@every("0 4 * * *", tz="Europe/Berlin")` or `@every("5m")`, above `@job`.

    `when` is a cron expression of five fields, @hourly, @daily, @weekly, @monthly or @yearly; or an interval, as a
    timedelta or "30s", "5m", "1h". `args` are the job's arguments. Where nothing could run at the time of a tick,
    `missed="run_once"` runs once for all that were missed, and "skip" waits for the next. A tick whose predecessor is
    still alive is left out with `overlap="skip"`, and runs beside it with "allow". `name` is how the schedule is known;
    by default it is the job's full name, with a number from the second schedule on.

    Raises ValueError or TypeError, at import, for what can never run.
    """
    times = times_of(when, tz)
    check_choice("missed", missed, Missed)
    check_choice("overlap", overlap, Overlap)
    if name is not None:
        check_name("schedule", name)
    if args is not None and not isinstance(args, Mapping):
        raise TypeError(f'args is {type(args).__name__}; give arguments by name: args={{"to": "ann"}}')
    schedule = Schedule(times, name, dict(args or {}), missed, overlap)

    def scheduled(job: Job[P, R]) -> Job[P, R]:
        _check(job, schedule)
        # The decorator that is read first is called last.
        return replace(job, schedules=(schedule, *job.schedules))

    return scheduled


def _check(job: Any, schedule: Schedule) -> None:
    if not isinstance(job, Job):
        raise TypeError(f"@every is for jobs, not {type(job).__name__}; write it above @job")
    for option in _NOT_HERE:
        if getattr(job.enqueue_options, option) is not None:
            raise ValueError(f"job {job.name}: @every says when it runs; leave out the option {option!r}")
    if not job.payload.is_ready:
        return  # The registry looks again, once every name is defined.
    try:
        job.payload.bind((), schedule.arguments)
    except InvalidPayload as error:
        raise ValueError(f"@every of the job {job.name}: {error}; give what it takes as args={{…}}") from None
