"""Escapes text so that it cannot pass for a line of the log or for a command to the terminal.

Text from a payload, a handler or an exception is not ours. A newline in it would begin a line that looks like the log's
own, an escape sequence would move the cursor, and a bidirectional mark would reverse the text beside it.
"""

import json
import re
from typing import Any

from rota.errors.secrets import SECRETS

#: Above this a number is shown by its error: Python refuses to write numbers of thousands of digits.
_MOST_DIGITS = 10**100
#: Below this are the numbers that every reader of JSON takes; infinity and NaN are not.
_EXACT = 2**53
#: Fields that nobody else writes, and the names of events.
_WORDS = frozenset({"level", "logger", "timestamp"})
_EVENT = re.compile(r"[a-z_]+(?:\.[a-z_]+)+")


def escaped(text: str) -> str:
    """Return `text` with each invisible character (control, format, separator, surrogate) as its escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def discreet(name: str, value: Any) -> Any:
    """Return a value without the secrets of this process. Our own words stay: one of them may be a password."""
    if not isinstance(value, str) or name in _WORDS or (name == "event" and _EVENT.fullmatch(value)):
        return value
    return SECRETS.hidden(str.__str__(value))


def portable(value: object, most: int) -> object:
    """Return `value` as JSON carries it, in about `most` characters; a value that JSON cannot carry, as text."""
    if isinstance(value, str):
        return cut(str.__str__(value), most)
    if value is None or (type(value) in (bool, int, float) and abs(value) < _EXACT):  # type: ignore[arg-type]
        return value
    try:
        if len(raw := json.dumps(value, default=plain, allow_nan=False)) <= most:
            return json.loads(SECRETS.hidden(raw))
    except (TypeError, ValueError, RecursionError):
        pass  # a key that is not text, a circular value, one too deep, or a number that JSON does not have
    return cut(SECRETS.hidden(str(plain(value))), most)


def cut(text: str, most: int) -> str:
    """Return `text`, or its beginning and its end if it has more than `most` characters."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]} [… {len(text) - most} characters …] {text[-end:]}"


def indented(text: str) -> str:
    """Escape and indent each line of a block such as a traceback, so that none looks like a line of the log."""
    return "\n".join(f"    {escaped(line)}" for line in text.rstrip("\n").split("\n"))


def plain(value: object) -> object:
    """Return a field's value for people: text is escaped, and any other value shown by its `repr`, escaped too."""
    if isinstance(value, str):
        # A subclass of str may return anything from its own methods.
        return escaped(str.__str__(value))
    if value is None or type(value) in (bool, float) or (type(value) is int and abs(value) < _MOST_DIGITS):
        return value
    try:
        return escaped(SECRETS.hidden(str.__str__(repr(value))))
    except Exception as error:
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
