"""What must not leave the process, taken out of everything that is sent: secrets, and what jobs were given.

A job's arguments are never sent as such. Where an error repeats one (`no customer ann@example.com`), it is taken out
of its words; so are the secrets that this process was given, passwords in URLs and what follows the `?` in them, and
whatever is named like a secret.
"""

import re
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from pydantic_core import from_json

FILTERED = "[Filtered]"
#: The payload of the job that this code works for.
PAYLOAD: ContextVar[bytes] = ContextVar("payload", default=b"")

#: Shorter values and secrets than these are words that may stand anywhere.
_SHORTEST, _SHORTEST_SECRET = 8, 6
_MOST_VALUES = 1000
_NAMES = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|token|api[-_]?key|authorization|cookie|credential|private[-_]?key"
    r"|access[-_]?key|dsn|csrf|signature"
)
_SECRET_NAME = re.compile(rf"{_NAMES}|^(?:auth|http\.query|http\.fragment|query_string)$", re.IGNORECASE)
_PATTERNS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://)[^/\s'\"<>]+@", re.IGNORECASE), rf"\1{FILTERED}@"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://[^\s?'\"<>]+\?)[^\s'\"<>#]+", re.IGNORECASE), rf"\1{FILTERED}"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {FILTERED}"),
    (
        re.compile(
            rf"((?:{_NAMES})\w{{0,20}}['\"]?\s{{0,3}}[=:]\s{{0,3}})(?:\"[^\"]*\"|'[^']*'|[^\s'\",;&)}}\]]+)",
            re.IGNORECASE,
        ),
        rf"\1{FILTERED}",
    ),
    # pydantic's errors repeat what they were given, shortened.
    (re.compile(r"input_value=.*?(?=, input_type=)", re.DOTALL), f"input_value={FILTERED}"),
)
#: Below these an argument's value may stand by right: names, places in the code, ids, and what a handler told Sentry.
_NAMED = {
    "type",
    "level",
    "platform",
    "release",
    "environment",
    "dist",
    "server_name",
    "transaction",
    "logger",
}
_CODE = {"filename", "abs_path", "module", "modules", "function", "sdk", "runtime", "os"}
_IDS = {"event_id", "trace", "trace_id", "span_id", "parent_span_id", "timestamp", "start_timestamp"}
_SPANS = {"op", "status", "origin", "category", "messaging.message.id", "messaging.destination.name"}
_STRUCTURE = _NAMED | _CODE | _IDS | _SPANS | {"transaction_info", "job", "tags", "user"}


class Scrubber:
    """Goes through Sentry's events before they are sent; `secrets` are taken out wherever they stand."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = _any_of(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)

    def event(self, event: Any, hint: Any = None) -> Any:
        """A Sentry event, scrubbed: what `before_send` is."""
        scrubbed = self._walk(event, _any_of(values_of(PAYLOAD.get())))
        # Nothing tells what a parameter is; the formatted message, which has them too, is judged as a whole.
        scrubbed.get("logentry", {}).pop("params", None)
        return scrubbed

    def _walk(self, value: Any, given: re.Pattern[str] | None) -> Any:
        if isinstance(value, str):
            return self._text(value, given)
        if isinstance(value, dict):
            return {key: self._field(key, item, given) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._walk(item, given) for item in value]
        return value

    def _field(self, key: Any, value: Any, given: re.Pattern[str] | None) -> Any:
        if isinstance(value, str) and _SECRET_NAME.search(str(key)):
            return FILTERED
        return self._walk(value, None if key in _STRUCTURE else given)

    def _text(self, text: str, given: re.Pattern[str] | None) -> str:
        for known in (self._secrets, given):
            if known is not None:
                text = known.sub(FILTERED, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


def values_of(payload: bytes) -> Iterator[str]:
    """The arguments in a payload that are long enough to be told from other words, as an error may show them."""
    try:
        data = from_json(payload)
    except ValueError:
        return
    if isinstance(data, dict):
        for _, text in zip(range(_MOST_VALUES), _texts([data.get("a"), data.get("k")]), strict=False):
            yield text
            if (shown := repr(text)[1:-1]) != text:
                yield shown


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str | int | float) and len(text := str(value)) >= _SHORTEST:
        yield text


def _any_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(set(texts), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
