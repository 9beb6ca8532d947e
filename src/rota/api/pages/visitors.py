"""The visitors of the dashboard: each has shown a key, and a session stands for it, or a server in front names them.

A page acts by forms, which a page of another site could send as well. So what acts asks where the request came from
(`Sec-Fetch-Site`, else `Origin`), and the cookie is sent to this site alone.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from starlette.requests import HTTPConnection

from rota.api.access import EVERYTHING, is_local
from rota.api.desk import desk_of
from rota.api.problems import Problem
from rota.model.access.keys import LONGEST_NAME, AccessKey, Scope
from rota.settings.settings import Settings

#: What a visitor may do whom a server in front names, by the settings that list the visitors.
_VIEWS = frozenset({Scope.READ})
_OPERATES = frozenset({Scope.ENQUEUE, Scope.OPERATE})
_ADMINISTERS = frozenset({Scope.ADMIN})


def is_safe(request: HTTPConnection) -> bool:
    """Tell whether the visitor's browser speaks TLS, to this process or to a server in front."""
    if request.url.scheme == "https":
        return True
    return _is_from_proxy(request) and request.headers.get("x-forwarded-proto", "") == "https"


def cookie_of(request: HTTPConnection) -> str:
    """Return the name of the session's cookie. Browsers let no other host and no plain connection set the first."""
    return "__Host-rota" if is_safe(request) else "rota-session"


async def visitor(request: Request) -> AccessKey:
    """Return the key by which the visitor came in, whatever it allows. Raises Problem without one, ServerError."""
    desk = desk_of(request)
    gate, way = desk.gate, desk.settings.dashboard_auth
    if way == "proxy":
        return _named(request, desk.settings)
    if way == "none":
        gate.check_name(request)
        if desk.settings.app_env == "production" and not is_local(request):
            detail = (
                "with DASHBOARD_AUTH=none the dashboard is for callers on this machine alone in production"
            )
            raise Problem(403, "not-local", "The dashboard is not open from here", detail)
        return EVERYTHING
    if token := request.cookies.get(cookie_of(request)):
        key = await gate.key_by_session(token)
        if key is not None:
            await gate.quotas.count(key, request)
            return key
    return await gate.admit(request, *Scope, tenants=True)


def _named(request: Request, settings: Settings) -> AccessKey:
    """Return what a visitor may do whom a server in front names. Raises Problem."""
    names = request.headers.getlist(settings.dashboard_user_header)
    if not _is_from_proxy(request) or len(names) != 1 or not names[0].strip():
        detail = f"a server of API_PROXIES is to name the visitor in {settings.dashboard_user_header}, once"
        raise Problem(403, "not-by-proxy", "The dashboard is reached by another way", detail)
    name = names[0].strip()
    if name in (settings.dashboard_admins or ()):
        scopes = _ADMINISTERS
    else:
        scopes = _OPERATES if name in (settings.dashboard_operators or ()) else _VIEWS
    return AccessKey("", "", scopes, name=name[:LONGEST_NAME])


def _is_from_proxy(request: HTTPConnection) -> bool:
    proxies = desk_of(request).settings.api_proxies or ()
    try:
        return request.client is not None and any(ip_address(request.client.host) in one for one in proxies)
    except ValueError:
        return False


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


def _needs(scope: Scope, *, acts: bool = False, tenants: bool = False) -> Dependency:
    async def check(request: Request) -> None:
        if acts:
            check_origin(request)
        # Known before it is refused: the page that says so has the visitor's own navigation.
        request.state.key = await visitor(request)
        desk_of(request).gate.check(request.state.key, scope, tenants=tenants)

    found: Dependency = Depends(check)
    return found


#: What a page depends on that is looked at, and one that acts. Keys of tenants are refused.
SEES, ACTS = _needs(Scope.READ), _needs(Scope.OPERATE, acts=True)
#: The same where keys of tenants are taken: such a page shows and changes what is the tenant's of `caller_of` alone.
OWN_SEES, OWN_ACTS = _needs(Scope.READ, tenants=True), _needs(Scope.OPERATE, acts=True, tenants=True)
#: What the form of a new job depends on, and its sending.
OWN_ENQUEUES = _needs(Scope.ENQUEUE, tenants=True)
OWN_MAKES = _needs(Scope.ENQUEUE, acts=True, tenants=True)
#: What the pages of keys depend on.
ADMINISTERS, CHANGES = _needs(Scope.ADMIN), _needs(Scope.ADMIN, acts=True)
