"""The jobs of a queue by their names: how many come, how many fail, how long they run, by the audit table."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from rota.api.archive import Row
from rota.api.desk import Desk
from rota.store.faults import StoreError

#: How many names are shown, and how many jobs are looked at for all of them together.
_NAMES, _JOBS = 20, 1000
#: A page waits for the table no longer than this, in seconds.
_PATIENCE = 2.0


class Named(NamedTuple):
    """The newest jobs of one name.

    :param jobs: how many of them there are in the table, or are looked at.
    :param rate: how many come in a minute, since the oldest of them.
    :param failed: the part of those that ended which failed, of a hundred; None where none has ended.
    :param half: the run time that half of them do not exceed, in seconds; `many` that 95 of 100 do not.
    """

    name: str
    jobs: int
    rate: float
    failed: float | None
    half: float | None
    many: float | None

    @classmethod
    def of(cls, name: str, rows: Sequence[Row], now: datetime) -> "Named":
        """Return what the newest rows of a name say."""
        minutes = max(1.0, (now - min(row["enqueued_at"] for row in rows)).total_seconds() / 60)
        ended = [row["status"] for row in rows if row["status"] in ("COMPLETED", "FAILED")]
        runs = sorted(_runs(rows))
        return cls(
            name,
            len(rows),
            len(rows) / minutes,
            100 * ended.count("FAILED") / len(ended) if ended else None,
            _within(runs, 0.5),
            _within(runs, 0.95),
        )


async def by_name(desk: Desk, queue: str) -> tuple[list[Named], str]:
    """Return the jobs of a queue by name, the most frequent first, and why there are none, if that is to be said."""
    names = sorted(desk.registry.for_queue(queue))[:_NAMES]
    if desk.archive is None or not names:
        return [], ""
    try:
        async with asyncio.timeout(_PATIENCE):
            rows = await desk.archive.newest(queue, names, _JOBS // len(names))
    except (StoreError, TimeoutError) as error:
        return [], str(error) or f"it did not answer within {_PATIENCE:g} s"
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["name"]].append(row)
    now = datetime.now(UTC)
    named = [Named.of(name, some, now) for name, some in found.items()]
    return sorted(named, key=lambda one: (-one.rate, one.name)), ""


def _runs(rows: Iterable[Row]) -> Iterable[float]:
    """Yield how long each of those that ended ran, in seconds."""
    for row in rows:
        if row["started_at"] is not None and row["finished_at"] is not None:
            yield max(0.0, (row["finished_at"] - row["started_at"]).total_seconds())


def _within(ordered: Sequence[float], part: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else None
