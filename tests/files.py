"""The files of this checkout that a fresh clone would have, whether it is a clone or a copy without history."""

import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def files(*paths: str) -> list[Path]:
    """List the files below these paths, or all; what is ignored is left out, and so is what was deleted."""
    if (ROOT / ".git").exists():
        return _listed([], paths)
    # A repository that knows no file yet calls all of them new, but for those that are ignored.
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "init", "--quiet", "--bare", folder], check=True)
        return _listed([f"--git-dir={folder}", f"--work-tree={ROOT}"], paths)


def _listed(repository: list[str], paths: tuple[str, ...]) -> list[Path]:
    listed = subprocess.run(
        ["git", *repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in found if path.is_file()]
