"""`python -m rota` under a profiler that signals switch: `python -m benchmarks.profiled PATH`."""

import cProfile
import sys
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from benchmarks.watched import run_worker


@dataclass(frozen=True, slots=True)
class Spent:
    """One function: its name, its file's last two parts, how often it was called, and its own time in seconds."""

    name: str
    place: str
    calls: int
    seconds: float


def spent(profile: cProfile.Profile) -> list[Spent]:
    """Return every function that was called, the most expensive first."""
    entries = sorted(profile.getstats(), key=lambda entry: -entry.inlinetime)
    return [Spent(*_named(entry.code), entry.callcount, entry.inlinetime) for entry in entries]


def _named(code: CodeType | str) -> tuple[str, str]:
    if isinstance(code, str):
        return code, ""
    return code.co_qualname, "/".join(Path(code.co_filename).parts[-2:])


def main(path: Path) -> None:
    """Run the worker until a signal ends it."""
    profile = cProfile.Profile()

    def stop() -> list[Spent]:
        profile.disable()
        return spent(profile)

    run_worker(path, profile.enable, stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
