"""The report from the audit table, and the film: what their files hold, and what another attempt does."""

import csv
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.samples.film import Begun, Film, Scene, film, merge, paint_scene, write_script
from jobs.samples.painting import SIZE, PillowMissing, paint
from jobs.samples.report import Summary, report
from rota import InvalidPayload, NoDatabase, Run
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


# The report


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


# The film


async def test_a_film_moves_through_a_day_and_has_its_pictures_beside_it(media: Path) -> None:
    from PIL import Image

    with Bench([film, write_script, paint_scene, merge]) as bench:
        await bench.client.enqueue(film.options(id="mine"), title="Grüße", scenes=3)
        await bench.drain()
        (made,) = bench.results(merge)
        assert bench.dead == []
    assert made == Film(made.file, 3, 1.2)
    with Image.open(media / made.file) as moving:
        assert (moving.format, getattr(moving, "n_frames", 0), moving.size) == ("WEBP", 15, SIZE)
    pictures = sorted((media / made.file).parent.glob("*.png"))
    assert [path.name for path in pictures] == ["scene-01.png", "scene-02.png", "scene-03.png"]
    lightness = []
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()
            assert (picture.format, picture.size) == ("PNG", SIZE)
            colors = picture.convert("L").tobytes()
            lightness.append(sum(colors) / len(colors))
    assert lightness[0] < lightness[1] > lightness[2], "it is lightest at noon"


def scene(number: int) -> Scene:
    return Scene(f"films/1/scene-{number}.png", "A day", 12, 7)


def test_a_scene_that_was_painted_is_not_painted_again_and_one_that_was_not_is_the_same(media: Path) -> None:
    run = Run(id="1", job="paint_scene", queue="media")
    for number in (1, 2):
        assert paint_scene(run, scene(number)) == f"films/1/scene-{number}.png"
    first, second = (media / f"films/1/scene-{number}.png" for number in (1, 2))
    assert first.read_bytes() == second.read_bytes()
    first.write_bytes(b"painted by another attempt")
    paint_scene(run, scene(1))
    assert first.read_bytes() == b"painted by another attempt"


async def test_another_attempt_to_begin_a_film_finds_the_one_that_the_first_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts = []

    def begun(flow: str, file: str) -> Begun:
        attempts.append(file)
        if len(attempts) == 1:
            raise ConnectionError("the worker is cut off after the enqueue")
        return Begun(flow, file)

    painted: list[Path] = []

    def painting(path: Path, caption: str, hour: float, seed: int) -> None:
        painted.append(path)
        paint(path, caption, hour, seed)

    monkeypatch.setattr("jobs.samples.film.Begun", begun)
    monkeypatch.setattr("jobs.samples.film.paint", painting)
    with Bench([film, write_script, paint_scene, merge]) as bench:
        handle = await bench.client.enqueue(film, scenes=1)
        await bench.drain()
        # The first pipeline was over when the second attempt began, and its files were there.
        first, again = bench.results(merge)
        assert first == again
        assert (await handle.result()).file == first.file
    assert attempts == [first.file] * 2
    assert len(painted) == 1


@pytest.mark.parametrize(
    "wrong", [{"title": ""}, {"title": "a\nb"}, {"title": "a" * 61}, {"scenes": 0}, {"scenes": 25}]
)
def test_a_film_has_bounds(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidPayload, match=next(iter(wrong))):
        film.call(**wrong)  # type: ignore[arg-type]


def test_without_pillow_a_scene_says_what_to_install(monkeypatch: pytest.MonkeyPatch, media: Path) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(PillowMissing, match=r"Pillow is not installed; .* requirements/worker\.in"):
        paint_scene(Run(id="1", job="paint_scene", queue="media"), scene(1))
    assert PillowMissing in paint_scene.give_up_on
    assert list(media.rglob("*.png")) == []
