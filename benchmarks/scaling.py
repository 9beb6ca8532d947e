"""What a rule for scaling comes to: a queue and its workers, simulated job by job, under the rules that the engine has.

    python -m benchmarks.scaling

An even load, then for ten minutes twenty times as much of it; an objective of 60 s; a worker boots for 20 s and has ten
slots. The table shows the share of jobs that started later than the objective, and the hours of workers that were paid.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rota.fleet.history import History, Sample
from rota.fleet.scaling import Course, Load, Pace, by_threshold, steer, workers_needed

SLO, BOOT, SLOTS = 60.0, 20.0, 10
HOURS, BURST_AT, BURST_LASTS, BURST = 4.0, 3600.0, 600.0, 20
EVERY = 5.0
#: The autoscaler's defaults, with a higher maximum.
MOST = 40
SCALE_IN_AFTER, COOLDOWN = 300.0, 30.0
#: The wait between two additions of a worker, for rules that only say "more" or "fewer".
ONE_MORE = 60.0
OUTPUT = Path(__file__).with_suffix(".md")


@dataclass(frozen=True, slots=True)
class Scenario:
    """Jobs of one length, seconds, that come at random around an even rate, a second, and for a while much faster."""

    job_seconds: float
    rate: float

    def arrivals(self, chance: random.Random) -> Iterator[float]:
        """Return the times at which jobs arrive, in seconds."""
        now = 0.0
        while now < HOURS * 3600:
            burst = BURST_AT <= now < BURST_AT + BURST_LASTS
            now += chance.expovariate(self.rate * (BURST if burst else 1))
            yield now


SCENARIOS = (Scenario(0.3, 8.0), Scenario(5.0, 1.5), Scenario(60.0, 0.09), Scenario(1800.0, 0.003))


class Fleet:
    """A line of jobs and the workers before it, from event to event."""

    def __init__(self, job_seconds: float) -> None:
        self.job_seconds = job_seconds
        self.workers = 1
        self.line: deque[float] = deque()
        self.ends: list[float] = []
        self.boots: list[float] = []
        self.ended = self.late = self.jobs = 0
        self.paid = 0.0

    @property
    def slots(self) -> int:
        """The slots of workers that have booted."""
        return (self.workers - len(self.boots)) * SLOTS

    def resize(self, workers: int, now: float) -> None:
        """Start workers, or let some go: those that still boot, then those that run, by draining."""
        while self.workers < workers:
            self.workers += 1
            self.boots.append(now + BOOT)
        while self.workers > workers:
            self.workers -= 1
            if self.boots:
                self.boots.pop()

    def advance(self, until: float) -> None:
        """Let everything end, boot and start that does so before `until`."""
        while True:
            following = min(
                self.ends[0] if self.ends else math.inf, self.boots[0] if self.boots else math.inf
            )
            if following > until:
                return
            if self.ends and self.ends[0] == following:
                heapq.heappop(self.ends)
                self.ended += 1
            else:
                self.boots.pop(0)
            self.start(following)

    def start(self, now: float) -> None:
        while self.line and len(self.ends) < self.slots:
            self.late += now - self.line.popleft() > SLO
            heapq.heappush(self.ends, now + self.job_seconds)

    def pay(self, seconds: float) -> None:
        """Account the cost of every worker, draining ones included."""
        draining = math.ceil(max(0, len(self.ends) - self.slots) / SLOTS)
        self.paid += (self.workers + draining) * seconds


#: Returns how many workers are wanted, from a fleet and the time.
Rule = Callable[[Fleet, float], int]


def formula() -> tuple[Rule, Pace]:
    """Apply the formula to counters, as the exporter reads them."""
    history = History()

    def rule(fleet: Fleet, now: float) -> int:
        busy = fleet.ended * fleet.job_seconds
        history.add(Sample(now, fleet.ended, busy, len(fleet.line), len(fleet.ends)))
        seconds = history.job_seconds(otherwise=1.0)
        load = Load(
            arrivals=history.arrivals(seconds),
            job_seconds=seconds,
            ready=len(fleet.line),
            active=len(fleet.ends),
            slo=SLO,
            slots=SLOTS,
        )
        return workers_needed([load])

    return rule, Pace(least=1, most=MOST, scale_in_after=SCALE_IN_AFTER, cooldown=COOLDOWN)


def threshold() -> tuple[Rule, Pace]:
    """Apply the rule of thumb, one worker at a time."""

    def rule(fleet: Fleet, now: float) -> int:
        wait = now - fleet.line[0] if fleet.line else 0.0
        return by_threshold(fleet.workers, ready=len(fleet.line), wait=wait)

    return rule, Pace(least=1, most=MOST, scale_in_after=SCALE_IN_AFTER, cooldown=ONE_MORE, steady=True)


def by_length(most: int) -> tuple[Rule, Pace]:
    """Allow a number of waiting jobs for each worker, as scalers by queue length do."""

    def rule(fleet: Fleet, now: float) -> int:
        return math.ceil((len(fleet.line) + len(fleet.ends)) / most)

    return rule, Pace(least=1, most=MOST, scale_in_after=SCALE_IN_AFTER, cooldown=COOLDOWN)


def by_age() -> tuple[Rule, Pace]:
    """Add a worker while the oldest job has waited for half of the objective; remove one while no job waits long."""

    def rule(fleet: Fleet, now: float) -> int:
        age = now - fleet.line[0] if fleet.line else 0.0
        if age > SLO / 2:
            return fleet.workers + 1
        return fleet.workers - 1 if age < SLO / 10 else fleet.workers

    return rule, Pace(least=1, most=MOST, scale_in_after=SCALE_IN_AFTER, cooldown=ONE_MORE, steady=True)


def by_busy_slots(share: float) -> tuple[Rule, Pace]:
    """Keep a share of the slots busy, as scalers by processor load do."""

    def rule(fleet: Fleet, now: float) -> int:
        return math.ceil(len(fleet.ends) / (SLOTS * share))

    return rule, Pace(least=1, most=MOST, scale_in_after=SCALE_IN_AFTER, cooldown=COOLDOWN)


RULES: Sequence[tuple[str, Callable[[], tuple[Rule, Pace]]]] = (
    ("ready > 100 or wait > 60 s: one more", threshold),
    ("length a worker <= 10", lambda: by_length(10)),
    ("length a worker <= 100", lambda: by_length(100)),
    ("age of the oldest > 30 s: one more, < 6 s: one fewer", by_age),
    ("busy slots 80 %", lambda: by_busy_slots(0.8)),
    ("the formula", formula),
)


def simulate(scenario: Scenario, rule: Rule, pace: Pace, seed: int = 1) -> tuple[float, float]:
    """Return the share of late jobs, and the worker-hours."""
    fleet, course = Fleet(scenario.job_seconds), Course(1, 0.0)
    tick = 0.0
    for arrival in scenario.arrivals(random.Random(seed)):
        while tick <= arrival:
            fleet.advance(tick)
            course, decision = steer(course, rule(fleet, tick), tick, pace)
            fleet.resize(decision.workers, tick)
            fleet.pay(EVERY)
            tick += EVERY
        fleet.advance(arrival)
        fleet.jobs += 1
        fleet.line.append(arrival)
        fleet.start(arrival)
    fleet.late += sum(tick - since > SLO for since in fleet.line)
    return fleet.late / fleet.jobs, fleet.paid / 3600


def document() -> str:
    """Write the page: the module's docstring and the table."""
    return f"# Rules for scaling\n\n{__doc__}\n{table()}\n"


def table() -> str:
    """Make the table of the rules by scenario: late jobs and worker-hours."""
    head = [
        f"S {one.job_seconds:g} s, {one.rate:g} a second, in the burst {one.rate * BURST:g}"
        for one in SCENARIOS
    ]
    lines = ["| rule | " + " | ".join(head) + " |", "|---|" + "---|" * len(head)]
    for name, make in RULES:
        cells = []
        for scenario in SCENARIOS:
            late, hours = simulate(scenario, *make())
            cells.append(f"{late:.1%} / {hours:.1f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    OUTPUT.write_text(document(), "utf-8")
    print(table())
