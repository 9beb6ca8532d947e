"""An error as a page tells it: what it came from, the user's own places in the code first, the whole traceback last."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rota.errors import JobError

_LINK = re.compile(
    r"\n\n(The above exception was the direct cause of|During handling of the above exception, another)[^\n]*\n\n"
)
_FRAME = re.compile(r'^ +File "([^"\n]+)", line (\d+), in ([^\n]+)(?:\n +([^\n]+))?', re.MULTILINE)
_NAMED = re.compile(r"^(?=\w)[^\n]+", re.MULTILINE)
_OTHERS = re.compile(r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\]python\d|^<")
#: How many places are shown beside the traceback.
_PLACES = 3


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the code: the file, the line, the function, and the line's text."""

    file: str
    line: str
    function: str
    code: str

    def __str__(self) -> str:
        file = "/".join(self.file.replace("\\", "/").split("/")[-2:])
        return f"{self.function} in {file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Told:
    """An error: its `places` are those of the user's own code, the innermost first.

    :param causes: what it was raised from, or while handling which, as `type: message`; the nearest first.
    """

    type: str
    message: str
    causes: Sequence[str]
    places: Sequence[Place]
    traceback: str


def told(error: JobError) -> Told:
    """Return an error as a page tells it."""
    text = error.traceback or ""
    # The last part is of the error itself, those before it of its causes.
    parts = _LINK.split(text)
    *before, last = parts[::2]
    hows = ["raised from" if how.startswith("The above") else "while handling" for how in parts[1::2]]
    causes = [f"{how} {_named(part)}" for how, part in zip(reversed(hows), reversed(before), strict=True)]
    own = [Place(*(one or "" for one in found)) for found in _FRAME.findall(last)]
    # What calls itself stands there once.
    places = list(dict.fromkeys(one for one in reversed(own) if not _OTHERS.search(one.file)))
    return Told(error.type, error.message, causes, places[:_PLACES], text)


def _named(part: str) -> str:
    """Return the line of a traceback that names its error: behind all frames."""
    lines = [line for line in _NAMED.findall(part) if not line.startswith("Traceback ")]
    return lines[-1] if lines else "an error"
