"""What the forms of a job's page do; where another person was faster, the page says so and shows the job as it is."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from pydantic_core import from_json

from rota.api.bodies import parse
from rota.api.desk import LONGEST_REASON, Desk, actor_of, caller_of, desk_of, record
from rota.api.enqueueing import call_of, fix_of
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, job_page
from rota.api.pages.screens.jobs.one.page import Refusal, known_name, shown
from rota.api.pages.screens.jobs.one.reading import see
from rota.api.pages.screens.jobs.one.texts import put_back
from rota.api.pages.visitors import OWN_ACTS, OWN_MAKES
from rota.api.problems import Problem, problem_of
from rota.errors import JobNotFound, NoDeadLetter, RotaError
from rota.model.bulk.actions import Action
from rota.model.state import State
from rota.server.faults import ServerError
from rota.units import InvalidDuration, parse_duration

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The options of a job that one like it is given too.
_KEPT = ("timeout", "max_attempts", "keep_result")
#: How many of the last actions are looked at for the one that was faster.
_LOOKED_AT = 50


class Sent(NamedTuple):
    """A form of the page: about which job, why, and which list the visitor came from."""

    queue: str
    id: str
    reason: str
    list: str
    at: str
    form: Mapping[str, Sequence[str]]

    @classmethod
    async def by(cls, request: Request, *, of_letter: bool = False) -> Self:
        """Read the form of a request, which may be about a dead letter. Raises Problem, JobNotFound, ServerError."""
        form = await form_of(request)
        queue, job_id, reason, listed, at = (
            form.get(name, [""])[0] for name in ("queue", "id", "reason", "list", "at")
        )
        request.state.list, request.state.at = listed, at
        own_id = await desk_of(request).own_id(caller_of(request), queue, job_id, letter=of_letter)
        return cls(queue, own_id, reason, listed, at, form)

    def value(self, name: str) -> str:
        """Return another field of the form; empty for one that it lacks."""
        return self.form.get(name, [""])[0]

    def page(self, request: Request) -> str:
        """Return the address of the job's page."""
        more = f"&{urlencode({'list': self.list, 'at': self.at})}" if self.list else ""
        return job_page(base_of(request), self.queue, self.id) + more


@router.post("/job/fix", dependencies=[OWN_ACTS])
async def fix(request: Request) -> Response:
    """Bring a dead letter back with another payload, which the job's own type checks; or show what is wrong with it."""
    sent = await Sent.by(request, of_letter=True)
    written = sent.value("payload")
    try:
        await _fix(request, sent, written)
    except (Problem, RotaError) as error:
        return await _refused(request, sent, error, written=written)
    return go_to(request, sent.page(request), "The job is brought back with its new payload.")


async def _fix(request: Request, sent: Sent, written: str) -> None:
    desk = desk_of(request)
    info = await desk.client.status(sent.queue, sent.id, letter=True)
    if info.state is not State.DEAD:
        raise NoDeadLetter(info.id, info.state)
    payload = put_back(parse(written.encode("utf-8", "surrogatepass")), info.payload)
    call = fix_of(desk.registry, caller_of(request), sent.queue, info.task, {"payload": payload})
    why = sent.reason.strip()[:LONGEST_REASON]
    try:
        await desk.client.retry(sent.queue, info.id, call=call, by=actor_of(request), reason=why)
    except ValueError as error:
        raise _changed(str(error)) from None


@router.post("/job/again", dependencies=[OWN_MAKES])
async def again(request: Request) -> Response:
    """Enqueue a new job with the name, the payload and the options of one that is over."""
    sent = await Sent.by(request)
    desk = desk_of(request)
    try:
        seen = await see(request, sent.queue, sent.id)
        close, info, name = seen.close, seen.close.info, known_name(desk, seen)
        if close.arguments is None or not name:
            detail = "its payload is not kept any more, or the code here does not know the job"
            raise Problem(409, "wrong-state", "The job cannot be run again", detail)
        options: dict[str, Any] = {one: close.options[one] for one in _KEPT if one in close.options}
        options |= {} if info.tenant is None else {"tenant": info.tenant}
        options |= {"queue": info.queue} if not name.startswith(f"{info.queue}:") else {}
        options |= {"priority": int(level)} if (level := close.terms.get("p", "")).isdecimal() else {}
        body = {"payload": from_json(close.arguments), "options": options}
        key = caller_of(request)
        call = call_of(desk.registry, key, name, body)
        async with desk.gate.quotas.within(key, 1):
            (handle,) = await desk.client.enqueue_many([call])
    except (Problem, RotaError) as error:
        return await _refused(request, sent, error)
    await record(request, "enqueue", reason=sent.reason, queue=handle.queue, id=handle.id, like=sent.id)
    said = "This is the new job." if handle.created else "This job has its unique key, and stands for it."
    return go_to(request, job_page(base_of(request), handle.queue, handle.id), said)


@router.post("/job/{action}", dependencies=[OWN_ACTS])
async def act(request: Request, action: str) -> Response:
    """Cancel, retry, run now, put off or delete a job, as a form of its page asks."""
    do = _ACTIONS.get(action)
    if do is None:
        detail = f"no action is called {action[:40]!r}"
        raise Problem(404, "not-found", "There is nothing at this path", detail)
    sent = await Sent.by(request, of_letter=action in _OF_LETTERS)
    try:
        said = await do(desk_of(request), sent)
    except (Problem, RotaError) as error:
        return await _refused(request, sent, error)
    name = {"put-off": "reschedule"}.get(action, action.replace("-", "_"))
    await record(request, name, reason=sent.reason, queue=sent.queue, id=sent.id)
    if action == "delete":
        rest = sent.list or urlencode({"queue": sent.queue, "state": State.DEAD.value})
        return go_to(request, f"{base_of(request)}/jobs?{rest}", said)
    return go_to(request, sent.page(request), said)


async def _cancel(desk: Desk, sent: Sent) -> str:
    found = await desk.client.cancel(sent.queue, sent.id)
    if found == "not found":
        raise JobNotFound(sent.id)
    if found == "finished":
        raise _changed("a job that is over cannot be cancelled")
    return "The job is cancelled." if found == "cancelled" else "The job runs, and was told to stop."


async def _retry(desk: Desk, sent: Sent) -> str:
    handle = await desk.client.retry(sent.queue, sent.id)
    if not handle.created:
        return f"The job {handle.id} has its unique key, and stands for it; the dead letter stays."
    return "The job is brought back, with all of its attempts."


async def _run_now(desk: Desk, sent: Sent) -> str:
    await _reschedule(desk, sent, 0.0)
    return "The job is due now."


async def _put_off(desk: Desk, sent: Sent) -> str:
    try:
        delay = parse_duration(sent.value("delay") or "?")
    except (InvalidDuration, ValueError) as error:
        raise Problem(422, "invalid-form", "The time cannot be read", str(error)) from None
    if isinstance(delay, str):
        raise Problem(422, "invalid-form", "The time cannot be read", "write 30s, 10m, 2h or 1d")
    await _reschedule(desk, sent, delay)
    return "The job is put off."


async def _reschedule(desk: Desk, sent: Sent, delay: float) -> None:
    try:
        found = await desk.client.reschedule(sent.queue, sent.id, delay=delay)
    except ValueError as error:
        raise Problem(422, "invalid-form", "The time cannot be used", str(error)) from None
    if found == "not found":
        raise JobNotFound(sent.id)
    if found != "rescheduled":
        raise _changed(f"the job is {found} now; only one that waits can be moved")


async def _delete(desk: Desk, sent: Sent) -> str:
    if not sent.value("sure"):
        detail = "what is deleted is gone for good: mark that you are sure"
        raise Problem(422, "not-confirmed", "The dead letter is not deleted", detail)
    await desk.client.delete_dead(sent.queue, sent.id)
    return f"The dead letter {sent.id} is deleted."


_ACTIONS: dict[str, Callable[[Desk, Sent], Awaitable[str]]] = {
    "cancel": _cancel,
    "retry": _retry,
    "run-now": _run_now,
    "put-off": _put_off,
    "delete": _delete,
}

#: Those that are about a dead letter, which may have the id of a later job.
_OF_LETTERS = frozenset({"retry", "delete"})


def _changed(detail: str) -> Problem:
    return Problem(409, "wrong-state", "The job has changed meanwhile", detail)


async def _refused(request: Request, sent: Sent, error: Exception, *, written: str = "") -> Response:
    """Show the job as it is now, with why nothing was done; or say that it is gone. Raises what is a bug."""
    problem = problem_of(error)
    if problem is None or isinstance(error, ServerError):
        raise error
    is_late = isinstance(error, JobNotFound) or problem.kind == "wrong-state"
    others = await _faster(desk_of(request), sent, caller_of(request).tenant) if is_late else None
    if problem.status == 404:  # noqa: PLR2004 - the job is there, and what was to be done to it is not possible
        problem = _changed(problem.detail)
    try:
        return await shown(request, sent.queue, sent.id, refusal=Refusal(problem, others, written))
    except JobNotFound:
        raise _gone(others) from None


def _gone(others: Action | None) -> Problem:
    who = "" if others is None else f"; {others.actor.name or others.actor.id} did this: {others.action}"
    detail = f"nothing was done, and Redis keeps nothing of the job any more{who}"
    return Problem(404, "no-such-job", "The job is gone", detail)


async def _faster(desk: Desk, sent: Sent, tenant: str | None) -> Action | None:
    """Return the last action on the job that is on the list of actions."""
    actions = await desk.client.actions.page(limit=_LOOKED_AT, tenant=tenant)
    return next((one for one in actions if one.target.get("id") == sent.id), None)
