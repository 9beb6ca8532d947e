"""The frame of every page: the templates, what they can use, the headers that browsers are held by, and errors."""

import functools
import re
from collections.abc import Callable, Coroutine
from hashlib import sha256
from importlib.resources import files
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic_core import to_json
from starlette.responses import HTMLResponse, RedirectResponse

from rota.api.pages import words
from rota.api.problems import Problem, problem_of, wrong_parameter
from rota.model.access.keys import AccessKey, Scope
from rota.settings.settings import Settings
from rota.units import format_size

#: Where the dashboard lies, below the path that the application is mounted at.
ROOT = "/ui"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FLASH = "rota-flash"
#: Files that are loaded as one: htmx looks at the page right after it has run, and has to know its extension by then.
_JOINED = {"htmx.js": ("htmx.min.js", "hx-sse.min.js")}
_THEMES = ("auto", "light", "dark")
#: The largest form that is read, in bytes.
_LARGEST_FORM = 65_536


class Place(NamedTuple):
    """A page of the navigation.

    :param name: the name by which a page marks itself.
    :param letter: the key that leads there, behind `g`.
    :param is_own: whether it shows a tenant its own; the others are about the jobs of all.
    """

    name: str
    title: str
    path: str
    letter: str
    is_own: bool = False
    scope: Scope = Scope.READ


_NAVIGATION = (
    Place("overview", "Overview", "/", "o"),
    Place("queues", "Queues", "/queues", "q"),
    Place("jobs", "Jobs", "/jobs", "j", is_own=True),
    Place("failures", "Failures", "/failures", "f"),
    Place("flows", "Flows", "/flows", "l", is_own=True),
    Place("schedules", "Schedules", "/schedules", "s"),
    Place("workers", "Workers", "/workers", "w"),
    Place("webhooks", "Webhooks", "/webhooks", "h", is_own=True),
    Place("activity", "Activity", "/activity", "a", is_own=True),
    Place("system", "System", "/system", "y"),
    Place("keys", "Keys", "/keys", "k", scope=Scope.ADMIN),
)


@functools.cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("rota.api.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "duration": words.duration,
        "counted": words.counted,
        "shortened": words.shortened,
        "json": _json,
        "quoted": _quoted,
        "bytes": format_size,
    }
    return found


@functools.cache
def asset(name: str) -> tuple[bytes, str]:
    """Return a file that pages load, and the hash that its address has. Raises OSError where there is none."""
    folder = files("rota.api.pages").joinpath("static")
    raw = b"\n".join(folder.joinpath(part).read_bytes() for part in _JOINED.get(name, (name,)))
    return raw, sha256(raw).hexdigest()[:12]


def base_of(request: Request) -> str:
    """Return the path of the dashboard as a browser sees it."""
    return str(request.scope.get("root_path", "")).rstrip("/") + ROOT


def job_page(base: str, queue: str, job_id: str) -> str:
    """Return the address of the page of a job, whatever its id looks like."""
    return f"{base}/job?{urlencode({'queue': queue, 'id': job_id}, errors='surrogateescape')}"


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page. `values` are what its template shows."""
    base = base_of(request)
    key = getattr(request.state, "key", None)
    desk = getattr(request.app.state, "desk", None)
    theme = request.cookies.get("rota-theme", "auto")
    page = values.get("page", "")
    is_seen = request.method == "GET" and key is not None
    common = {
        "base": base,
        "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        "query": dict(request.query_params),
        "place": _badge_of(None if desk is None else desk.settings),
        "role": "" if key is None else words.role(key),
        "notices": (),
        "key": key,
        "page": page,
        # The answer to a form may show what is shown once; asked again, its page would not.
        "is_live": is_seen and page not in ("", "new") and request.query_params.get("live") != "off",
        "may_act": key is not None and key.lets(Scope.OPERATE),
        "may_make": key is not None and key.lets(Scope.ENQUEUE),
        "theme": theme if theme in _THEMES else "auto",
        "navigation": [] if key is None else _places_of(key),
        "is_tenant": key is not None and key.tenant is not None,
        "flash": _flash_in(request),
        "static": lambda name: f"{base}/static/{asset(name)[1]}/{name}",
    }
    text = _environment().get_template(template).render(common | values)
    # An id that another program gave may have bytes that are no text.
    response = HTMLResponse(text.encode("utf-8", "backslashreplace"), status, _HEADERS)
    if common["flash"]:
        response.delete_cookie(_FLASH, path=base)
    return response


def download(text: str, name: str, kind: str = "text/plain") -> Response:
    """Return a text that a browser keeps as a file of this name, and runs nothing of."""
    named = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._")[-100:]
    headers = _HEADERS | {"Content-Disposition": f'attachment; filename="{named}"'}
    return Response(text.encode("utf-8", "replace"), headers=headers, media_type=f"{kind}; charset=utf-8")


def go_to(request: Request, path: str, said: str = "") -> Response:
    """Return the answer to a form: the page to go on to, where `said` is shown once."""
    response = RedirectResponse(path, 303, _HEADERS)
    if said:
        response.set_cookie(
            _FLASH, quote(said[:500]), max_age=60, path=base_of(request), httponly=True, samesite="strict"
        )
    return response


async def form_of(request: Request) -> dict[str, list[str]]:
    """Return the fields of a form, each with all of its values. Raises Problem for another body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    # A form without fields may come without a type.
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise Problem(415, "unsupported-type", "The body is no form", "send a form of this page")
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > _LARGEST_FORM:
            raise Problem(413, "too-large", "The form is too large", "choose fewer at a time")
    found: dict[str, list[str]] = {}
    try:
        fields = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=2000)
    except ValueError as error:
        raise Problem(400, "invalid-form", "The form cannot be read", str(error)) from None
    for name, value in fields:
        found.setdefault(name, []).append(value)
    return found


class Page(APIRoute):
    """A route whose answers are pages, its errors too; who has to show a key first is led to the door."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request to this route."""
        original = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await original(request)
            except RequestValidationError as error:
                return _refused(request, wrong_parameter(str(error.errors()[0]["msg"])))
            except Exception as error:
                problem = problem_of(error)
                if problem is None:
                    raise
                return _refused(request, problem)

        return handle


def _refused(request: Request, problem: Problem) -> Response:
    # A script would follow, and take the door for what it has asked for.
    is_asked_by_script = "hx-request" in request.headers
    if problem.status == 401 and request.method == "GET" and not is_asked_by_script:  # noqa: PLR2004
        base = base_of(request)
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{base}/login?{urlencode({'next': path})}", 303, _HEADERS)
    if problem.kind == "of-all-tenants" and request.url.path.rstrip("/") == base_of(request):
        return RedirectResponse(f"{base_of(request)}/jobs", 303, _HEADERS)
    return render(request, "error.html", problem.status, problem=problem)


class Badge(NamedTuple):
    """The badge that says which deployment a page is of, so that nobody takes production for another."""

    name: str
    color: str


def _badge_of(settings: Settings | None) -> Badge:
    if settings is None:
        return Badge("", "gray")
    usual = "red" if settings.app_env == "production" else "gray"
    return Badge(settings.dashboard_name or settings.app_env, settings.dashboard_color or usual)


def _places_of(key: AccessKey) -> list[Place]:
    return [one for one in _NAVIGATION if key.lets(one.scope) and (key.tenant is None or one.is_own)]


def _flash_in(request: Request) -> str:
    return unquote(request.cookies.get(_FLASH, ""))[:500]


def _json(value: Any) -> str:
    return to_json(value, indent=2, bytes_mode="base64", inf_nan_mode="strings").decode()


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")
