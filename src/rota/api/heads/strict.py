"""Requests that HTTP does not allow, or that two readers may read as two different ones, are refused."""

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from rota.api.problems import Problem

#: The headers of which one counts. Of two, a proxy may have looked at one, and the API would take the other.
_ONCE = frozenset(
    {b"authorization", b"content-type", b"host", b"idempotency-key", b"last-event-id", b"origin"}
)


class Strict:
    """Around all routes: a request that HTTP does not allow is answered with a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or a WebSocket that is to be opened."""
        fault = None if scope["type"] == "lifespan" else _fault_of(scope)
        app = self._app if fault is None else malformed(fault).response(scope["path"])
        await app(scope, receive, send)


def malformed(detail: str) -> Problem:
    """Return the problem that a request is which HTTP does not allow."""
    return Problem(400, "malformed", "The request is not one of HTTP", detail)


def _fault_of(scope: Scope) -> str | None:
    """Return what HTTP does not allow of a request; None where it may be so."""
    return _fault_in_headers(scope["headers"], scope["http_version"]) or _fault_in_address(scope)


def _fault_in_headers(headers: Iterable[tuple[bytes, bytes]], version: str) -> str | None:
    seen = set()
    for name, value in headers:
        if name in seen:
            return f"the header {name.decode()} is there twice"
        if name in _ONCE:
            seen.add(name)
        elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            return "no Transfer-Encoding but chunked is understood"
    return "the header Host is missing" if version == "1.1" and b"host" not in seen else None


def _fault_in_address(scope: Scope) -> str | None:
    for name in ("raw_path", "query_string"):
        text = scope.get(name) or b""
        if b"%" in text:
            try:
                unquote_to_bytes(text).decode()
            except UnicodeDecodeError:
                return "the path, or the query behind it, is not UTF-8"
    return None
