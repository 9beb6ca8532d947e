"""Takes secrets and the arguments of jobs out of everything that is sent to Sentry.

A job's arguments are never sent as such. Where an error's message repeats an argument (`no customer ann@example.com`),
the argument is taken out of the message. So are the secrets that this process was given, passwords and query strings in
URLs, and every field that is named like a secret.
"""

import re
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from pydantic_core import from_json

from rota.errors.secrets import NAMES_OF_SECRETS

FILTERED = "[Filtered]"
#: The payload of the job that runs in this context.
PAYLOAD: ContextVar[bytes] = ContextVar("payload", default=b"")

#: Arguments and secrets that are shorter than this stay: they are common words.
_SHORTEST, _SHORTEST_SECRET = 8, 6
_MOST_VALUES = 1000
_SECRET_NAME = re.compile(
    rf"{NAMES_OF_SECRETS}|^(?:auth|http\.query|http\.fragment|query_string)$", re.IGNORECASE
)
_PATTERNS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://)[^/\s'\"<>]+@", re.IGNORECASE), rf"\1{FILTERED}@"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://[^\s?'\"<>]+\?)[^\s'\"<>#]+", re.IGNORECASE), rf"\1{FILTERED}"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {FILTERED}"),
    (
        re.compile(
            rf"((?:{NAMES_OF_SECRETS})\w{{0,20}}['\"]?\s{{0,3}}[=:]\s{{0,3}})(?:\"[^\"]*\"|'[^']*'|[^\s'\",;&)}}\]]+)",
            re.IGNORECASE,
        ),
        rf"\1{FILTERED}",
    ),
    # pydantic's errors repeat what they were given, shortened.
    (re.compile(r"input_value=.*?(?=, input_type=)", re.DOTALL), f"input_value={FILTERED}"),
)
#: Under these keys a value stays even if it is an argument's: names, places in the code, ids, a handler's own tags.
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
    """Scrubs Sentry's events before they are sent; `secrets` are taken out wherever they stand."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = _any_of(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)

    def event(self, event: Any, hint: Any = None) -> Any:
        """Return a Sentry event without secrets and arguments; this is Sentry's `before_send`."""
        scrubbed = self._walk(event, _any_of(values_of(PAYLOAD.get())))
        # A parameter of a log line says nothing of what it is; the formatted message, which has it too, is scrubbed.
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
    """Yield the arguments in a payload, as an error may show them, if they are long enough not to be common words."""
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
