"""`python -m rota` with its bytecode instructions counted: `python -m benchmarks.counted PATH`.

SIGUSR1 starts the count, SIGUSR2 stops it and writes it to PATH. Other work on the machine changes nothing in it, so
that a gain of one per cent is seen, which CPU time does not show. What C does is not in it.
"""

import json
import runpy
import signal
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any


@dataclass(frozen=True, slots=True)
class Counted:
    """One function: its name, its file's last two parts, how often it was called, and the instructions it took."""

    name: str
    place: str
    calls: int
    instructions: int


class Count:
    """The count of a process's main thread, while it is on."""

    def __init__(self) -> None:
        self._calls: Counter[CodeType] = Counter()
        self._instructions: Counter[CodeType] = Counter()

    def start(self) -> None:
        """Count the functions that are called from now on, but not those that run already."""
        sys.settrace(self._called)

    def stop(self) -> list[Counted]:
        """Count no more, and return all functions that were called, the longest first."""
        sys.settrace(None)
        return [
            Counted(
                code.co_qualname, "/".join(Path(code.co_filename).parts[-2:]), self._calls[code], instructions
            )
            for code, instructions in self._instructions.most_common()
        ]

    def _called(self, frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self._calls[frame.f_code] += 1
        return self._went_on

    def _went_on(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            self._instructions[frame.f_code] += 1
        return self._went_on


def main(path: Path) -> None:
    """Run the worker until a signal ends it."""
    count = Count()

    def stop(*_: object) -> None:
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps([asdict(one) for one in count.stop()]))
        unfinished.rename(path)

    signal.signal(signal.SIGUSR1, lambda *_: count.start())
    signal.signal(signal.SIGUSR2, stop)
    sys.argv[1:] = ["worker"]
    runpy.run_module("rota", run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
