"""How long a job waits between a failed attempt and the next one."""

import math
import random as _random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

BackoffKind = Literal["exponential", "linear", "fixed", "none"]

_KINDS: tuple[BackoffKind, ...] = get_args(BackoffKind)


@dataclass(frozen=True, slots=True)
class Backoff:
    """A schedule of waits; build one with `exponential`, `linear`, `fixed` or `none`.

    `base` and `ceiling` are seconds. `factor` multiplies (exponential) or is the step in seconds (linear).
    `jitter` is the fraction by which a wait may be shorter or longer, so that jobs that failed together are spread out.
    Raises ValueError for a number out of range.
    """

    kind: BackoffKind = "exponential"
    base: float = 1.0
    factor: float = 2.0
    ceiling: float = 3600.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"backoff kind is {self.kind!r}; choose one of: {', '.join(_KINDS)}")
        for name in ("base", "factor", "ceiling", "jitter"):
            _check_number(name, getattr(self, name))
        if self.jitter > 1:
            raise ValueError(f"backoff jitter is {self.jitter!r}; it is a fraction from 0 to 1")
        if self.kind == "exponential" and self.factor < 1:
            raise ValueError(f"backoff factor is {self.factor!r}; an exponential one is 1 or more")

    def delay(self, attempt: int, random: Callable[[], float] = _random.random) -> float:
        """Return the seconds to wait after the failure of `attempt`, which counts from 1.

        `random` returns a number from 0 up to 1. The wait is never negative and never over the ceiling.
        """
        if attempt < 1:
            raise ValueError(f"attempt is {attempt}; attempts count from 1")
        plain = min(self._plain(attempt), self.ceiling)
        return min(max(0.0, plain * (1 + self.jitter * (2 * random() - 1))), self.ceiling)

    def _plain(self, attempt: int) -> float:
        if self.kind == "exponential":
            return self._power(attempt - 1)
        if self.kind == "linear":
            return self.base + self.factor * (attempt - 1)
        return self.base if self.kind == "fixed" else 0.0

    def _power(self, exponent: int) -> float:
        try:
            return self.base * float(self.factor) ** exponent
        except OverflowError:
            return self.ceiling if self.base else 0.0

    def wire(self) -> dict[str, Any]:
        """Return the dictionary that `from_wire` reads; it travels in a payload."""
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> "Backoff":
        """Return the backoff that `wire` describes. Raises ValueError or TypeError for anything else."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in wire.items() if name in known})


def exponential(
    base: float = 1.0, factor: float = 2.0, ceiling: float = 3600.0, jitter: float = 0.1
) -> Backoff:
    """Wait base, base·factor, base·factor², … seconds: 1, 2 and 4 by default, ±10 %."""
    return Backoff("exponential", base, factor, ceiling, jitter)


def linear(
    base: float = 1.0, step: float | None = None, ceiling: float = 3600.0, jitter: float = 0.1
) -> Backoff:
    """Wait base, base+step, base+2·step, … seconds; without a step, the step is the base."""
    return Backoff("linear", base, base if step is None else step, ceiling, jitter)


def fixed(seconds: float, jitter: float = 0.1) -> Backoff:
    """Wait the same time after each attempt: `seconds`, ±10 %."""
    _check_number("base", seconds)
    _check_number("jitter", jitter)
    # The ceiling leaves room for the jitter, so that the mean is `seconds`.
    return Backoff("fixed", seconds, 1.0, seconds * (1 + jitter), jitter)


def none() -> Backoff:
    """Do not wait: the next attempt starts as soon as a worker is free."""
    return Backoff("none", 0.0, 1.0, 0.0, 0.0)


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"backoff {name} is {value!r}; it is a number of 0 or more")
