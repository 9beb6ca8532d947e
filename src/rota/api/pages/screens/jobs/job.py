"""The page of one job: what it is, what became of each attempt, what it has logged, and what its state allows."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from rota.api import shapes
from rota.api.bodies import parse
from rota.api.desk import Desk, actor_of, caller_of, desk_of, known_queue, record
from rota.api.enqueueing import fix_of
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, job_page, render
from rota.api.pages.visitors import OWN_ACTS, OWN_SEES
from rota.api.problems import Problem
from rota.api.routes.lists import one
from rota.errors import JobNotFound, NoDeadLetter
from rota.model.log.lines import LogLine
from rota.model.state import State

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

_EVERYTHING = frozenset(shapes.OPTIONAL)


class Moment(NamedTuple):
    """A moment in the life of a job: what happened, when, how long after the one before, and how good that is."""

    words: str
    at: datetime
    after: float | None
    level: str = ""
    more: str = ""


@router.get("/job", dependencies=[OWN_SEES])
async def job(request: Request, queue: str, id: str, now: bool = False) -> Response:  # noqa: A002 - in the address
    """Show one job, whatever its id looks like; with `now`, also where its handler is at this moment."""
    return await _shown(request, known_queue(queue), id, now=now)


async def _shown(
    request: Request,
    queue: str,
    job_id: str,
    *,
    now: bool = False,
    written: str = "",
    problem: Problem | None = None,
) -> Response:
    """Show a job; `written` is a payload that was to take the place of its own, and `problem` what is wrong with it."""
    desk = desk_of(request)
    shown = await one(request, queue, job_id, _EVERYTHING)
    is_asked = now and shown["state"] == State.ACTIVE.value
    return render(
        request,
        "job.html",
        200 if problem is None else problem.status,
        page="jobs",
        job=shown,
        moments=_moments(shown),
        lines=await _lines(desk, queue, shown["id"]),
        stack=await desk.client.stack(queue, shown["id"]) if is_asked else None,
        actions=_ALLOWED.get(shown["state"], ()),
        max_attempts=_most(desk, shown["name"]),
        written=written or to_json(shown.get("payload") or {}, indent=2).decode(),
        problem=problem,
    )


async def _lines(desk: Desk, queue: str, job_id: str) -> list[LogLine]:
    """Return what a job has logged, also of one that has left Redis."""
    try:
        return await desk.client.log(queue, job_id)
    except JobNotFound:
        return []


@router.post("/job/fix", dependencies=[OWN_ACTS])
async def fix(request: Request) -> Response:
    """Bring a dead letter back with another payload, which the job's own type checks; or show what is wrong with it."""
    desk, form = desk_of(request), await form_of(request)
    queue, job_id, written = (form.get(name, [""])[0] for name in ("queue", "id", "payload"))
    key = caller_of(request)
    own_id = await desk.own_id(key, queue, job_id, letter=True)
    info = await desk.client.status(queue, own_id, letter=True)
    if info.state is not State.DEAD:
        raise NoDeadLetter(info.id, info.state)
    try:
        payload = parse(written.encode("utf-8", "surrogatepass"))
        call = fix_of(desk.registry, key, queue, info.task, {"payload": payload})
        await desk.client.retry(queue, info.id, call=call, by=actor_of(request))
    except Problem as problem:
        return await _shown(request, queue, info.id, written=written, problem=problem)
    except ValueError as error:
        detail = Problem(409, "wrong-state", "The state of the job does not allow this", str(error))
        return await _shown(request, queue, info.id, written=written, problem=detail)
    return go_to(
        request, job_page(base_of(request), queue, info.id), "The job is brought back with its new payload."
    )


#: What each state of a job allows.
_ALLOWED = {
    State.WAITING.value: ("cancel",),
    State.DELAYED.value: ("run-now", "cancel"),
    State.ACTIVE.value: ("cancel",),
    State.DEAD.value: ("retry", "fix", "delete"),
}


@router.post("/job/{action}", dependencies=[OWN_ACTS])
async def act(request: Request, action: str) -> Response:
    """Cancel, retry, run now or delete a job, as a form of its page asks."""
    form = await form_of(request)
    queue, job_id, reason = (form.get(name, [""])[0] for name in ("queue", "id", "reason"))
    do = _ACTIONS.get(action)
    if do is None:
        raise Problem(
            404, "not-found", "There is nothing at this path", f"no action is called {action[:40]!r}"
        )
    desk = desk_of(request)
    own_id = await desk.own_id(caller_of(request), queue, job_id, letter=action in _OF_LETTERS)
    said = await do(desk, queue, own_id)
    await record(request, action.replace("-", "_"), queue=queue, id=own_id, reason=reason)
    if action == "delete":
        return go_to(request, f"{base_of(request)}/jobs?{urlencode({'queue': queue, 'state': 'dead'})}", said)
    return go_to(request, job_page(base_of(request), queue, own_id), said)


async def _cancel(desk: Desk, queue: str, job_id: str) -> str:
    found = await desk.client.cancel(queue, job_id)
    if found == "not found":
        raise JobNotFound(job_id)
    if found == "finished":
        raise Problem(409, "wrong-state", "The job is over", "a job that is over cannot be cancelled")
    return "The job is cancelled." if found == "cancelled" else "The job runs, and was told to stop."


async def _retry(desk: Desk, queue: str, job_id: str) -> str:
    await desk.client.retry(queue, job_id)
    return "The job is brought back, with all of its attempts."


async def _run_now(desk: Desk, queue: str, job_id: str) -> str:
    found = await desk.client.reschedule(queue, job_id)
    if found == "not found":
        raise JobNotFound(job_id)
    if found != "rescheduled":
        raise Problem(
            409,
            "wrong-state",
            "The job does not wait",
            f"the job is {found}; only one that waits can be run now",
        )
    return "The job is due now."


async def _delete(desk: Desk, queue: str, job_id: str) -> str:
    await desk.client.delete_dead(queue, job_id)
    return f"The dead letter {job_id} is deleted."


_ACTIONS: dict[str, Callable[[Desk, str, str], Awaitable[str]]] = {
    "cancel": _cancel,
    "retry": _retry,
    "run-now": _run_now,
    "delete": _delete,
}


#: Those that are about a dead letter, which may have the id of a later job.
_OF_LETTERS = frozenset({"retry", "delete"})


def _moments(shown: dict[str, Any]) -> list[Moment]:
    """Return what is known of a job's life, in the order in which it happened."""
    known: list[tuple[str, datetime | None, str, str]] = [("enqueued", shown["enqueued_at"], "", "")]
    if shown["due_at"] and shown["due_at"] != shown["enqueued_at"]:
        known.append(("due", shown["due_at"], "", ""))
    for failed in shown.get("attempts") or ():
        error = failed["error"]
        known.append(
            (
                f"attempt {failed['attempt']} failed",
                failed["at"],
                "bad",
                f"{error['type']}: {error['message']}",
            )
        )
    if shown["started_at"]:
        known.append((f"attempt {shown['attempt']} started", shown["started_at"], "busy", ""))
    if shown["finished_at"]:
        is_good = shown["state"] == State.COMPLETED.value
        known.append(
            (shown["state"], shown["finished_at"], "good" if is_good else "bad", shown["reason"] or "")
        )
    found = sorted(
        ((at, words, level, more) for words, at, level, more in known if at), key=lambda one: one[0]
    )
    before: datetime | None = None
    moments = []
    for at, words, level, more in found:
        moments.append(
            Moment(words, at, None if before is None else (at - before).total_seconds(), level, more)
        )
        before = at
    return moments


def _most(desk: Desk, name: str | None) -> int | None:
    for one_job in desk.registry.jobs:
        if desk.registry.full_name(one_job) == name:
            return one_job.max_attempts
    return None
