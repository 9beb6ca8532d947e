"""The file `.env` of a project, as far as a deploy reads and writes it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path


def read(folder: Path) -> dict[str, str]:
    """Return what `.env` sets in a folder; nothing where there is none."""
    file = folder / ".env"
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def stated(folder: Path) -> dict[str, str]:
    """Return the variables that Compose has in a folder: those of `.env`, and over them those of this process."""
    return read(folder) | dict(os.environ)


def write(folder: Path, variables: Mapping[str, str]) -> None:
    """Set variables in `.env`, each at its old place or at the end, and leave all else in it as it is."""
    file = (folder / ".env").resolve()
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    left = dict(variables)
    for at, line in enumerate(lines):
        name = line.partition("=")[0].strip()
        if name in left:
            lines[at] = f"{name}={left.pop(name)}"
    lines += [f"{name}={value}" for name, value in left.items()]
    new = file.with_name(f"{file.name}.new")
    new.write_text("\n".join(lines) + "\n", "utf-8")
    if file.exists():
        shutil.copymode(file, new)
        owner = file.stat()
        os.chown(new, owner.st_uid, owner.st_gid)
    # By a rename, so that nobody ever reads half of it.
    new.replace(file)
