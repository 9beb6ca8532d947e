"""Check-ins: Sentry's monitors are told when a tick of a schedule starts and how it ends, and notice one that fails to.

A monitor makes itself of its first check-in. Sentry counts in minutes: a schedule at an interval of anything else has
no monitor.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

from rota.model.event import Event, EventType
from rota.model.registry import Scheduled
from rota.model.schedules.schedule import OVERLAPPED
from rota.model.schedules.times import Cron, Times
from rota.seams import Selective
from rota.telemetry.tracing.sentry.sdk import is_on
from rota.wire.keys import tick_of

_HEARD = frozenset({EventType.STARTED, EventType.COMPLETED, EventType.DEAD, EventType.CANCELLED})
#: The longest name of a monitor.
_LONGEST = 50
_MINUTE = 60_000


class _Monitor(NamedTuple):
    slug: str
    config: Any


class CheckIns(Selective):
    """A subscriber, which hears of the starts and ends of the jobs of all schedules."""

    def __init__(self, schedules: Iterable[Scheduled]) -> None:
        self._monitors = {
            one.name: _Monitor(one.name.replace(":", "-")[:_LONGEST], config)
            for one in schedules
            if (config := _config(one.schedule.times))
        }

    def wants(self, event_type: EventType) -> bool:
        return bool(self._monitors) and event_type in _HEARD and is_on()

    def __call__(self, event: Event) -> None:
        tick = tick_of(event.id)
        monitor = self._monitors.get(tick[0]) if tick else None
        if monitor is None or (event.type is EventType.STARTED and event.attempt > 1):
            return
        from sentry_sdk.crons import capture_checkin  # noqa: PLC0415 - an extra

        capture_checkin(
            monitor_slug=monitor.slug,
            # Of the job's id, so that a worker can end what another has begun.
            check_in_id=sha256(event.id.encode()).hexdigest()[:32],
            status=_status(event),
            duration=event.duration,
            monitor_config=monitor.config,
        )


def _status(event: Event) -> str:
    if event.type is EventType.STARTED:
        return "in_progress"
    # A tick that was left out while the one before is alive says nothing new: that one is to end in time.
    left_out = event.type is EventType.CANCELLED and str(event.error) == OVERLAPPED
    return "ok" if event.type is EventType.COMPLETED or left_out else "error"


def _config(times: Times) -> dict[str, Any]:
    """Return how Sentry writes these times; {} for times that it cannot write."""
    if isinstance(times, Cron):
        return {"schedule": {"type": "crontab", "value": times.expression}, "timezone": times.zone}
    minutes, rest = divmod(times.milliseconds, _MINUTE)
    if rest:
        return {}
    return {"schedule": {"type": "interval", "value": minutes, "unit": "minute"}}
