"""How much is measured of each condition: from the environment, or the small sizes of `--quick`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from benchmarks.sizes import whole

#: The smallest backlog; each further one is ten times as large.
FEWEST = 1_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of one run, set by BENCH_JOBS and the other BENCH_ variables.

    rounds: every figure is the median of this number of rounds, and each round measures every point of a series.
    jobs: no-op jobs that are worked off at each point.
    naps: jobs of 5 ms, at a concurrency of 100.
    enqueues: single enqueues at each point, by a hundred callers ten times as many.
    backlog: the most jobs that wait behind those that are worked off.
    seconds: how long a load lasts.
    starts: how often a process is started in a round.
    """

    rounds: int = 3
    jobs: int = 50_000
    naps: int = 20_000
    enqueues: int = 1_000
    backlog: int = 1_000_000
    seconds: int = 5
    starts: int = 3

    @property
    def backlogs(self) -> list[int]:
        """From FEWEST on, by tens."""
        sizes = [FEWEST]
        while sizes[-1] * 10 <= self.backlog:
            sizes.append(sizes[-1] * 10)
        return sizes

    @classmethod
    def read(cls, env: Mapping[str, str], *, quick: bool = False) -> Self:
        """Read the sizes from `env`, with the defaults for the rest. Raises WrongSize."""
        chosen = dict(_QUICK) if quick else {}
        for field in fields(cls):
            variable = f"BENCH_{field.name.upper()}"
            if variable in env:
                chosen[field.name] = whole(variable, env[variable])
        return cls(**chosen)


_QUICK = {
    "rounds": 1,
    "jobs": 3_000,
    "naps": 2_000,
    "enqueues": 100,
    "backlog": 10_000,
    "seconds": 1,
    "starts": 1,
}
