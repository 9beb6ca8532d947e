"""How many workers a load needs: the formula, the threshold rule beside it, and the pace at which a fleet follows them.

In words: the slots that keep up with what arrives, and those that work off what waits within half of the objective,
over the slots of a worker; never more slots than there are jobs to fill them. All of it is arithmetic on values: clocks
and counters are read elsewhere.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

#: What waits is worked off within this part of the objective: the other part is for workers to boot.
HASTE = 0.5
#: The threshold rule: one worker more above any of these; jobs, seconds, percent.
READY, WAIT, CPU = 100, 60.0, 80.0
#: One worker fewer by the threshold rule needs a processor that is this idle, percent.
CALM = 40.0
_ROUNDING = 1e-9

Policy = Literal["formula", "threshold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one queue has to do, and the slots that a worker has for it.

    :param arrivals: jobs that come to be due, a second; a mean over minutes.
    :param job_seconds: how long a job keeps its slot, seconds.
    :param ready: jobs that may start and wait for a slot; what a limit or a pause keeps back is none of them.
    :param slo: the longest acceptable wait, seconds.
    :param slots: jobs of this queue that one worker runs at once.
    :param rate: starts a second that the queue's own rate limit allows.
    :param active: jobs that run now.
    """

    arrivals: float
    job_seconds: float
    ready: int
    slo: float
    slots: int
    rate: float = math.inf
    active: float = math.inf

    def __post_init__(self) -> None:
        if self.slo <= 0:
            raise ValueError(f"the objective is {self.slo:g} s; it has to be more than 0")
        if self.slots < 1:
            raise ValueError(f"a worker has {self.slots} slots; it has to have at least 1")


def slots_needed(load: Load) -> float:
    """Slots that keep the objective: for what arrives, and for what waits."""
    starts = load.arrivals + load.ready / (load.slo * HASTE)
    # What a rate limit keeps from starting, no worker will start.
    slots = min(starts, load.rate) * load.job_seconds
    # A slot is of use to a job that is there, or will be by the time that a new worker is. Of jobs that take much
    # longer than the objective, each one would otherwise count for many.
    return min(slots, load.active + load.ready + load.arrivals * load.slo * HASTE)


def workers_needed(loads: Iterable[Load], cap: int | None = None) -> int:
    """Workers that keep every queue's objective, where each worker serves all of these queues.

    `cap` is the most that one process runs over all of its queues (None: each queue has its slots to itself).
    """
    needs = [(slots_needed(load), load.slots) for load in loads]
    workers = [_ceil(need / (slots if cap is None else min(slots, cap))) for need, slots in needs]
    if cap is not None:
        workers.append(_ceil(sum(need for need, _ in needs) / cap))
    return max(workers, default=0)


def _ceil(value: float) -> int:
    # 0.1 · 30 is a little more than 3 to a computer, and a worker more to `ceil`.
    return math.ceil(value - _ROUNDING)


def by_threshold(workers: int, *, ready: int, wait: float, cpu: float | None = None) -> int:
    """The rule of thumb: one worker more while much waits, long, or the processor is busy; one fewer when all is calm.

    `wait` in seconds, `cpu` in percent (None: not known).
    """
    if ready > READY or wait > WAIT or (cpu is not None and cpu > CPU):
        return workers + 1
    calm = ready == 0 and (cpu is None or cpu < CALM)
    return workers - 1 if calm else workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a fleet may change; times in seconds.

    :param least: workers that it never goes below.
    :param most: workers that it never goes above.
    :param scale_in_after: for so long, nothing more may have been wanted, before a worker goes.
    :param cooldown: between a change and the next scale-in.
    :param steady: whether a scale-out waits for the cool-down too, as a rule that knows no figure must.
    """

    least: int = 1
    most: int = 10
    scale_in_after: float = 300.0
    cooldown: float = 30.0
    steady: bool = False

    def clamp(self, workers: int) -> int:
        """`workers` within the limits."""
        return max(self.least, min(self.most, workers))


@dataclass(frozen=True, slots=True)
class Course:
    """Where a fleet stands: its workers, when that changed, and what was wanted lately, as (time, workers)."""

    workers: int
    since: float
    changed_at: float = -math.inf
    wanted: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers there shall be, and why: `out`, `in`, `same`, or what it waits for."""

    workers: int
    why: Literal["out", "in", "same", "cooling down", "until it lasts"]


def steer(course: Course, desired: int, now: float, pace: Pace) -> tuple[Course, Decision]:
    """Where the fleet goes when `desired` workers are wanted at `now`, seconds of any clock that only goes forward.

    Out at once; in only to the most that was wanted within `scale_in_after`, and `cooldown` after the last change.
    """
    desired = pace.clamp(desired)
    horizon = now - pace.scale_in_after
    # What was wanted last before the horizon was wanted still at it.
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
    # Above the limit is no place to linger.
    target = min(target, pace.most)
    if target >= stay:
        return Decision(stay, "until it lasts")
    return Decision(target, "in") if cool else Decision(stay, "cooling down")


def _most(wanted: Sequence[tuple[float, int]]) -> int:
    return max(workers for _, workers in wanted)
