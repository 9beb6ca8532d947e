"""A pipeline: a script is written, its scenes are painted in parallel, and the pictures become an animated film.

It shows how jobs that keep processors busy become small enough to be repeated. Each stage passes on keys of files, not
their bytes. A file is whole or not there, so an attempt that finds what it was to make has nothing left to do: a worker
that is killed between two scenes costs one scene.
"""

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import Field, StringConstraints

from jobs.samples.media import Key, MediaMissing, MediaNotConfigured, exists, path_of, written
from jobs.samples.painting import PillowMissing, length, paint, play
from rota import Run, each, job, pipeline

Title = Annotated[str, StringConstraints(pattern=r"^[^\p{C}\p{Zl}\p{Zp}]+$", max_length=60)]
Count = Annotated[int, Field(ge=1, le=24)]

#: What no other attempt can cure.
_FOR_GOOD = (MediaMissing, MediaNotConfigured, PillowMissing)


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene of a script: where its picture is to lie, what is written on it, and the hour that it shows."""

    picture: Key
    caption: str
    hour: float
    seed: int


@dataclass(frozen=True, slots=True)
class Begun:
    """A film that is being made: the id of its pipeline, which `rota flow` shows, and the key of its file to be."""

    flow: str
    file: Key


@dataclass(frozen=True, slots=True)
class Film:
    """A film that is done: the key of its file, its pictures and its length in seconds."""

    file: Key
    pictures: int
    seconds: float


@job(queue="media")
async def film(run: Run, title: Title = "A day", scenes: Count = 6) -> Begun:
    """Begin a film of `scenes` scenes, and return where it will be."""
    # Of the id and the time, as ids are used again; hashed, as an id may hold what no file may be named. It is the same
    # in each attempt: another one finds the pipeline that the first has begun, or, if that is over, its files.
    folder = hashlib.sha256(f"{run.id} {run.enqueued_ms}".encode()).hexdigest()[:16]
    begun = making_of.options(id=folder, on_taken="existing")
    handle = await run.enqueue(begun, folder=f"films/{folder}", title=title, scenes=scenes)
    return Begun(handle.id, f"films/{folder}/film.webp")


@job(queue="media")
async def write_script(run: Run, *, folder: Key, title: Title, scenes: Count) -> list[Scene]:
    """Write the scenes of a film: the hours of a day, from its morning to its night."""
    return [
        Scene(
            picture=f"{folder}/scene-{number:02}.png",
            caption=title if number == 1 else f"{number} of {scenes}",
            hour=5 + 16 * (number - 0.5) / scenes,
            # One landscape for all scenes of a film.
            seed=int(hashlib.sha256(title.encode()).hexdigest()[:8], 16),
        )
        for number in range(1, scenes + 1)
    ]


@job(queue="media", process=True, timeout=60, give_up_on=_FOR_GOOD)
def paint_scene(run: Run, scene: Scene) -> Key:
    """Paint one scene, unless an earlier attempt has, and return the key of its picture."""
    if not exists(scene.picture):
        with written(scene.picture) as path:
            paint(path, scene.caption, scene.hour, scene.seed)
    return scene.picture


@job(queue="media", process=True, timeout=120, give_up_on=_FOR_GOOD)
def merge(run: Run, pictures: list[Key]) -> Film:
    """Make an animated film of pictures that melt into each other, and return where it is."""
    key = str(PurePosixPath(pictures[0]).with_name("film.webp"))
    if not exists(key):
        with written(key) as path:
            play(path, [path_of(picture) for picture in pictures], run.progress)
    return Film(key, len(pictures), length(len(pictures)))


making_of = pipeline(write_script, each(paint_scene), merge)
