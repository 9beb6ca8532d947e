"""What an error answers that nobody has foreseen: a bug in a route, or in what it calls."""

import logging

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rota.api.problems import Problem
from rota.api.quotas import ALSO
from rota.telemetry.tracing.sentry import sentry

logger = logging.getLogger("rota.api")

#: The longest path that is logged.
_LONGEST = 300


class Unexpected:
    """Around all routes: an error is logged and reported once, and the problem that answers it tells nothing of it.

    The framework's own way would answer plain text, and raise the error once more for the server to log it again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. An error behind the beginning of an answer ends that where it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            if not has_begun and ALSO in scope:
                message["headers"] = [*message.get("headers", ()), *scope[ALSO]]
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            # Who has asked left amid the body, and hears no answer.
            pass
        except Exception as error:
            report(scope["method"], scope["path"], error)
            if not has_begun:
                await _problem().response(scope["path"])(scope, receive, send)


def report(method: str, path: str, error: Exception) -> None:
    """Log a bug, once, and tell Sentry of it."""
    # Sentry takes an error from the log as well, and drops what it has just sent.
    sentry.report(error)
    logger.error("api.failed", exc_info=error, extra={"method": method, "path": path[:_LONGEST]})


def _problem() -> Problem:
    detail = "an error in the API itself; its log has it as api.failed"
    return Problem(500, "internal", "The API has failed", detail)
