"""Writes an exception's traceback for the person whose code raised it: their frames, without those of the framework.

The chain of causes and the members of a group are written whole. Of one exception as many frames are shown as fit on a
screen: those where the user's code begins, and those nearest to the error. Values of variables are never shown.
"""

import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from rota.errors.client import JobError
from rota.errors.root import RotaError

#: How many frames of one exception are shown: the outermost and the innermost.
OUTER, INNER = 8, 16
#: The most frames of one exception that are looked at, from the innermost.
_LOOKED_AT = 500
#: How many members of a group are named in its message.
_MEMBERS = 10

_PYTHON = Path(traceback.__file__).parent
_FRAMEWORK = (
    f"{Path(__file__).parents[1]}/",
    f"{_PYTHON}/asyncio/",
    f"{_PYTHON}/concurrent/",
    f"{_PYTHON}/importlib/",
    f"{_PYTHON}/threading.py",
    "<frozen importlib",
    "<frozen runpy",
)


def written(error: BaseException, most: int, most_of_part: int | None = None) -> str | None:
    """Return the traceback of `error` in at most `most` characters, None where there is nothing to show.

    An error of rota's own that was raised outside the user's code has nothing to show: its sentence says it all. Each
    part (a frame, a message) has at most `most_of_part` characters, so that an endless message leaves room for frames.
    """
    if error.__traceback__ is None or (isinstance(error, RotaError) and not _reaches_user(error)):
        return None
    try:
        told = traceback.TracebackException(
            type(error), error, error.__traceback__, limit=-_LOOKED_AT, lookup_lines=False
        )
        _trim(told)
        parts = told.format()
        text = "".join(parts if most_of_part is None else (_cut(part, most_of_part) for part in parts))
    except BaseException:
        return None
    return text if len(text) <= most else f"{text[: most // 4]}\n…\n{text[most // 4 + 3 - most :]}"


def stack_of(frame: FrameType | None) -> str:
    """Return where a thread is, from its innermost `frame`: the user's frames, and what they have called."""
    stack = traceback.extract_stack(frame)
    # What has started the event loop, such as the command line, is of no interest.
    begun = [number for number, one in enumerate(stack) if one.filename == f"{_PYTHON}/asyncio/runners.py"]
    return "".join(_Shown(own_frames(stack[begun[-1] :] if begun else stack)).format())


def own_frames(stack: Sequence[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """Return the frames of the user's code and what is within the last of them; all if there are none of the user's."""
    users = [number for number, frame in enumerate(stack) if not _is_framework(frame.filename)]
    if not users:
        return list(stack)
    return [stack[number] for number in users] + list(stack[users[-1] + 1 :])


def place_of(error: BaseException) -> str:
    """Return `file:line` of the innermost frame of the user's in a traceback; empty if there is none."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_framework(frame.filename)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def frame_of(error: BaseException) -> str:
    """Return `module.function` of the innermost frame of the user's in a traceback; empty if there is none."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        if not _is_framework(frame.f_code.co_filename):
            return f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}"
    return ""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised for, one after the other, the last one first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def message_of(error: BaseException) -> str:
    """Return what `str` says of an error; of a group, with the types and messages of its members too."""
    text = str(error)
    if not isinstance(error, BaseExceptionGroup):
        return text
    members = list(_members(error))
    named = "; ".join(_named(member) for member in members[:_MEMBERS])
    more = f"; and {len(members) - _MEMBERS} more" if len(members) > _MEMBERS else ""
    return f"{text}: {named}{more}"


def _members(group: BaseExceptionGroup[Any]) -> Iterable[BaseException]:
    for member in group.exceptions:
        if isinstance(member, BaseExceptionGroup):
            yield from _members(member)
        else:
            yield member


def _named(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException:
        text = "(its message could not be made)"
    return f"{type(error).__name__}: {_cut(text, 200)}" if text else type(error).__name__


def _reaches_user(error: BaseException) -> bool:
    if isinstance(error, JobError):
        return True
    frames = traceback.walk_tb(error.__traceback__)
    return any(not _is_framework(frame.f_code.co_filename) for frame, _ in frames)


def _is_framework(filename: str) -> bool:
    return filename.startswith(_FRAMEWORK)


def _trim(told: traceback.TracebackException) -> None:
    """Leave the framework's frames out, in an exception, its causes and its members."""
    waiting, seen = [told], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        one.stack = _Shown(own_frames(one.stack))
        linked = (one.__cause__, one.__context__, *(one.exceptions or ()))
        waiting.extend(other for other in linked if other is not None)


class _Shown(traceback.StackSummary):
    """The frames that are shown; where frames between them are not, a line says how many."""

    def __init__(self, frames: list[traceback.FrameSummary]) -> None:
        left_out = len(frames) - OUTER - INNER
        self._left_out = left_out
        super().__init__(frames if left_out <= 1 else frames[:OUTER] + frames[-INNER:])

    def format(self, **options: Any) -> list[str]:
        """Return each frame as text, and a line for those that are left out."""
        lines = super().format(**options)
        if self._left_out > 1 and len(lines) >= INNER:
            lines.insert(OUTER, f"  … {self._left_out} more frames …\n")
        return lines


def _cut(text: str, most: int) -> str:
    end = "\n" if text.endswith("\n") else ""
    return text if len(text) <= most else f"{text[: most - 1 - len(end)]}…{end}"
