"""The page of one job, and the texts of it that a browser can keep: payload, result, checkpoint and log."""

import asyncio
from typing import Any, Literal, NamedTuple
from urllib.parse import quote_plus, urlencode

from fastapi import APIRouter, Request, Response

from rota.api.desk import Desk, caller_of, desk_of
from rota.api.pages.frame import ROOT, Page, download, render
from rota.api.pages.screens.jobs.one import commands
from rota.api.pages.screens.jobs.one.beside import listed
from rota.api.pages.screens.jobs.one.links import links_of
from rota.api.pages.screens.jobs.one.moments import life_of
from rota.api.pages.screens.jobs.one.reading import Seen, see, with_runs
from rota.api.pages.screens.jobs.one.telling import attempts_of, said_of
from rota.api.pages.screens.jobs.one.texts import Text, text_of, without_secrets
from rota.api.pages.visitors import OWN_SEES
from rota.api.problems import Problem
from rota.app.handlers import rules_of
from rota.client.hands.closeup import Closeup
from rota.errors import NotRunning, UnknownJob, WorkerSilent
from rota.model.access.keys import Scope
from rota.model.bulk.actions import Action
from rota.model.job import Job
from rota.model.log.text import as_text
from rota.model.stack.stack import JobStack
from rota.model.state import State
from rota.names import full_name

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: How many lines of a log are on a page.
_LINES = 100
#: The largest payload that a form takes, as the form sends it; and one that stands in an address.
_LARGEST_FIX, _LARGEST_ADDRESS = 60_000, 2000

Part = Literal["payload", "positional", "result", "checkpoint", "log"]


@router.get("/job", dependencies=[OWN_SEES])
async def job(
    request: Request,
    queue: str,
    id: str,  # noqa: A002 - in the address
    now: bool = False,
    log: int = 1,
) -> Response:
    """Show one job, whatever its id looks like; with `now`, also where its handler is at this moment."""
    return await shown(request, queue, id, now=now, log_page=log)


class Refusal(NamedTuple):
    """A form of the page that did nothing: why, and which action on the job was faster, if one was.

    `written` is the payload that was to take the place of the job's own.
    """

    problem: Problem
    others: Action | None = None
    written: str = ""


async def shown(
    request: Request,
    queue: str,
    job_id: str,
    *,
    now: bool = False,
    log_page: int = 1,
    refusal: Refusal | None = None,
) -> Response:
    """Show a job as it is now, and what a form of its page was refused for. Raises JobNotFound, ServerError."""
    desk = desk_of(request)
    seen = await with_runs(request, await see(request, queue, job_id))
    stack, silent = await _stack(desk, seen) if now else (None, "")
    most = _most_attempts(desk, seen)
    return render(
        request,
        "job.html",
        200 if refusal is None else refusal.problem.status,
        page="jobs",
        # A look at the stack stands still: brought up to date, it would ask the worker at each change of any job.
        **({"is_live": False} if now else {}),
        job=seen.close.info,
        seen=seen,
        close=seen.close,
        said=said_of(seen.close, most),
        life=life_of(seen.close),
        attempts=attempts_of(seen.close),
        most=most,
        links=links_of(desk.settings, seen),
        actions=actions_of(desk, seen),
        forms=_forms(desk, request, seen, refusal.written if refusal else ""),
        texts=_texts(seen.close),
        lines=_lines(seen, log_page),
        stack=stack,
        silent=silent,
        commands=commands,
        listed=listed(request, seen.close.info),
        refusal=refusal,
    )


@router.get("/job/payload", dependencies=[OWN_SEES])
async def payload(
    request: Request,
    queue: str,
    id: str,  # noqa: A002 - in the address
    part: Part = "payload",
) -> Response:
    """Return the whole of a text, of which the page may show the beginning, as a file without its secrets."""
    seen = await see(request, queue, id)
    close = seen.close
    if part == "log":
        text = seen.log or as_text(close.lines)
        return download(text, f"{close.info.id}.log.txt")
    found = {
        "payload": close.arguments,
        "positional": close.positional,
        "result": close.result,
        "checkpoint": close.checkpoint,
    }[part]
    if found is None:
        raise Problem(404, "not-found", "There is nothing to keep", f"the job has no {part} that is kept")
    # A megabyte takes a second: others are not to wait for it.
    text = await asyncio.to_thread(without_secrets, found)
    return download(text, f"{close.info.id}.{part}.json", "application/json")


def actions_of(desk: Desk, seen: Seen) -> tuple[str, ...]:
    """Return what the state of a job allows."""
    close, info = seen.close, seen.close.info
    if seen.is_recorded and info.state not in (State.COMPLETED, State.CANCELLED, State.DEAD):
        return ()  # it is not in Redis, and the table has not been told of its end yet
    match info.state:
        case State.WAITING:
            return "put-off", "cancel"
        case State.DELAYED:
            return "run-now", "put-off", "cancel"
        case State.ACTIVE:
            return () if close.is_stopping else ("cancel",)
        case _ if close.has_letter:
            fixes = ("fix",) if close.arguments is not None and known_name(desk, seen) else ()
            return ("retry", *fixes, "delete") if close.arguments is not None else ("delete",)
        case _:
            return (
                ("again",)
                if close.arguments is not None and not close.positional and known_name(desk, seen)
                else ()
            )


def known_name(desk: Desk, seen: Seen) -> str:
    """Return the full name by which the code here knows a job; empty where it does not."""
    found = _job_of(desk, seen)
    return "" if found is None else desk.registry.full_name(found)


def _job_of(desk: Desk, seen: Seen) -> Job[Any, Any] | None:
    info = seen.close.info
    home = seen.close.options.get("home")
    try:
        return desk.registry.find(full_name(home if isinstance(home, str) else info.queue, info.task))
    except UnknownJob:
        return None


def _most_attempts(desk: Desk, seen: Seen) -> int | None:
    own = seen.close.options.get("max_attempts")
    if isinstance(own, int):
        return own
    found = _job_of(desk, seen)
    return None if found is None else rules_of(found, desk.settings.queue(seen.close.info.queue)).max_attempts


async def _stack(desk: Desk, seen: Seen) -> tuple[JobStack | None, str]:
    """Return where the handler of a job is, or why that is not known."""
    info = seen.close.info
    try:
        return await desk.client.stack(info.queue, info.id), ""
    except (NotRunning, WorkerSilent) as error:
        return None, str(error)


def _texts(close: Closeup) -> list[tuple[Part, str, Text]]:
    """Return the texts of a job, each with the title that it stands under."""
    found: tuple[tuple[Part, str, str | None], ...] = (
        ("payload", "Payload", close.arguments),
        ("positional", "Positional arguments", close.positional),
        ("result", "Result", close.result),
        ("checkpoint", "Checkpoint", close.checkpoint),
    )
    return [(part, title, text) for part, title, json in found if (text := text_of(json)) is not None]


def _forms(desk: Desk, request: Request, seen: Seen, written: str) -> dict[str, Any]:
    """Return what the forms need beside what the page shows: the payload to edit, commands, an address."""
    close, info = seen.close, seen.close.info
    key = caller_of(request)
    if close.arguments is None or not (key.lets(Scope.OPERATE) or key.lets(Scope.ENQUEUE)):
        return {"payload": "", "written": False, "is_too_large": False, "again": "", "new": ""}
    name, is_small = known_name(desk, seen), len(close.arguments) < _LARGEST_FIX
    discreet = without_secrets(close.arguments) if is_small else ""
    edited, hidden = written or discreet, '"***"' in discreet
    elsewhere = info.queue if name and not name.startswith(f"{info.queue}:") else ""
    address = urlencode({"name": name, "payload": edited})
    return {
        "payload": edited,
        "written": bool(written),
        "is_too_large": not is_small or len(quote_plus(edited)) > _LARGEST_FIX,
        "again": "" if hidden or not name else commands.again(name, close.arguments, elsewhere),
        "new": address if name and is_small and not hidden and len(address) < _LARGEST_ADDRESS else "",
    }


def _lines(seen: Seen, page: int) -> dict[str, Any]:
    """Return a page of the log; the last page, which has the newest lines, is the first to be shown."""
    lines = seen.close.lines
    pages = max(1, -(-len(lines) // _LINES))
    number = min(max(page, 1), pages)
    end = len(lines) - (number - 1) * _LINES
    return {
        "items": lines[max(0, end - _LINES) : end],
        "from": max(0, end - _LINES) + 1,
        "to": end,
        "total": len(lines),
        "older": number + 1 if number < pages else None,
        "newer": number - 1 if number > 1 else None,
    }
