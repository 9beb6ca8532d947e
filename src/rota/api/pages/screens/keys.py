"""The screen of the API's keys: for who has the scope `admin`. A new key is shown once, in the answer that makes it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.desk import desk_of, record
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, render
from rota.api.pages.once import is_first, new_mark
from rota.api.pages.visitors import ADMINISTERS, CHANGES
from rota.api.problems import Problem
from rota.model.access.keys import AccessKey, Scope, make, scopes_of
from rota.model.access.rates import RequestRate
from rota.server.faults import explained
from rota.units import InvalidDuration, parse_duration
from rota.wire.access import AccessRecords

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The fields of the form that are texts.
_FIELDS = ("name", "tenant", "expires", "rate", "burst", "most_jobs")


@router.get("/keys", dependencies=[ADMINISTERS])
async def keys(request: Request) -> Response:
    """Show the keys that are kept in Redis, without their secrets."""
    return await _list(request)


@router.post("/keys", dependencies=[CHANGES])
async def new(request: Request) -> Response:
    """Make a key, and show it in this answer alone."""
    form = await form_of(request)
    typed = {field: form.get(field, [""])[0].strip() for field in _FIELDS}
    try:
        text, made = _made(form.get("scope", []), typed)
    except ValueError as error:
        chosen = frozenset(form.get("scope", []))
        return await _list(request, 422, wrong=f"No key was made: {error}.", typed=typed, chosen=chosen)
    if not await is_first(request, form):
        said = "That form was sent before, so no other key was made. A key is shown once: revoke it if it is lost."
        return go_to(request, f"{base_of(request)}/keys", said)
    records = _records(request)
    async with explained(desk_of(request).client.redis):
        await records.put({made.id: made.write()})
    await record(request, "make_key", key=made.id)
    return await _list(request, shown=text)


@router.post("/keys/revoke", dependencies=[CHANGES])
async def revoke(request: Request) -> Response:
    """End a key, which is refused everywhere within seconds."""
    form = await form_of(request)
    key_id = form.get("key", [""])[0]
    async with explained(desk_of(request).client.redis):
        was_there = await _records(request).remove(key_id)
    if not was_there:
        raise Problem(404, "no-such-key", "There is no such key", f"Redis has no key {key_id[:40]!r}")
    await record(request, "revoke_key", key=key_id, reason=form.get("reason", [""])[0])
    said = f"{key_id} is revoked: within seconds it is refused everywhere."
    return go_to(request, f"{base_of(request)}/keys", said)


def _made(scopes: list[str], typed: dict[str, str]) -> tuple[str, AccessKey]:
    """Return the text of a key as a form asks for it, and what is kept of it. Raises ValueError."""
    life = timedelta(seconds=_seconds(typed["expires"])) if typed["expires"] else None
    if typed["burst"] and not typed["rate"]:
        raise ValueError("how many at once goes with a rate")
    burst = _number(typed["burst"]) if typed["burst"] else None
    text, made = make(scopes_of(scopes), typed["name"], life=life)
    bound = made.bound(
        tenant=typed["tenant"] or None,
        rate=RequestRate.parse(typed["rate"], burst) if typed["rate"] else None,
        most_jobs=_number(typed["most_jobs"]) if typed["most_jobs"] else None,
    )
    return text, bound


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except InvalidDuration as error:
        raise ValueError(f"how long it lasts is {text[:40]!r}: {error}") from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(text)


async def _list(request: Request, status: int = 200, **shown: Any) -> Response:
    async with explained(desk_of(request).client.redis):
        found = sorted((await _records(request).all()).items())
    known = [key for key in (AccessKey.read(key_id, raw) for key_id, raw in found) if key is not None]
    values = {"wrong": "", "shown": "", "typed": dict.fromkeys(_FIELDS, ""), "chosen": frozenset()} | shown
    return render(
        request,
        "keys.html",
        status,
        page="keys",
        keys=known,
        scopes=list(Scope),
        now=datetime.now(UTC),
        once=new_mark(),
        **values,
    )


def _records(request: Request) -> AccessRecords:
    desk = desk_of(request)
    return AccessRecords(desk.client.redis, desk.settings.namespace)
