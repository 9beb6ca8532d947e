"""Remove what this checkout has made: .venv, caches, builds, and the embedded server's data if it is unused.

It needs nothing but Python's standard library.
"""

import fcntl
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MADE = (".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".cache", "build", "dist")
SOURCES = ("src", "tests", "benchmarks", "scripts")
SERVER_STOPS_WITHIN = 5.0


def remove_server(directory: Path) -> None:
    """Remove the embedded server's directory under the lock that each of its clients shares.

    Exits with a sentence when there is a client: its server would go on without files.
    """
    if not directory.is_dir():
        return
    deadline = time.monotonic() + SERVER_STOPS_WITHIN
    with (directory / "clients.lock").open("w") as clients:
        while True:
            try:
                fcntl.flock(clients, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    sys.exit(f"{directory} is in use: end the processes that run in this checkout first")
                time.sleep(0.05)
        shutil.rmtree(directory)


def main() -> None:
    remove_server(ROOT / ".rota")
    for name in MADE:
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for source in SOURCES:
        for cache in (ROOT / source).rglob("__pycache__"):
            shutil.rmtree(cache, ignore_errors=True)


if __name__ == "__main__":
    main()
