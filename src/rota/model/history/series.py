"""A queue's history as it is asked for: a point for each step of some time, with counts and percentiles, and marks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

from rota.model.history.scale import percentile
from rota.model.history.tallies import OUTCOMES, Tallies

#: The longest time of which there is a history, in seconds, and the shortest step.
LONGEST, MINUTE = 72 * 3600.0, 60
#: Steps that are chosen from, in seconds: each divides a day.
_STEPS = (60, 300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


@dataclass(frozen=True, slots=True)
class Distribution:
    """How long attempts took, or waited. A percentile is off by at most 12.2 %; below 1 ms it is told as 1 ms.

    :param counts: how many there were in each bucket of `rota.model.history.scale`, by its place.
    """

    counts: Mapping[int, int] = field(default_factory=dict, repr=False)

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.counts.values())

    @property
    def p50(self) -> float | None:
        """The median, in seconds; None without a value."""
        return percentile(self.counts, 0.50)

    @property
    def p95(self) -> float | None:
        """The value that 95 of 100 do not exceed, in seconds; None without a value."""
        return percentile(self.counts, 0.95)

    @property
    def p99(self) -> float | None:
        """The value that 99 of 100 do not exceed, in seconds; None without a value."""
        return percentile(self.counts, 0.99)

    def to_json(self) -> dict[str, float | None]:
        """Return the number of values, and the percentiles in seconds."""
        return {"count": self.count, "p50": self.p50, "p95": self.p95, "p99": self.p99}

    def percentile(self, part: float) -> float | None:
        """Return the value, in seconds, that a part of all do not exceed, from 0 to 1. Raises ValueError."""
        return percentile(self.counts, part)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """One step of a queue's history. What ended is counted when it ended, what started when it started.

    :param at: when the step began, in UTC.
    :param started: attempts that started.
    :param completed: attempts that succeeded.
    :param retried: attempts that failed and will be repeated.
    :param dead: jobs that died, whether or not they had run.
    :param cancelled: attempts that were cancelled, and jobs that a worker found cancelled.
    :param lost: attempts that ended with their worker, counted by the one that took their jobs over.
    :param snoozed: attempts that put themselves off.
    :param interrupted: attempts that were put back because their worker stopped.
    :param wait: how long attempts waited for a slot.
    :param run: how long attempts ran.
    """

    at: datetime
    started: int = 0
    completed: int = 0
    retried: int = 0
    dead: int = 0
    cancelled: int = 0
    lost: int = 0
    snoozed: int = 0
    interrupted: int = 0
    wait: Distribution = field(default_factory=Distribution)
    run: Distribution = field(default_factory=Distribution)

    @classmethod
    def of(cls, at: float, tallies: Tallies) -> Self:
        """Return the point of what was counted since `at`, in seconds since 1970."""
        counts = {name: tallies.outcomes.get(place, 0) for place, name in enumerate(OUTCOMES)}
        wait, run = Distribution(tallies.waits), Distribution(tallies.runs)
        return cls(at=datetime.fromtimestamp(at, UTC), started=wait.count, wait=wait, run=run, **counts)

    def to_json(self) -> dict[str, Any]:
        """Return the point as it is shown to programs."""
        counts = {name: getattr(self, name) for name in ("started", *OUTCOMES)}
        return {"at": self.at, **counts, "wait": self.wait.to_json(), "run": self.run.to_json()}


class DeployMark(NamedTuple):
    """The moment at which a version of the code began to run on a queue, and the worker process that was the first."""

    at: datetime
    version: str
    process: str


@dataclass(frozen=True, slots=True)
class QueueHistory:
    """A queue's history over some time.

    :param queue: the queue's short name.
    :param step: from one point to the next, in seconds. Points begin at whole multiples of it since 1970, in UTC.
    :param points: a point for each step, the oldest first; the last one goes on.
    :param marks: the versions of the code that began to run meanwhile, the oldest first.
    :param total: the sum of all points.
    """

    queue: str
    step: float
    points: tuple[HistoryPoint, ...]
    marks: tuple[DeployMark, ...]
    total: HistoryPoint

    def to_json(self) -> dict[str, Any]:
        """Return the history as it is shown to programs."""
        return {
            "queue": self.queue,
            "step": self.step,
            "points": [point.to_json() for point in self.points],
            "marks": [mark._asdict() for mark in self.marks],
            "total": self.total.to_json(),
        }

    def series(self, name: str) -> list[tuple[datetime, float | None]]:
        """Return one value of each point with its time: `completed`, or `wait_p95`, `run_p50` and the like.

        Raises ValueError for a name that is none.
        """
        kind, _, what = name.partition("_")
        if name in ("started", *OUTCOMES):
            return [(point.at, getattr(point, name)) for point in self.points]
        if kind in ("wait", "run") and what in ("p50", "p95", "p99"):
            return [(point.at, getattr(getattr(point, kind), what)) for point in self.points]
        known = ", ".join(("started", *OUTCOMES))
        raise ValueError(f"there is no series {name!r}; choose one of {known}, or wait_p50 … run_p99")


class Window(NamedTuple):
    """The time that a history is asked for: `period` seconds up to now, in steps of `step` seconds."""

    period: float
    step: int

    @classmethod
    def of(cls, period: float | timedelta, step: float | timedelta | None, most: int) -> "Window":
        """Return the window of a period. Without a step it is the shortest one that makes at most `most` points.

        Raises ValueError for a time that has none, and for a step that is not a number of whole minutes.
        """
        period, step = _seconds(period), None if step is None else _seconds(step)
        if not MINUTE <= period <= LONGEST:
            raise ValueError(
                f"the period is {period:g} s; there is a history of 60 to {LONGEST:.0f} s, 72 hours"
            )
        if step is None:
            return cls(period, next(one for one in _STEPS if period / one <= most or one == _STEPS[-1]))
        if not MINUTE <= step <= LONGEST or step % MINUTE:
            raise ValueError(f"the step is {step:g} s; it is a number of whole minutes, up to 72 hours")
        return cls(period, int(step))

    def begin(self, now: float) -> int:
        """Return when the first step begins, in seconds since 1970."""
        return int((now - self.period) // self.step) * self.step


def fold(
    queue: str,
    window: Window,
    now: float,
    minutes: Iterable[tuple[int, Tallies]],
    marks: Iterable[DeployMark],
) -> QueueHistory:
    """Return the history that minutes make, each with its time in seconds since 1970; others are passed over."""
    begin = window.begin(now)
    steps = [Tallies() for _ in range(int((now - begin) // window.step) + 1)]
    total = Tallies()
    for at, counted in minutes:
        if begin <= at <= now:
            steps[(at - begin) // window.step].add(counted)
    for one in steps:
        total.add(one)
    since = datetime.fromtimestamp(begin, UTC)
    return QueueHistory(
        queue,
        float(window.step),
        tuple(HistoryPoint.of(begin + number * window.step, one) for number, one in enumerate(steps)),
        tuple(sorted(mark for mark in marks if mark.at >= since)),
        HistoryPoint.of(begin, total),
    )


def _seconds(time: float | timedelta) -> float:
    return time.total_seconds() if isinstance(time, timedelta) else time
