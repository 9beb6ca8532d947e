"""The list that a visitor came from: the way back to it, and to the jobs that stand beside this one in it.

Which those are is asked when the visitor goes there, so that the page costs nothing for it, and a list that has changed
meanwhile leads nowhere wrong.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import QueryParams

from rota.api.asking.filters import Asking, Filters, understood
from rota.api.asking.language import Mistake
from rota.api.asking.pages import wanted_of
from rota.api.desk import Desk, caller_of, desk_of, known_queue
from rota.api.pages.frame import ROOT, Page, base_of, go_to, job_page
from rota.api.pages.screens.jobs.view import Wish, filters_of
from rota.api.pages.visitors import OWN_SEES
from rota.api.problems import Problem
from rota.api.routes.lists import of_caller
from rota.model.info import JobInfo
from rota.model.state import State
from rota.names import ids_of
from rota.server.faults import explained
from rota.wire.claims import decode_id, encode_id
from rota.wire.keys import QueueKeys, queue_key

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: How many places around a job are looked at for one that is in the same state.
_AROUND = 50
#: The longest text of a list that is believed.
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Listed:
    """The list that a visitor came from.

    :param words: what it is called.
    :param back: its address.
    :param prev: the address that leads to the job before this one; empty where the list has no order that is known.
    :param fields: what a form of the page says of the list, so that it is not lost.
    """

    words: str
    back: str
    prev: str
    next: str
    fields: dict[str, str]


def listed(request: Request, info: JobInfo) -> Listed | None:
    """Return the list that a visitor came from, as the address of the page says; None where it says nothing."""
    text = str(getattr(request.state, "list", "") or request.query_params.get("list", ""))[:_LONGEST]
    if not text:
        return None
    at = getattr(request.state, "at", "") or request.query_params.get("at", "")
    if info.state is State.DEAD and info.finished_at is not None:
        at = f"{info.finished_at.timestamp() * 1000:.0f}"
    base, asking = base_of(request), _asking(text)
    fields = {"list": text, "at": at}
    here = {"queue": info.queue, "id": info.id.encode("utf-8", "surrogateescape"), **fields}
    steps = {step: f"{base}/job/beside?{urlencode({**here, 'step': step})}" for step in ("prev", "next")}
    # What stands beside a tenant's job in Redis is another tenant's.
    known = asking is not None and (not asking.is_live or caller_of(request).tenant is None)
    return Listed(
        _words(text),
        f"{base}/jobs?{text}",
        steps["prev"] if known else "",
        steps["next"] if known else "",
        fields,
    )


class Place(BaseModel):
    """A job in a list, as the address of a step from it says: `at` is when it died, if it did, in milliseconds."""

    model_config = ConfigDict(extra="forbid")

    queue: str
    id: str
    list: Annotated[str, Query(max_length=_LONGEST)]
    step: Literal["prev", "next"]
    at: str = ""

    @property
    def ids(self) -> tuple[str, str]:
        """The ids in Redis that its id can mean."""
        return ids_of(self.queue, self.id)


@router.get("/job/beside", dependencies=[OWN_SEES])
async def beside(request: Request, place: Annotated[Place, Query()]) -> Response:
    """Lead to the job that stands before or behind one in a list, or back to the one with a word."""
    desk, asking, base = desk_of(request), _asking(place.list), base_of(request)
    key, found = caller_of(request), None
    known_queue(place.queue)
    if key.tenant is not None:
        await desk.find(key, place.queue, place.id)
    if asking is not None and not asking.is_live:
        asking = asking._replace(filters=of_caller(asking.filters, key))
        found = await _in_table(desk, asking, place)
    elif asking is not None and key.tenant is None:
        found = await _in_redis(desk, asking.filters, place)
    more = urlencode({"list": place.list, "at": place.at})
    if found is None:
        said = f"This is the {'first' if place.step == 'prev' else 'last'} job of the list."
        return go_to(request, f"{job_page(base, place.queue, place.id)}&{more}", said)
    return go_to(request, f"{job_page(base, *found)}&{more}")


def _asking(text: str) -> Asking | None:
    """Return what a list is asked for; None for one whose order only its own page knows."""
    try:
        asking = understood(filters_of(Wish.of(QueryParams(text))))
    except (ValidationError, Mistake, Problem):
        return None
    # Which jobs fit is known once they are read; and beside a job there may be thousands that do not.
    is_searched = bool(asking.conditions) or (asking.is_live and asking.is_narrow)
    return None if is_searched else asking


def _words(text: str) -> str:
    given = dict(parse_qsl(text))
    what = given.get("state") or given.get("status", "").lower()
    return " ".join(filter(None, (what, "jobs", f"on {given['queue']}" if given.get("queue") else "")))


async def _in_redis(desk: Desk, filters: Filters, place: Place) -> tuple[str, str] | None:
    redis, name = desk.client.redis, filters.queue or place.queue
    keys = QueueKeys.of(queue_key(name))
    async with explained(redis):
        if filters.state is State.DEAD:
            found = await _letter_beside(redis, keys.dead, place)
        else:
            found = await _live_beside(redis, keys, filters.state, place)
    return None if found is None else (name, found)


async def _letter_beside(redis: Any, key: str, place: Place) -> str | None:
    """Return the dead letter next to one, the newest first; of one that is gone, next to its time of death."""
    is_before = place.step == "prev"
    for one in place.ids:
        rank = await redis.zrevrank(key, encode_id(one))
        if rank is not None:
            other = rank - 1 if is_before else rank + 1
            found = await redis.zrevrange(key, other, other) if other >= 0 else []
            return decode_id(found[0]) if found else None
    if not place.at.isdecimal():
        return None
    if is_before:
        found = await redis.zrangebyscore(key, f"({place.at}", "+inf", start=0, num=1)
    else:
        found = await redis.zrevrangebyscore(key, place.at, "-inf", start=0, num=1)
    return decode_id(found[0]) if found else None


async def _live_beside(redis: Any, keys: QueueKeys, state: State | None, place: Place) -> str | None:
    key = keys.active if state is State.ACTIVE else keys.queue
    for one in place.ids:
        rank = await redis.zrank(key, encode_id(one))
        if rank is None:
            continue
        first = max(0, rank - _AROUND) if place.step == "prev" else rank + 1
        last = rank - 1 if place.step == "prev" else rank + _AROUND
        around = await redis.zrange(key, first, last, withscores=True) if last >= first else []
        if place.step == "prev":
            around = around[::-1]
        if state is not State.ACTIVE:
            around = await _of_state(redis, keys, state, around)
        return decode_id(around[0][0]) if around else None
    return None


async def _of_state(redis: Any, keys: QueueKeys, state: State | None, around: Any) -> Any:
    """Return those of a queue's members that wait, or are delayed; claimed ones stand between them."""
    if not around:
        return []
    pipe = redis.pipeline(transaction=False)
    pipe.time()
    pipe.zmscore(keys.active, [member for member, _ in around])
    (seconds, micros), active = await pipe.execute()
    now = seconds * 1000 + micros // 1000
    return [
        one
        for one, held in zip(around, active, strict=True)
        if held is None and (one[1] <= now) == (state is State.WAITING)
    ]


async def _in_table(desk: Desk, asking: Asking, place: Place) -> tuple[str, str] | None:
    tenant = asking.filters.tenant
    row = None if desk.archive is None else await desk.archive.job(place.queue, place.id, tenant=tenant)
    if desk.archive is None or row is None:
        return None
    from rota.store.queries import Position  # noqa: PLC0415 - it needs an extra

    here = Position(row["enqueued_at"], row["id"])
    found = await desk.archive.beside(wanted_of(asking), here, newer=place.step == "prev")
    return None if found is None else (found["queue"], found["id"])
