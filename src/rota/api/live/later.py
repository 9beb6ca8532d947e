"""Answers without an end, which are given when the framework has let go of their requests.

What the framework holds for a request as long as it is answered takes twice the memory of the listener itself.
"""

from typing import Protocol

from starlette.types import Receive, Scope, Send

#: Where a request has what is to answer it.
_PLACE = "rota.later"
#: What the server itself still reads of a request while it is answered.
_OF_SERVER = {"type", "method", "path", "query_string", "http_version", "client", "scheme", "headers"}


class Endless(Protocol):
    """An answer that is given bit by bit, for as long as that goes on. It reports its own bugs."""

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None: ...


def leave_to(answer: Endless, scope: Scope) -> None:
    """Let `answer` give the answer to a request, once the framework has come to its end with it."""
    scope[_PLACE] = answer


def answer_of(scope: Scope) -> Endless | None:
    """Return what the answer to a request was left to, if anything, and forget the rest of the request."""
    answer: Endless | None = scope.pop(_PLACE, None)
    if answer is not None:
        for name in scope.keys() - _OF_SERVER:
            del scope[name]
    return answer
