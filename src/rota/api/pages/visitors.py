"""The visitors of the dashboard: each has shown a key, and a session stands for it; where all is open, none is needed.

A page acts by forms, which a page of another site could send as well. So what acts asks where the request came from
(`Sec-Fetch-Site`, else `Origin`), and the cookie is sent to this site alone.
"""

from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from starlette.requests import HTTPConnection

from rota.api.desk import desk_of
from rota.api.problems import Problem
from rota.model.access.keys import AccessKey, Scope


def cookie_of(request: HTTPConnection) -> str:
    """Return the name of the session's cookie. Browsers let no other host and no plain connection set the first."""
    return "__Host-rota" if request.url.scheme == "https" else "rota-session"


async def visitor(request: Request, scope: Scope = Scope.READ) -> AccessKey:
    """Return the key that the visitor came in with. Raises Problem where it has not the scope, ServerError."""
    gate = desk_of(request).gate
    if token := request.cookies.get(cookie_of(request)):
        key = await gate.key_by_session(token)
        if key is not None:
            return gate.check(key, scope)
    return await gate.admit(request, scope)


def check_origin(request: Request) -> None:
    """Raise Problem for a request that no page of this site has sent."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        is_own = site == "same-origin"
    else:
        origin = request.headers.get("origin", "")
        is_own = bool(origin) and urlsplit(origin).netloc == request.headers.get("host", "")
    if not is_own:
        detail = "a form of the dashboard is taken from its own pages alone"
        raise Problem(403, "wrong-origin", "The request comes from elsewhere", detail)


def _needs(scope: Scope, *, acts: bool) -> Dependency:
    async def check(request: Request) -> None:
        if acts:
            check_origin(request)
        request.state.key = await visitor(request, scope)

    found: Dependency = Depends(check)
    return found


#: What a page depends on that is looked at, and one that acts.
SEES, ACTS = _needs(Scope.READ, acts=False), _needs(Scope.OPERATE, acts=True)
#: What the form of a new job depends on, and its sending.
ENQUEUES, MAKES = _needs(Scope.ENQUEUE, acts=False), _needs(Scope.ENQUEUE, acts=True)
