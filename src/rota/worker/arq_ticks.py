"""When an arq cron job runs next, through every change of the clock.

arq reckons with the clock on the wall, which is silent while an hour comes twice. Here a tick is a moment. Where a cron
job names no hour, its ticks follow real time: an hour that comes twice has them twice, one that is skipped has none.
Where it names hours, each of its times of day is one tick: of an hour that comes twice the first counts, and a time
that is skipped comes as long after the change as it lies in the gap (02:30 is 03:30).
"""

from datetime import UTC, datetime, timedelta, tzinfo

from arq.cron import CronJob, next_cron

from rota.model.schedules.clocks import Change, change_within, offset_at

SECOND = timedelta(seconds=1)
#: No clock was ever changed by more: islands have skipped a day.
LARGEST = timedelta(days=1)


def next_tick(job: CronJob, last: datetime, zone: tzinfo | None) -> datetime:
    """Return the first tick of `job` later than `last`, by the clock of `zone`; None is the system's zone."""
    once = _names_hours(job)
    since = after = last.astimezone(UTC)
    offset = offset_at(zone, after.timestamp())
    change = change_within(zone, after - LARGEST, after) if once else None
    while True:
        skipped = None
        if once and change is not None:
            after = max(after, change.at - change.gap - SECOND)
            skipped = _in_gap(job, after, change)
        tick = _tick(job, after, offset)
        change = change_within(zone, since, tick)
        if skipped is not None and skipped < tick and (change is None or skipped < change.at):
            tick, change = skipped, None
        if change is None:
            return tick.astimezone(zone)
        since, after, offset = change.at, change.at - SECOND, change.after


def _names_hours(job: CronJob) -> bool:
    """Tell whether it runs at certain hours only, not all day."""
    return job.hour is not None and (isinstance(job.hour, int) or not set(range(24)) <= set(job.hour))


def _in_gap(job: CronJob, after: datetime, change: Change) -> datetime | None:
    """Return the next tick at a time that `change` skips: the clock before it says when."""
    tick = _tick(job, after, change.before)
    return tick if tick < change.at + change.gap else None


def _tick(job: CronJob, after: datetime, offset: timedelta) -> datetime:
    """Return the first tick later than `after` by a clock that is never changed."""
    wall = (after + offset).replace(tzinfo=None)
    tick = next_cron(
        wall,
        month=job.month,
        day=job.day,
        weekday=job.weekday,
        hour=job.hour,
        minute=job.minute,
        second=job.second,
        microsecond=job.microsecond,
    )
    return tick.replace(tzinfo=UTC) - offset
