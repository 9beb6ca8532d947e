"""Text that cannot pretend to be something else where it is shown: a line of the log, a command to the terminal.

Whatever comes from a payload, a handler or an exception is a stranger's. Newlines would begin a line of its own, escape
sequences would move the cursor, and bidirectional marks turn around what stands beside them.
"""

import json

#: Python refuses to write numbers of thousands of digits.
_MOST_DIGITS = 10**100
#: Below it are the numbers that all readers of JSON take; infinity, and what is no number, are not.
_EXACT = 2**53


def escaped(text: str) -> str:
    """`text`, with each character that does not show (control, format, separator, surrogate) as its escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def portable(value: object, most: int) -> object:
    """What JSON can carry, of at most about `most` characters; all else as text."""
    if isinstance(value, str):
        return cut(str.__str__(value), most)
    if value is None or (type(value) in (bool, int, float) and abs(value) < _EXACT):  # type: ignore[arg-type]
        return value
    try:
        if len(raw := json.dumps(value, default=plain, allow_nan=False)) <= most:
            return json.loads(raw)
    except (TypeError, ValueError, RecursionError):
        pass  # a key that is no text, a circle, a depth or a number that JSON has not
    return cut(str(plain(value)), most)


def cut(text: str, most: int) -> str:
    """`text`, of which at most about so many characters are shown: its beginning and its end."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]} [… {len(text) - most} characters …] {text[-end:]}"


def indented(text: str) -> str:
    """Lines such as those of a traceback: each escaped, and set in, so that none looks like a line of the log."""
    return "\n".join(f"    {escaped(line)}" for line in text.rstrip("\n").split("\n"))


def plain(value: object) -> object:
    """A field's value for people: texts escaped, all else by its `repr`, which escapes by itself."""
    if isinstance(value, str):
        # A subclass may say anything of itself.
        return escaped(str.__str__(value))
    if value is None or type(value) in (bool, float) or (type(value) is int and abs(value) < _MOST_DIGITS):
        return value
    try:
        return escaped(str.__str__(repr(value)))
    except Exception as error:
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
