"""`python -m rota` with its bytecode instructions counted, by signals: `python -m benchmarks.counted PATH`.

Other work on the machine changes nothing in the count, so that a gain of one per cent is seen, which CPU time does not
show. What C does is not in it.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks.watched import run_worker


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


if __name__ == "__main__":
    COUNT = Count()
    run_worker(Path(sys.argv[1]), COUNT.start, COUNT.stop)
