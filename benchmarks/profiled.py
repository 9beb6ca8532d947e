"""`python -m rota` under a profiler that signals switch: `python -m benchmarks.profiled PATH`.

SIGUSR1 starts it, SIGUSR2 stops it and writes what it saw to PATH, so that neither start nor warm-up is in it.
"""

import cProfile
import json
import runpy
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType


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

    def stop(*_: object) -> None:
        profile.disable()
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps([asdict(one) for one in spent(profile)]))
        unfinished.rename(path)

    signal.signal(signal.SIGUSR1, lambda *_: profile.enable())
    signal.signal(signal.SIGUSR2, stop)
    sys.argv[1:] = ["worker"]
    runpy.run_module("rota", run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
