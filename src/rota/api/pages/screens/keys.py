"""The page of the API's keys: for who has the scope `admin`. A new key is shown once, in the answer that makes it."""

from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.desk import desk_of, record
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, render
from rota.api.pages.visitors import ADMINISTERS, CHANGES
from rota.api.problems import Problem
from rota.model.access.keys import AccessKey, Scope, make, scopes_of
from rota.server.faults import explained
from rota.wire.access import AccessRecords

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)


@router.get("/keys", dependencies=[ADMINISTERS])
async def keys(request: Request) -> Response:
    """Show the keys that are kept in Redis, without their secrets."""
    return await _list(request)


@router.post("/keys", dependencies=[CHANGES])
async def new(request: Request) -> Response:
    """Make a key, and show it in this answer alone."""
    form = await form_of(request)
    name, tenant = (form.get(field, [""])[0].strip() for field in ("name", "tenant"))
    try:
        text, made = make(scopes_of(form.get("scope", [])), name)
        made = made.bound(tenant=tenant or None)
    except ValueError as error:
        return await _list(request, 422, wrong=f"No key was made: {error}.")
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
    return go_to(
        request, f"{base_of(request)}/keys", f"{key_id} is revoked: within seconds it is refused everywhere."
    )


async def _list(request: Request, status: int = 200, **shown: Any) -> Response:
    async with explained(desk_of(request).client.redis):
        found = sorted((await _records(request).all()).items())
    known = [key for key in (AccessKey.read(key_id, raw) for key_id, raw in found) if key is not None]
    values = {"wrong": "", "shown": ""} | shown
    return render(request, "keys.html", status, page="keys", keys=known, scopes=list(Scope), **values)


def _records(request: Request) -> AccessRecords:
    desk = desk_of(request)
    return AccessRecords(desk.client.redis, desk.settings.namespace)
