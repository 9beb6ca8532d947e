"""Why a queue is as it is: its settings with where each comes from, and the workers that it needs, in numbers."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from rota.api.pages.words import counted, duration
from rota.fleet.fleet import QueueNeed
from rota.fleet.scaling import HASTE, Load, slots_needed, workers_needed
from rota.model.history.series import QueueHistory
from rota.model.policies.backoff import Backoff
from rota.settings.queues import QueueSettings
from rota.settings.settings import Settings

#: The load that is planned for, beside that of now, as a multiple of the highest of late.
MANY = 10
#: From here on, whole numbers are exact enough.
_WHOLE = 10
#: The settings of a queue that are shown, and what each means.
_MEANINGS = {
    "concurrency": "jobs at once in each worker",
    "fleet_concurrency": "jobs at once over all workers",
    "rate_limit": "starts over all workers",
    "weight": "share of a worker's slots",
    "slo": "objective: the longest acceptable wait",
    "max_attempts": "attempts",
    "backoff": "time before the next attempt",
    "timeout": "longest run of an attempt",
    "keep_result": "results are kept",
    "keep_log": "what handlers log is kept",
}
_TIMES = ("slo", "timeout", "keep_result")


class Held(NamedTuple):
    """A setting in force: what it means, its value in words, and the variable it comes from; "" for the default."""

    meaning: str
    value: str
    origin: str


class Plan(NamedTuple):
    """The workers that one load needs: which load, and the numbers of the formula."""

    words: str
    load: Load
    slots: float
    workers: int

    @property
    def arrivals(self) -> str:
        """The jobs that come in a second."""
        return f"{self.load.arrivals:.2g}" if self.load.arrivals < _WHOLE else f"{self.load.arrivals:,.0f}"

    @property
    def is_rated(self) -> bool:
        """Whether the queue's own rate limit lets fewer jobs start than the load has."""
        return self.load.arrivals + self.load.ready / (self.load.slo * HASTE) > self.load.rate


def held(settings: Settings, name: str) -> Iterator[Held]:
    """Yield the settings in force for a queue, as this process has them."""
    own = settings.queue(name)
    for option, meaning in _MEANINGS.items():
        yield Held(meaning, _value(option, getattr(own, option)), settings.origin(name, option))


def plans(need: QueueNeed, history: QueueHistory, ready: int) -> list[Plan]:
    """Return the workers for the load of now, for the highest of a history, and for ten times that.

    What waits on a paused queue is counted: it is what there is to do once the queue is resumed.
    """
    load, step = replace(need.load, ready=ready), history.step
    started = max((point.started for point in history.points), default=0)
    highest = replace(load, arrivals=started / step, ready=0, active=started / step * load.job_seconds)
    many = replace(highest, arrivals=highest.arrivals * MANY, active=highest.active * MANY)
    loads = {
        "once it is resumed" if need.paused else "now": load,
        f"the most within {duration(step)}": highest,
        "ten times that": many,
    }
    cap = need.cap or None
    return [Plan(words, one, slots_needed(one), workers_needed([one], cap)) for words, one in loads.items()]


def limits(own: QueueSettings) -> list[str]:
    """Return the limits over all workers that a queue has, in words."""
    rate, at_once = own.rate_limit, own.fleet_concurrency
    found = [] if rate is None else [f"{counted(rate.most, 'start')} in {duration(rate.per)}"]
    return found + ([] if at_once is None else [f"{counted(at_once, 'job')} at once"])


def _value(option: str, value: Any) -> str:
    if isinstance(value, Backoff):
        return _backoff(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "any number"
    return duration(value) if option in _TIMES else f"{value:g}" if isinstance(value, float) else str(value)


def _backoff(own: Backoff) -> str:
    first, *others = (duration(own.delay(attempt, lambda: 0.5)) for attempt in (1, 2, 3))
    if set(others) == {first}:
        return first
    return f"{', '.join((first, *others))} …, at most {duration(own.ceiling)}"
