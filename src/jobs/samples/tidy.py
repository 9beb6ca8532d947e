"""A nightly clean-up: old files of the samples are deleted, by a schedule, a portion each night, and no others.

It shows what makes such a job safe. It deletes in folders that it knows, follows no links, and has a limit: a wrong
clock or a wrong number costs one night's portion. A second run does no harm, and what a stop in the middle leaves is
deleted the next night.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from jobs.samples.media import MediaNotConfigured, folder
from rota import Cancel, Run, every, job

#: The folders in MEDIA_DIR that the sample jobs fill; what else is there is not theirs.
FOLDERS = ("films", "reports")
MOST = 10_000
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Tidied:
    """The outcome of a night: how much was deleted, and whether old files are left for the next one."""

    files: int
    bytes: int
    more: bool


@every("30 3 * * *")
@job(queue="media", timeout=300)
def tidy(run: Run, days: Annotated[int, Field(ge=1, le=3650)] = 30) -> Tidied:
    """Delete at most 10,000 of the samples' files that are older than `days` days, and folders empty for as long."""
    try:
        root = folder()
    except MediaNotConfigured as error:
        raise Cancel(str(error)) from None  # nothing to do: no dead letter each night
    files = size = 0
    for path in _old(root, time.time() - days * _DAY):
        if files == MOST or run.cancelled:
            return Tidied(files, size, more=True)
        size += path.lstat().st_size
        path.unlink(missing_ok=True)
        files += 1
        if files % 100 == 0:
            run.progress(100 * files / MOST, f"{files:,} files deleted")
    return Tidied(files, size, more=False)


def _old(root: Path, before: float) -> Iterator[Path]:
    """Yield the files that were last changed before a moment, and remove folders that are empty after them."""
    for name in FOLDERS:
        # From below, so that a folder comes after what is in it. Links are neither followed nor deleted.
        for place, _, files in os.walk(root / name, topdown=False):
            for file in files:
                path = Path(place, file)
                if not path.is_symlink() and path.lstat().st_mtime < before:
                    yield path
            _remove_if_empty(Path(place), before)


def _remove_if_empty(place: Path, before: float) -> None:
    # A new folder may be about to be filled.
    if place.lstat().st_mtime < before and not any(place.iterdir()):
        place.rmdir()
