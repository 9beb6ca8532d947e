"""A job that reports what became of all jobs, day by day, as a CSV file, from the audit table (docs/audit.md).

It shows progress and a checkpoint. A checkpoint is a place, not the work: how many days are in the file, and how long
the file was then. An attempt that comes after a crash cuts off what was written since, and goes on there.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from jobs.samples.media import Key, MediaNotConfigured, path_of
from rota import NoDatabase, Run, audit_connection, job

if TYPE_CHECKING:
    from sqlalchemy import TextClause
    from sqlalchemy.ext.asyncio import AsyncConnection

_HEAD = ("day", "queue", "job", "completed", "failed", "cancelled", "mean_seconds", "longest_seconds")
_QUESTION = """
SELECT queue, name, SUM(CASE WHEN status = 'COMPLETED' THEN 1 ELSE 0 END) AS completed,
       SUM(CASE WHEN status = 'FAILED' THEN 1 ELSE 0 END) AS failed,
       SUM(CASE WHEN status = 'CANCELLED' THEN 1 ELSE 0 END) AS cancelled,
       AVG({seconds}) AS mean, MAX({seconds}) AS longest
FROM _jobs WHERE finished_at >= :begin AND finished_at < :end
GROUP BY queue, name ORDER BY queue, name
"""
#: What a job took, which each database computes in its own way.
_SECONDS = {
    "postgresql": "EXTRACT(EPOCH FROM finished_at - started_at)",
    "sqlite": "(julianday(finished_at) - julianday(started_at)) * 86400",
}


class Place(BaseModel):
    """How far a report is: days and bytes that are in its file, and the jobs that these days had."""

    days: int = 0
    size: int = 0
    jobs: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a report: the key of its file, its days, the jobs that ended in them, and those that failed."""

    file: Key
    days: int
    jobs: int
    failed: int


@job(queue="reports", timeout=300, give_up_on=(NoDatabase, MediaNotConfigured))
async def report(run: Run, days: Annotated[int, Field(ge=1, le=366)] = 7) -> Summary:
    """Write what became of the jobs of the last `days` days, today included, into `reports/<id>.csv`."""
    # By the time of the enqueue: the days are the same for each attempt.
    last = run.enqueued_at.replace(hour=0, minute=0, second=0, microsecond=0)
    key = f"reports/{last:%Y-%m-%d}-{run.enqueued_ms}.csv"
    place = Place.model_validate(run.last_checkpoint or {})
    path = _cut(path_of(key), place.size)
    async with audit_connection() as connection:
        question = _question(connection)
        for number in range(place.days, days):
            day = last - timedelta(days=days - 1 - number)
            rows = (await connection.execute(question, {"begin": day, "end": day + timedelta(days=1)})).all()
            place = _append(path, day, rows, place)
            run.checkpoint(place)
            run.progress(100 * place.days / days, f"{place.days} of {days} days, {place.jobs:,} jobs")
    return Summary(key, days, place.jobs, place.failed)


def _question(connection: "AsyncConnection") -> "TextClause":
    # Imported here, so that an application that only enqueues needs no database.
    from sqlalchemy import DateTime, bindparam, text  # noqa: PLC0415

    asked = _QUESTION.format(seconds=_SECONDS[connection.dialect.name])
    moment = DateTime(timezone=True)
    return text(asked).bindparams(bindparam("begin", type_=moment), bindparam("end", type_=moment))


def _cut(path: Path, size: int) -> Path:
    """Leave of a file what a checkpoint says is in it; of a new one the head."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.truncate(size)
    if size == 0:
        path.write_text(",".join(_HEAD) + "\n", "utf-8")
    return path


def _append(path: Path, day: datetime, rows: Sequence[Any], place: Place) -> Place:
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(
            (f"{day.astimezone(UTC):%Y-%m-%d}", *row[:5], _rounded(row.mean), _rounded(row.longest))
            for row in rows
        )
    return Place(
        days=place.days + 1,
        size=path.stat().st_size,
        jobs=place.jobs + sum(row.completed + row.failed + row.cancelled for row in rows),
        failed=place.failed + sum(row.failed for row in rows),
    )


def _rounded(seconds: Any) -> float | str:
    # A job that was cancelled before it started took no time.
    return "" if seconds is None else round(float(seconds), 3)
