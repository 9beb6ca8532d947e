"""The list that a visitor came from: the way back to it, and to the jobs that stand beside this one in it.

Which those are is asked when the visitor goes there, so that the page costs nothing for it, and a list that has changed
meanwhile leads nowhere wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import QueryParams

from rota.api.desk import caller_of, desk_of, known_queue
from rota.api.pages.frame import ROOT, Page, base_of, go_to, job_page
from rota.api.pages.screens.jobs.listing import found_of
from rota.api.pages.screens.jobs.view import Wish
from rota.api.pages.visitors import OWN_SEES
from rota.model.info import JobInfo
from rota.model.state import State
from rota.names import ids_of

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The longest text of a list that is believed.
_LONGEST = 1000

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """The list that a visitor came from.

    :param words: what it is called.
    :param back: its address; `prev` and `next` are those that lead to the jobs beside this one.
    :param fields: what a form of the page says of the list, so that it is not lost.
    """

    words: str
    back: str
    prev: str
    next: str
    fields: dict[str, str]


class Place(BaseModel):
    """A job in a list, as the address of a step from it says: `at` is when it died, if it did, in milliseconds."""

    model_config = ConfigDict(extra="forbid")

    queue: str
    id: str
    list: Annotated[str, Query(max_length=_LONGEST)]
    step: Literal["prev", "next"]
    at: Annotated[str, Query(pattern=r"^\d{0,14}$")] = ""


def listed(request: Request, info: JobInfo) -> Listed | None:
    """Return the list that a visitor came from, as the address of the page says; None where it says nothing."""
    text = str(getattr(request.state, "list", "") or request.query_params.get("list", ""))[:_LONGEST]
    if not text:
        return None
    at = getattr(request.state, "at", "") or request.query_params.get("at", "")
    if info.state is State.DEAD and info.finished_at is not None:
        at = f"{info.finished_at.timestamp() * 1000:.0f}"
    wish, fields = Wish.of(QueryParams(text)), {"list": text, "at": at}
    here = {"queue": info.queue, "id": info.id, **fields}
    prev, following = (
        f"{base_of(request)}/job/beside?{urlencode({**here, 'step': step}, errors='surrogateescape')}"
        for step in ("prev", "next")
    )
    queue = f"on {wish.given['queue']}" if "queue" in wish.given else ""
    words = " ".join(filter(None, (wish.tab, "jobs", queue)))
    return Listed(words, f"{base_of(request)}/jobs?{wish.list}", prev, following, fields)


@router.get("/job/beside", dependencies=[OWN_SEES])
async def beside(request: Request, place: Annotated[Place, Query()]) -> Response:
    """Lead to the job that stands before or behind one in a list, or back to the one with a word."""
    base, key = base_of(request), caller_of(request)
    known_queue(place.queue)
    if key.tenant is not None:
        await desk_of(request).find(key, place.queue, place.id)
    wish, found = await _beside(request, place)
    more = urlencode({"list": wish.list, "at": place.at})
    if found is None:
        said = f"This is the {'first' if place.step == 'prev' else 'last'} job of the list."
        return go_to(request, f"{job_page(base, place.queue, place.id)}&{more}", said)
    return go_to(request, f"{job_page(base, found['queue'], found['id'])}&{more}")


async def _beside(request: Request, place: Place) -> tuple[Wish, Item | None]:
    """Return the job beside one, and the page of the list that has it; None at the list's end."""
    wish, is_before = Wish.of(QueryParams(place.list)), place.step == "prev"
    page = (await found_of(request, wish)).page
    number = _number(page.items, place)
    if number is None:
        return wish, None
    if 0 <= number < len(page.items):
        return wish, page.items[number]
    cursor = page.newer if is_before else page.next
    if cursor is None:
        return wish, None
    wish = Wish(dict(wish.given) | {"cursor": cursor})
    items = (await found_of(request, wish)).page.items
    return wish, items[-1 if is_before else 0] if items else None


def _number(items: Sequence[Item], place: Place) -> int | None:
    """Return the number of the job beside one among those of a page; None for one that stands nowhere there.

    A dead letter that was brought back or deleted stood before those that had died earlier.
    """
    ids, by = ids_of(place.queue, place.id), -1 if place.step == "prev" else 1
    for number, one in enumerate(items):
        if one["queue"] == place.queue and one["id"] in ids:
            return number + by
    if not place.at or not all(one["state"] == State.DEAD.value for one in items):
        return None
    died = datetime.fromtimestamp(int(place.at) / 1000, UTC)
    later = sum(1 for one in items if one["finished_at"] is not None and one["finished_at"] > died)
    return later - 1 if by < 0 else later
