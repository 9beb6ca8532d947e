"""Files by reference: jobs pass keys, such as `films/7/film.webp`, and the bytes lie in one folder of all workers.

    MEDIA_DIR    that folder. Without it, outside production, `.rota/media`; in production a job that needs it fails.

Workers on several machines mount one and the same folder there. A store of objects (S3 and its like) takes the place of
this module: what jobs know of it are keys.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints

from jobs.samples.variables import Variables, sources

#: Names with `/` between. No part begins with a dot, so that none leads out of the folder, or to a file half written.
Key = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$", max_length=200)]

_IN_DEVELOPMENT = ".rota/media"


class _MediaSettings(Variables):
    app_env: str = "development"
    media_dir: str = ""


class MediaNotConfigured(Exception):
    """Raised in production where MEDIA_DIR is not set: nothing is written to where it would be lost."""


class MediaMissing(Exception):
    """Raised for a key whose file is missing, or cannot be read."""


def folder() -> Path:
    """Return the folder of all files. Raises MediaNotConfigured."""
    settings = _MediaSettings(**sources())
    if not settings.media_dir and settings.app_env == "production":
        raise MediaNotConfigured(
            "MEDIA_DIR is not set; set it to a folder of all workers, and bring this job back"
        )
    return Path(settings.media_dir or _IN_DEVELOPMENT)


def path_of(key: str) -> Path:
    """Return where the file of a key lies. Raises MediaMissing for one that a link leads out of the folder."""
    root = folder().resolve()
    path = (root / key).resolve()
    if not path.is_relative_to(root):
        raise MediaMissing(f"{key} is not in the folder of files")
    return path


def exists(key: str) -> bool:
    """Tell whether there is a file under a key, and so a whole one."""
    return path_of(key).is_file()


def read(key: str, most: int) -> bytes:
    """Return the bytes of a file, of a longer one `most` and one more. Raises MediaMissing."""
    try:
        with path_of(key).open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise MediaMissing(f"{key} cannot be read: {error.strerror}") from None


@contextmanager
def written(key: str) -> Iterator[Path]:
    """Yield a path to write to; at the end of the block it becomes the file of the key, at once and whole.

    So another attempt, or another worker, finds a file that is whole or none. Two that write at once do no harm.
    """
    path = path_of(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield begun
        begun.replace(path)
    finally:
        begun.unlink(missing_ok=True)
