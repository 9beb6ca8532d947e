"""How much is measured: from the environment, or the small sizes of `--quick`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

from benchmarks.failures import WrongSize


@dataclass(frozen=True)
class FromEnvironment:
    """Whole numbers with defaults, each set by the variable BENCH_ and its name; `QUICK` has those of a quick run."""

    QUICK: ClassVar[Mapping[str, int]] = {}

    @classmethod
    def read(cls, env: Mapping[str, str], *, quick: bool = False) -> Self:
        """Read the sizes from `env`, with the defaults for the rest. Raises WrongSize."""
        chosen = dict(cls.QUICK) if quick else {}
        for field in fields(cls):
            value = env.get(f"BENCH_{field.name.upper()}")
            if value is not None:
                chosen[field.name] = whole(f"BENCH_{field.name.upper()}", value)
        return cls(**chosen)


@dataclass(frozen=True)
class Sizes(FromEnvironment):
    """The sizes of one run, set by BENCH_JOBS and the other BENCH_ variables.

    jobs: no-op jobs in a round of the fastest systems; slower ones get a share, so that a round takes seconds for each.
    floor: the fewest jobs of any measure.
    rounds: every figure is the median of this number of rounds.
    enqueues: of each way to enqueue.
    requests: enqueues over HTTP, and of the client that they are compared with.
    singles: jobs put on an idle queue, for the pick-up.
    quiet: how long idle workers are listened to, in seconds.
    fleet: idle workers that share a queue.
    nudges: single enqueues that the fleet gets.
    looks: at each page of the dashboard, whose median time counts.
    waiting: jobs that wait while pages of the dashboard are timed.
    recorded: rows of the audit table, then.
    """

    jobs: int = 20_000
    floor: int = 300
    rounds: int = 3
    enqueues: int = 1_000
    requests: int = 5_000
    singles: int = 100
    quiet: int = 30
    fleet: int = 50
    nudges: int = 40
    looks: int = 21
    waiting: int = 1_000_000
    recorded: int = 1_000_000

    QUICK: ClassVar[Mapping[str, int]] = {
        "jobs": 5_000,
        "rounds": 1,
        "enqueues": 300,
        "requests": 1_500,
        "singles": 30,
        "quiet": 12,
        "nudges": 15,
        "looks": 5,
        "waiting": 20_000,
        "recorded": 20_000,
    }


def whole(name: str, value: str) -> int:
    """Return the number of 1 or more that the variable `name` has. Raises WrongSize."""
    if value.isdecimal() and int(value) > 0:
        return int(value)
    raise WrongSize(f"{name} is {value!r}; it must be a whole number of 1 or more")
