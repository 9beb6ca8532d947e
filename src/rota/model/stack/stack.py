"""The stack of a running job: where its handler is at this moment, without the values of variables."""

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Self

from pydantic_core import from_json, to_json

#: Where a handler runs: as a task of the event loop, in a thread, or in a child process.
Where = Literal["task", "thread", "process"]

#: How many frames are shown, the outermost and the innermost; together they stay below 64 KiB.
OUTER, INNER = 10, 30
#: The most characters of a file's name, of a function's name, and of a line.
_MOST_OF_FILE, _MOST_OF_TEXT = 400, 200


@dataclass(frozen=True, slots=True)
class StackFrame:
    """One call: the file, the line, the function, and the line's text as the file has it now."""

    file: str
    line: int
    function: str
    code: str = ""

    @classmethod
    def of(cls, summary: traceback.FrameSummary) -> Self:
        """Return what is shown of a frame; its line is read from the file."""
        code = (summary.line or "")[:_MOST_OF_TEXT]
        return cls(summary.filename[-_MOST_OF_FILE:], summary.lineno or 0, summary.name[:_MOST_OF_TEXT], code)

    def __str__(self) -> str:
        first = f'  File "{self.file}", line {self.line}, in {self.function}'
        return f"{first}\n    {self.code}" if self.code else first


@dataclass(frozen=True, slots=True)
class JobStack:
    """Where the handler of a running job is.

    :param where: a task of the event loop, a thread, or a child process.
    :param blocks: whether it is a task that runs at this moment and keeps the event loop from everything else; other
        tasks wait for what their innermost frame has called.
    :param frames: the calls, the outermost first, without rota's own; of many the first and the last.
    :param left_out: how many frames between them are not shown.
    :param note: what else the worker noticed: that another job blocks the event loop, say.
    :param id: the job's id in Redis; `queue` and `task` are those of the job.
    :param worker: the name of the worker that runs it.
    :param started_at: when the attempt started, in UTC; it has run for `seconds`.
    """

    where: Where
    blocks: bool = False
    frames: tuple[StackFrame, ...] = ()
    left_out: int = 0
    note: str = ""
    id: str = ""
    queue: str = ""
    task: str = ""
    worker: str = ""
    started_at: datetime | None = None
    seconds: float = 0.0

    def with_frames(self, summaries: Iterable[traceback.FrameSummary]) -> Self:
        """Return the same with these frames, as many of them as are shown."""
        found = list(summaries)
        shown = found if len(found) <= OUTER + INNER else found[:OUTER] + found[-INNER:]
        return replace(self, frames=tuple(map(StackFrame.of, shown)), left_out=len(found) - len(shown))

    def wire(self) -> bytes:
        """Return what a worker answers, as JSON."""
        frames = [(one.file, one.line, one.function, one.code) for one in self.frames]
        return to_json([self.where, self.blocks, frames, self.left_out, self.note])

    @classmethod
    def read(cls, raw: bytes, **known: Any) -> Self:
        """Read what `wire` has written, beside what is known of the job."""
        where, blocks, frames, left_out, note = from_json(raw)
        return cls(where, blocks, tuple(StackFrame(*one) for one in frames), left_out, note, **known)

    @property
    def state(self) -> str:
        """The words for what runs the handler, and what that does: `a thread, which is at`."""
        if self.where == "task":
            return "a task that keeps the event loop busy, at" if self.blocks else "a task, which waits in"
        return "a thread, which is at" if self.where == "thread" else "a child process, which is at"

    @property
    def text(self) -> str:
        """The frames as a traceback shows them, the innermost last."""
        lines = [str(frame) for frame in self.frames]
        if self.left_out:
            lines.insert(OUTER, f"  … {self.left_out} more frames …")
        return "\n".join(lines)
