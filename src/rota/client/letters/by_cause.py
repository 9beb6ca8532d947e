"""Dead letters by cause, as the scripts that bury them have noted it: however many there are, one round trip tells.

`Client.failures` reads all letters instead, and finds those that have no cause noted too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rota.errors import JobError
from rota.server.faults import explained
from rota.wire.claims import decode_id
from rota.wire.keys import queue_key
from rota.wire.results import error_of
from rota.wire.scripts import FAILURES

#: The most causes that are looked at, over all queues.
MOST_CAUSES = 2000


class Letter(NamedTuple):
    """A dead letter: its id, the job's short name, why it died, and in which version of the code."""

    id: str
    task: str
    reason: str
    version: str


@dataclass(frozen=True, slots=True)
class Cause:
    """The dead letters of one queue that have the same cause. Times are in UTC.

    :param kept: how many letters there are.
    :param count: how many of them are of the time that was asked for.
    :param last_hour: how many died within the last hour; `last_day` and `last_week` likewise.
    :param trend: how many died in each step of the time that was asked for.
    :param error: the error of the newest letter.
    :param letters: the newest, the newest first, and behind them the first of all.
    """

    queue: str
    cause: str
    kept: int
    count: int
    last_hour: int
    last_day: int
    last_week: int
    first_at: datetime
    last_at: datetime
    trend: tuple[int, ...]
    error: JobError
    letters: tuple[Letter, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the jobs, as far as letters were looked at."""
        return _distinct(letter.task for letter in self.letters)

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions of the code in which they died, the oldest first, as far as letters were looked at."""
        return _distinct(letter.version for letter in reversed(self.letters))


@dataclass(frozen=True, slots=True)
class Reason:
    """The letters of one queue that died of one reason: how many, and when the first of them expires."""

    queue: str
    reason: str
    count: int
    goes_at: datetime


@dataclass(frozen=True, slots=True)
class Deaths:
    """The dead letters of some queues in a time, by what they died of.

    :param at: when that was looked at.
    :param kept: how many letters there are.
    :param count: how many of them are of the time that was asked for.
    :param unnoted: how many of those have no cause noted, or one that was not looked at.
    :param causes: a page of the causes, the most numerous first; `causes_count` is how many there are.
    """

    at: datetime
    kept: int
    count: int
    unnoted: int
    causes: tuple[Cause, ...]
    causes_count: int
    reasons: tuple[Reason, ...]


class Asked(NamedTuple):
    """A question about dead letters: of how long back, in how many steps, of which cause, and which page.

    :param back: in seconds; None for as long as letters are kept.
    :param letters: how many letters of each cause are named.
    :param reasons: whether their reasons are told too.
    """

    back: float | None = None
    steps: int = 24
    cause: str = ""
    passed: int = 0
    most: int = 50
    letters: int = 3
    reasons: bool = False


async def deaths(redis: Any, queues: Sequence[str], retention: float, asked: Asked) -> Deaths:
    """Return what jobs of some queues died of. `retention` is for how long letters are kept. Raises ServerError."""
    back = retention if asked.back is None else asked.back
    args = (
        *(round(retention * 1000), round(back * 1000), asked.steps, asked.cause),
        *(asked.passed, asked.most, MOST_CAUSES, asked.letters, int(asked.reasons)),
    )
    async with explained(redis):
        found = await FAILURES(redis, [queue_key(queue) for queue in queues], args)
    now, causes_count, counts, reasons, causes = found
    kept, count, noted = (sum(one[place] for one in counts) for place in range(3))
    return Deaths(
        at=_time(now),
        kept=kept,
        count=count,
        # A letter that is just buried, or has just expired, may be in one of the lists alone.
        unnoted=0 if asked.cause else max(0, count - noted),
        causes=tuple(_cause(queues, one) for one in causes),
        causes_count=causes_count,
        reasons=tuple(_reason(queues, one, retention) for one in reasons),
    )


def _cause(queues: Sequence[str], told: Sequence[Any]) -> Cause:
    place, cause, kept, count, hour, day, week, first, last, trend, error, letters = told
    return Cause(
        queues[place - 1],
        _text(cause),
        kept,
        count,
        hour,
        day,
        week,
        _time(first),
        _time(last),
        tuple(trend),
        error_of(error),
        tuple(Letter(decode_id(id), *map(_text, rest)) for id, *rest in letters),  # noqa: A001
    )


def _reason(queues: Sequence[str], told: Sequence[Any], retention: float) -> Reason:
    place, reason, count, first_ms = told
    return Reason(queues[place - 1], _text(reason), count, _time(first_ms + retention * 1000))


def _distinct(names: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _time(ms: float | bytes) -> datetime:
    return datetime.fromtimestamp(float(ms) / 1000, UTC)
