"""The report from the audit table: what its file holds, and what another attempt does."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.samples.report import Summary, report
from rota import NoDatabase, Run
from rota.testing import Bench

if TYPE_CHECKING:
    from rota.store.engine import Database

NOW = datetime(2026, 11, 30, 15, 30, tzinfo=UTC)
MILLISECONDS = round(NOW.timestamp() * 1000)


@pytest.fixture(autouse=True)
def media(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Name a folder for files, and return it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDIA_DIR", str(tmp_path / "media"))
    return tmp_path / "media"


async def filled(database: "Database", *jobs: tuple[str, datetime, float | None]) -> None:
    """Write rows of jobs: how each ended, when, and after how many seconds of work."""
    from rota.store import audit

    rows = [
        {
            **{
                "id": str(number),
                "queue": "email",
                "name": "send",
                "status": status,
                "event": f"{number:03}",
            },
            **{"enqueued_at": ended, "finished_at": ended},
            "started_at": None if seconds is None else ended - timedelta(seconds=seconds),
        }
        for number, (status, ended, seconds) in enumerate(jobs)
    ]
    async with database.write() as connection:
        await audit.upsert(connection, rows)


def reporting(**facts: object) -> Run:
    return Run(id="r", job="report", queue="reports", enqueued_ms=MILLISECONDS, **facts)  # type: ignore[arg-type]


async def test_a_report_has_a_line_for_each_job_of_each_day_on_both_databases(
    database: "Database", database_url: str, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    midnight = NOW.replace(hour=0, minute=0)
    await filled(
        database,
        ("COMPLETED", midnight - timedelta(milliseconds=1), 2),
        *(("COMPLETED", midnight, 1), ("FAILED", NOW, 4), ("CANCELLED", NOW, None)),
        *(("COMPLETED", midnight - timedelta(days=2), 9), ("COMPLETED", midnight + timedelta(days=1), 9)),
    )
    summary = await report(reporting(), days=2)
    assert summary == Summary(f"reports/2026-11-30-{MILLISECONDS}.csv", 2, 4, 1)
    assert list(csv.reader((media / summary.file).open())) == [
        *(["day", "queue", "job", "completed", "failed", "cancelled", "mean_seconds", "longest_seconds"],),
        *(["2026-11-29", "email", "send", "1", "0", "0", "2.0", "2.0"],),
        *(["2026-11-30", "email", "send", "1", "1", "1", "2.5", "4.0"],),
    ]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_another_attempt_cuts_off_what_no_checkpoint_has_and_goes_on(
    database: "Database", database_url: str, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    await filled(database, *(("COMPLETED", NOW - timedelta(days=day), 1.0) for day in range(3)))
    reports: list[float] = []
    with Bench([report]) as bench:
        run = reporting(report=lambda percent, _: reports.append(percent))
        summary = await report(run, days=3)
        whole = (media / summary.file).read_text()
        first_day = whole.index("2026-11-29")
        (media / summary.file).write_text(whole[: first_day + 7])
        place = {"days": 1, "size": first_day, "jobs": 1, "failed": 0}
        assert await report(reporting(last_checkpoint=place), days=3) == summary
        assert (media / summary.file).read_text() == whole
        assert [round(percent) for percent in reports] == [33, 67, 100]
        assert bench.dead == []


async def test_without_a_database_a_report_is_dead_at_once_and_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with Bench([report]) as bench:
        await bench.client.enqueue(report, days=1)
        await bench.drain()
        (letter,) = bench.dead
    assert letter.attempts == 1
    assert letter.error is not None
    assert "DATABASE_URL is not set" in letter.error.message
    assert NoDatabase in report.give_up_on
