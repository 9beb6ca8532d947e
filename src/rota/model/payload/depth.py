"""How deep JSON may be nested, and how long its numbers may be, so that every reader takes it."""

from pydantic_core import from_json

from rota.wire.marks import escaped

_LONG = 4_000
_DEEP = 90
#: What has no more bytes is neither nested too deep nor has a number that is too large.
SHORT = _DEEP


def check_depth(raw: bytes) -> None:
    """Raise ValueError for JSON that the reader of the whole record would refuse: nested too deep, or a huge number."""
    # A number that is too large has thousands of digits, and deep nesting has many brackets: most JSON has neither, and
    # what is short cannot have them.
    if len(raw) <= SHORT:
        return
    if len(raw) > _LONG or raw.count(b"[") + raw.count(b"{") > _DEEP:
        from_json(b"[[%b]]" % escaped(raw))
