"""JSON for people: the text of a value as it lies in Redis, indented, without what is named like a secret.

No number is read, so each is shown as it was written, however long. What is hidden can be put back: a person who edits
the text of a payload does not see its secrets, and keeps them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rota.errors.secrets import HIDDEN, is_secret

#: How many characters of a text a page shows.
MOST = 65_536
_PIECE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_KEPT = frozenset({"true", "false", "null", '""'})
_CLOSING = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Text:
    """A text as a page shows it: `size` is that of the whole in bytes, of which the end may be missing."""

    shown: str
    size: int
    is_cut: bool
    is_hidden: bool


def text_of(json: str | None, most: int = MOST) -> Text | None:
    """Return the first `most` characters of a JSON text as a page shows them; None for no text."""
    if json is None:
        return None
    parts: list[str] = []
    length, is_cut, is_hidden = 0, False, False
    for part in _indented(json):
        if length + len(part) > most:
            parts.append(part[: most - length])
            is_cut = True
            break
        is_hidden = is_hidden or part == f'"{HIDDEN}"'
        parts.append(part)
        length += len(part)
    return Text("".join(parts), len(json.encode("utf-8", "replace")), is_cut, is_hidden)


def without_secrets(json: str) -> str:
    """Return the whole of a JSON text, indented, without what is named like a secret."""
    return "".join(_indented(json))


def put_back(written: Any, before: Any, *, below_secret: bool = False) -> Any:
    """Return a value that a person has edited, with the secrets of `before` in the places where they were hidden."""
    if isinstance(written, dict) and isinstance(before, dict):
        return {
            name: put_back(value, before.get(name), below_secret=below_secret or is_secret(name))
            for name, value in written.items()
        }
    if isinstance(written, list) and isinstance(before, list):
        known = before + [None] * (len(written) - len(before))
        return [
            put_back(one, old, below_secret=below_secret) for one, old in zip(written, known, strict=False)
        ]
    return before if below_secret and written == HIDDEN and before is not None else written


def _indented(json: str) -> Iterator[str]:
    """Yield the pieces of a JSON text, a member or an item in each line."""
    open_: list[str] = []
    secret_from, is_name, name, last = 0, False, "", ""
    for found in _PIECE.finditer(json):
        piece = found[0]
        if piece in "}]":
            if open_:
                open_.pop()
            if secret_from > len(open_):
                secret_from = 0
            yield piece if last in _CLOSING else f"\n{'  ' * len(open_)}{piece}"
        elif piece == ",":
            yield ","
        elif piece == ":":
            yield ": "
        else:
            if last in _CLOSING or last == ",":
                yield f"\n{'  ' * len(open_)}"
            is_name = bool(open_) and open_[-1] == "{" and last in ("{", ",")
            if is_name:
                name = piece
                yield piece
            elif piece in _CLOSING:
                if not secret_from and last == ":" and is_secret(name):
                    secret_from = len(open_) + 1
                open_.append(piece)
                yield piece
            else:
                hides = secret_from or (last == ":" and is_secret(name))
                yield f'"{HIDDEN}"' if hides and piece not in _KEPT else piece
        last = piece
