"""A worker under something that watches it: SIGUSR1 switches that on, SIGUSR2 off, and what it saw is written down.

So neither start nor warm-up is in what was seen.
"""

import json
import runpy
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any


def run_worker(path: Path, start: Callable[[], object], stop: Callable[[], Sequence[Any]]) -> None:
    """Run `python -m rota worker` until a signal ends it; `stop` returns dataclasses, which go to `path` as JSON."""

    def write(*_: object) -> None:
        # The name is there once the whole of it is.
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps([asdict(one) for one in stop()]))
        unfinished.rename(path)

    signal.signal(signal.SIGUSR1, lambda *_: start())
    signal.signal(signal.SIGUSR2, write)
    sys.argv[1:] = ["worker"]
    runpy.run_module("rota", run_name="__main__")
