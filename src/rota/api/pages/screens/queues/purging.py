"""Emptying a queue: which of its jobs, how many these are, and its name typed before the leader does it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from rota.api.desk import Desk, actor_of, desk_of, known_queue, record
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, render
from rota.api.pages.screens.queues.standing import reading_of, states_of
from rota.api.pages.visitors import ACTS, SEES
from rota.api.pages.words import counted
from rota.errors import MoreThanExpected
from rota.model.bulk.filters import BulkAction, Filter
from rota.model.state import State

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The states of the jobs that can be purged: those that run are not.
_STATES = (State.WAITING, State.DELAYED, State.DEAD)
#: The most digits of a number that is read.
_DIGITS = 14

Counts = Mapping[str, int]


class Part(NamedTuple):
    """One action on many jobs of a purge: what is done, to which jobs, and to how many at most."""

    action: BulkAction
    wanted: Filter
    most: int


@router.get("/queues/{queue}/purge", dependencies=[SEES])
async def ask(request: Request, queue: str) -> Response:
    """Show how many jobs of a queue could go, and ask which are to."""
    name = known_queue(queue)
    return _page(request, name, await _counts(desk_of(request), name))


@router.post("/queues/{queue}/purge", dependencies=[ACTS])
async def purge(request: Request, queue: str) -> Response:
    """Let the leader cancel what waits and delete what died, if there are no more of them than were shown."""
    desk, name = desk_of(request), known_queue(queue)
    form = await form_of(request)
    shown = {state.value: _number(form, state) for state in _STATES if state in form.get("state", ())}
    counts = await _counts(desk, name)
    if wrong := _wrong(name, form, shown, counts):
        return _page(request, name, counts, shown, wrong)
    ids: list[str] = []
    try:
        for part in _parts(name, shown):
            ids.append(await _begin(request, name, part, form))
    except MoreThanExpected as error:
        others = " The others of those that were chosen are being cancelled." if ids else ""
        return _page(request, name, await _counts(desk, name), shown, f"{error}.{others}")
    if len(ids) == 1:
        return go_to(request, f"{base_of(request)}/bulk/{ids[0]}")
    said = f"{counted(sum(shown.values()), 'job')} of {name} go: the worker that leads does it, in portions."
    return go_to(request, f"{base_of(request)}/queues/{name}", said)


async def _begin(request: Request, name: str, part: Part, form: Mapping[str, Sequence[str]]) -> str:
    """Put an action on many jobs for the leader, and write down that it is a purge; return its id."""
    bulk, actor = desk_of(request).client.bulk, actor_of(request)
    operation = await bulk.start(part.action, part.wanted, actor, expect=part.most)
    await record(
        request,
        "purge",
        queue=name,
        state=part.wanted.state or "waiting, delayed",
        operation=operation.id,
        reason=form.get("reason", [""])[0],
    )
    return operation.id


def _parts(name: str, shown: Counts) -> list[Part]:
    """Return what is done to purge these states: at most two actions, as one cannot cancel and delete."""
    cancelled = [state for state in _STATES if state is not State.DEAD and state in shown]
    parts = []
    if len(cancelled) == 1:
        (state,) = cancelled
        parts.append(Part(BulkAction.CANCEL, Filter(queue=name, state=state), shown[state]))
    elif cancelled:
        both = sum(shown[state] for state in cancelled)
        parts.append(Part(BulkAction.CANCEL, Filter(queue=name, status="PENDING"), both))
    if State.DEAD in shown:
        parts.append(Part(BulkAction.DELETE, Filter(queue=name, state=State.DEAD), shown[State.DEAD]))
    return [part for part in parts if part.most]


def _wrong(name: str, form: Mapping[str, Sequence[str]], shown: Counts, counts: Counts) -> str:
    """Return why a purge is not begun; "" where nothing is against it."""
    if not any(shown.values()):
        return "Nothing was chosen that there is: mark which jobs are to go."
    if form.get("typed", [""])[0].strip() != name:
        return f"Type {name} to go on: its jobs cannot be brought back."
    for state, count in shown.items():
        if counts[state] > count:
            return f"{counts[state]:,} are {state} by now, and {count:,} were shown. Nothing was done."
    return ""


async def _counts(desk: Desk, name: str) -> Counts:
    reading, _ = await reading_of(desk, name)
    found = states_of(reading.queues[name])
    return {state.value: found[state] for state in _STATES}


def _page(
    request: Request, name: str, counts: Counts, chosen: Counts | None = None, wrong: str = ""
) -> Response:
    return render(
        request,
        "purge.html",
        422 if wrong else 200,
        page="",
        name=name,
        counts=counts,
        chosen=chosen or {},
        wrong=wrong,
    )


def _number(form: Mapping[str, Sequence[str]], name: str) -> int:
    text = form.get(name, [""])[0]
    is_number = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
    return int(text) if is_number else 0
