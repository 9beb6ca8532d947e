"""The door of the dashboard: a key is shown once, and stands behind a session from then on."""

from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.desk import desk_of
from rota.api.pages.frame import ROOT, Page, asset, base_of, form_of, go_to, render
from rota.api.pages.visitors import check_origin, cookie_of, is_safe
from rota.api.problems import Problem

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

_TYPES = {"css": "text/css", "js": "text/javascript"}
_ASSETS = ("app.css", "app.js", "htmx.js")


@router.get("/login")
async def login(request: Request, next: str = "") -> Response:  # noqa: A002 - the name of the parameter
    """Ask the visitor for a key, in a form."""
    return render(request, "login.html", next=_inside(request, next), wrong="")


@router.post("/login")
async def enter(request: Request) -> Response:
    """Let in who shows a key, for twelve hours or until the key ends."""
    check_origin(request)
    form = await form_of(request)
    text, path = form.get("key", [""])[0].strip(), _inside(request, form.get("next", [""])[0])
    try:
        token = await desk_of(request).gate.session(text)
    except Problem as problem:
        if problem.status != 401:  # noqa: PLR2004
            raise
        return render(request, "login.html", 401, next=path, wrong=problem.detail)
    response = go_to(request, path)
    _set(request, response, value=token)
    return response


@router.post("/logout")
async def leave(request: Request) -> Response:
    """End the visitor's session, or all sessions of its key, and go back to the door."""
    check_origin(request)
    form = await form_of(request)
    if token := request.cookies.get(cookie_of(request)):
        await desk_of(request).gate.end_session(token, everywhere="everywhere" in form)
    response = go_to(request, f"{base_of(request)}/login")
    _set(request, response, value="", max_age=0)
    return response


@router.get("/static/{mark}/{name}")
async def static(request: Request, mark: str, name: str) -> Response:
    """Return a file that pages load; its address changes with it, so that it is kept for a year."""
    if name not in _ASSETS or asset(name)[1] != mark:
        raise Problem(404, "not-found", "There is nothing at this path", "there is no such file")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(asset(name)[0], headers=headers, media_type=_TYPES[name.rpartition(".")[2]])


def _set(request: Request, response: Response, **given: Any) -> None:
    # Browsers take the cookie of this name only with "/" as its path.
    safe = is_safe(request)
    path = "/" if safe else base_of(request)
    response.set_cookie(cookie_of(request), path=path, httponly=True, secure=safe, samesite="strict", **given)


def _inside(request: Request, path: str) -> str:
    """Return a path to go on to, if it is one of the dashboard; else its first page."""
    base = base_of(request)
    is_own = (
        path.startswith(f"{base}/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    )
    return path if is_own else f"{base}/"
