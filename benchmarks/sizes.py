"""How much is measured: from the environment, or the small sizes of `--quick`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from benchmarks.failures import WrongSize


@dataclass(frozen=True, slots=True)
class Sizes:
    """One run's sizes; `BENCH_JOBS` and so on set them.

    `jobs`: no-op jobs a round of the fastest systems (slower ones get their share, so that a round takes seconds for
    each). `floor`: the fewest jobs of any measure. `rounds`: every figure is the median of so many. `enqueues`: of
    each way to enqueue. `singles`: jobs put on an idle queue, for the pick-up. `quiet`: seconds that idle workers are
    listened to. `fleet`: idle workers that share a queue. `nudges`: single enqueues that the fleet gets.
    """

    jobs: int = 20_000
    floor: int = 300
    rounds: int = 3
    enqueues: int = 1_000
    singles: int = 100
    quiet: int = 30
    fleet: int = 50
    nudges: int = 40

    @classmethod
    def read(cls, env: Mapping[str, str], *, quick: bool = False) -> Self:
        """The sizes that `env` says, and the usual ones for the rest. Raises WrongSize."""
        chosen = dict(_QUICK) if quick else {}
        for field in fields(cls):
            value = env.get(f"BENCH_{field.name.upper()}")
            if value is not None:
                chosen[field.name] = _whole(f"BENCH_{field.name.upper()}", value)
        return cls(**chosen)


_QUICK = {"jobs": 5_000, "rounds": 1, "enqueues": 300, "singles": 30, "quiet": 12, "nudges": 15}


def _whole(name: str, value: str) -> int:
    if value.isdecimal() and int(value) > 0:
        return int(value)
    raise WrongSize(f"{name} is {value!r}; it must be a whole number of 1 or more")
