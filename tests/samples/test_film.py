"""The film: what its files hold, and what another attempt does."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.samples.film import Begun, Film, Scene, film, merge, paint_scene, write_script
from jobs.samples.painting import SIZE, PillowMissing, paint
from rota import InvalidPayload, Run
from rota.testing import Bench

NOW = datetime(2026, 11, 30, 15, 30, tzinfo=UTC)
MILLISECONDS = round(NOW.timestamp() * 1000)


@pytest.fixture(autouse=True)
def media(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Name a folder for files, and return it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDIA_DIR", str(tmp_path / "media"))
    return tmp_path / "media"


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
