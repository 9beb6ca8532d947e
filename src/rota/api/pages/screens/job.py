"""The page of one job: what it is, what became of each attempt, what it has logged, and what its state allows."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from rota.api import shapes
from rota.api.desk import Desk, desk_of, known_queue
from rota.api.pages.acting import acted
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, render
from rota.api.pages.visitors import ACTS, SEES
from rota.api.problems import Problem
from rota.api.routes.lists import one
from rota.errors import JobNotFound
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


@router.get("/job", dependencies=[SEES])
async def job(request: Request, queue: str, id: str, now: bool = False) -> Response:  # noqa: A002 - in the address
    """Show one job, whatever its id looks like; with `now`, also where its handler is at this moment."""
    desk, name = desk_of(request), known_queue(queue)
    shown = await one(request, name, id, _EVERYTHING)
    stack = (
        await desk.client.stack(name, shown["id"]) if now and shown["state"] == State.ACTIVE.value else None
    )
    lines = await desk.client.log(name, shown["id"])
    return render(
        request,
        "job.html",
        page="jobs",
        job=shown,
        moments=_moments(shown),
        lines=lines,
        stack=stack,
        actions=_allowed(shown["state"]),
        max_attempts=_most(desk, shown["name"]),
    )


#: What each state of a job allows.
_ALLOWED = {
    State.WAITING.value: ("cancel",),
    State.DELAYED.value: ("run-now", "cancel"),
    State.ACTIVE.value: ("cancel",),
    State.DEAD.value: ("retry", "delete"),
}


def _allowed(state: str) -> tuple[str, ...]:
    return _ALLOWED.get(state, ())


@router.post("/job/{action}", dependencies=[ACTS])
async def act(request: Request, action: str) -> Response:
    """Cancel, retry, run now or delete a job, as a form of its page asks."""
    form = await form_of(request)
    queue, job_id, reason = (form.get(name, [""])[0] for name in ("queue", "id", "reason"))
    do = _ACTIONS.get(action)
    if do is None:
        raise Problem(
            404, "not-found", "There is nothing at this path", f"no action is called {action[:40]!r}"
        )
    said = await do(desk_of(request), known_queue(queue), job_id)
    await acted(request, action.replace("-", "_"), {"queue": queue, "id": job_id}, reason=reason)
    base = base_of(request)
    where = urlencode({"queue": queue, "id": job_id})
    path = (
        f"{base}/jobs?{urlencode({'queue': queue, 'state': 'dead'})}"
        if action == "delete"
        else f"{base}/job?{where}"
    )
    return go_to(request, path, said)


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
