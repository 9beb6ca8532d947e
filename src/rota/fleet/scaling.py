"""How many workers a load needs: by the formula or by the threshold rule, and the pace at which a fleet follows.

The formula adds the slots that keep up with arrivals to the slots that work off the waiting jobs within half of the
objective, and divides by the slots of a worker; it never counts more slots than there are jobs to fill them. All of
this is arithmetic on values: clocks and counters are read elsewhere.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

#: Waiting jobs are worked off within this part of the objective; in the other part, workers boot.
HASTE = 0.5
#: The threshold rule adds a worker above any of these: waiting jobs, seconds of latency, percent of the processors.
READY, WAIT, CPU = 100, 60.0, 80.0
#: The threshold rule removes a worker only below this, in percent of the processors.
CALM = 40.0
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The work of one queue, and the slots that a worker has for it.

    :param arrivals: jobs that come to be due, per second; a mean over minutes.
    :param job_seconds: how long a job keeps its slot, in seconds.
    :param ready: jobs that wait for a slot and for nothing else, such as a limit or the end of a pause.
    :param slo: the longest acceptable wait, in seconds.
    :param slots: jobs of this queue that one worker runs at once.
    :param rate: starts per second that the queue's own rate limit allows.
    :param active: jobs that run now.
    :param most: jobs that the queue's own limit lets run at once in the whole fleet.
    """

    arrivals: float
    job_seconds: float
    ready: int
    slo: float
    slots: int
    rate: float = math.inf
    active: float = math.inf
    most: float = math.inf

    def __post_init__(self) -> None:
        if self.slo <= 0:
            raise ValueError(f"the objective is {self.slo:g} s; it has to be more than 0")
        if self.slots < 1:
            raise ValueError(f"a worker has {self.slots} slots; it has to have at least 1")


def slots_needed(load: Load) -> float:
    """Return the slots that keep the objective, for arrivals and for waiting jobs."""
    starts = load.arrivals + load.ready / (load.slo * HASTE)
    # No worker starts a job that a rate limit keeps back.
    slots = min(starts, load.rate) * load.job_seconds
    # A slot is useful only to a job that is there, or will be there once a new worker is. Without this bound, a job
    # that takes much longer than the objective would count for many slots.
    return min(slots, load.most, load.active + load.ready + load.arrivals * load.slo * HASTE)


def workers_needed(loads: Iterable[Load], cap: int | None = None) -> int:
    """Return the workers that keep every queue's objective, where each worker serves all of these queues.

    `cap` is the most that one process runs over all of its queues (None: each queue has its slots to itself).
    """
    needs = [(slots_needed(load), load.slots) for load in loads]
    workers = [_ceil(need / (slots if cap is None else min(slots, cap))) for need, slots in needs]
    if cap is not None:
        workers.append(_ceil(sum(need for need, _ in needs) / cap))
    return max(workers, default=0)


def _ceil(value: float) -> int:
    # As floats, 0.1 · 30 is a little more than 3, which `ceil` would make a worker more.
    return math.ceil(value - _ROUNDING)


def by_threshold(workers: int, *, ready: int, wait: float, cpu: float | None = None) -> int:
    """Return one worker more under pressure (jobs that wait, latency, busy processors), one fewer when all is calm.

    `wait` is in seconds, `cpu` in percent (None: unknown).
    """
    if ready > READY or wait > WAIT or (cpu is not None and cpu > CPU):
        return workers + 1
    calm = ready == 0 and (cpu is None or cpu < CALM)
    return workers - 1 if calm else workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a fleet may change; times are in seconds.

    :param least: the fewest workers.
    :param most: the most workers.
    :param scale_in_after: a fleet shrinks only to the most workers that were wanted within this time.
    :param cooldown: the time between a change and the next scale-in.
    :param steady: whether a scale-out waits for the cool-down too. The threshold rule needs that: it does not know how
        many workers are missing, and would add one each turn until the first of them has booted.
    """

    least: int = 1
    most: int = 10
    scale_in_after: float = 300.0
    cooldown: float = 30.0
    steady: bool = False

    def clamp(self, workers: int) -> int:
        """Return the number within the limits that is nearest to `workers`."""
        return max(self.least, min(self.most, workers))


@dataclass(frozen=True, slots=True)
class Course:
    """The recent past of a fleet; times are in seconds.

    :param workers: the workers that it was given last.
    :param since: when the course began.
    :param changed_at: when `workers` changed.
    :param wanted: how many workers were wanted lately, as (time, workers).
    """

    workers: int
    since: float
    changed_at: float = -math.inf
    wanted: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers the fleet is given, and why: `out`, `in`, `same`, or what a change waits for."""

    workers: int
    why: Literal["out", "in", "same", "cooling down", "until it lasts"]


def steer(course: Course, desired: int, now: float, pace: Pace) -> tuple[Course, Decision]:
    """Return the course of a fleet for which `desired` workers are wanted at `now`, and the decision for this turn.

    `now` is in seconds of a clock that only goes forward. A fleet grows at once. It shrinks only to the most that was
    wanted within `scale_in_after`, and `cooldown` after the last change.
    """
    desired = pace.clamp(desired)
    horizon = now - pace.scale_in_after
    # The last number that was wanted before the horizon was still wanted at the horizon.
    history = (*course.wanted, (now, desired))
    before = [one for one in history if one[0] <= horizon][-1:]
    course = replace(course, wanted=(*before, *(one for one in history if one[0] > horizon)))
    decision = _decide(course, desired, now, pace)
    if decision.workers != course.workers:
        course = replace(course, workers=decision.workers, changed_at=now)
    return course, decision


def _decide(course: Course, desired: int, now: float, pace: Pace) -> Decision:
    stay = course.workers
    cool = now - course.changed_at >= pace.cooldown
    if desired > stay:
        hold = pace.steady and not cool and stay >= pace.least
        return Decision(stay, "cooling down") if hold else Decision(desired, "out")
    if desired == stay:
        return Decision(stay, "same")
    target = _most(course.wanted) if now - course.since >= pace.scale_in_after else stay
    # A fleet above its limit does not wait for `scale_in_after`.
    target = min(target, pace.most)
    if target >= stay:
        return Decision(stay, "until it lasts")
    return Decision(target, "in") if cool else Decision(stay, "cooling down")


def _most(wanted: Sequence[tuple[float, int]]) -> int:
    return max(workers for _, workers in wanted)
