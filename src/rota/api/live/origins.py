"""The other sites whose pages may ask the API. A browser says of which a page is, and hides answers from the rest."""

from collections.abc import Collection

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import Scope

from rota.api.problems import Problem
from rota.settings.settings import Settings


def check_origin(request: HTTPConnection, settings: Settings) -> None:
    """Raise Problem for a page of another site than the API's own and those of API_ALLOWED_ORIGINS.

    A browser opens a WebSocket to any site, for a page of any other.
    """
    host = request.headers.get("host", "").lower()
    allowed = {f"http://{host}", f"https://{host}", *(settings.api_allowed_origins or ())}
    origin = request.headers.get("origin")
    if origin is not None and origin.lower() not in allowed:
        detail = f"pages of {origin[:100]!r} may not open a WebSocket here; list it in API_ALLOWED_ORIGINS"
        raise Problem(403, "wrong-origin", "The page is of another site", detail)


def answer_origins(app: FastAPI, settings: Settings) -> None:
    """Let browsers show the answers of the application to pages of API_ALLOWED_ORIGINS, without cookies."""
    if settings.api_allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.api_allowed_origins,
            allow_methods=("GET", "POST", "PATCH", "DELETE"),
            allow_headers=("Authorization", "Idempotency-Key", "Prefer", "Last-Event-ID"),
            expose_headers=("Link", "Location", "Retry-After", "Idempotent-Replayed"),
        )


def headers_for(scope: Scope, origins: Collection[str]) -> list[tuple[bytes, bytes]]:
    """Return the headers by which a browser shows a stream, which no middleware is around, to a page of `origins`."""
    if not origins:
        return []
    given = next((value for name, value in scope["headers"] if name == b"origin"), b"")
    shown = [(b"access-control-allow-origin", given)] if given.decode("latin-1") in origins else []
    return [(b"vary", b"origin"), *shown]
