"""The search of every page: by the id of a job or a flow, the name of a queue or a job, and by the text of an error."""

import asyncio
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request, Response

from rota.api import shapes
from rota.api.asking.language import written
from rota.api.desk import caller_of, desk_of, names_of
from rota.api.pages.frame import ROOT, Page, base_of, go_to, job_page, render
from rota.api.pages.visitors import OWN_SEES
from rota.client.looking.live import look
from rota.client.view import find_among
from rota.errors import JobError, JobNotFound, UnreadablePayload
from rota.flows.looking import look as look_at_flow
from rota.model.info import JobInfo
from rota.model.state import State
from rota.names import ids_of
from rota.server.faults import explained
from rota.wire.keys import QueueKeys, queue_key

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The longest text that is looked for, in characters, and the most hits of a kind that are shown.
_LONGEST, _SHOWN = 500, 10


class _Hit(NamedTuple):
    """A queue, or a name of jobs, that has the text in its name, all of it or a part; or the flow that has it as id."""

    name: str
    address: str
    is_exact: bool


@router.get("/search", dependencies=[OWN_SEES])
async def search(request: Request, q: str = "") -> Response:
    """Lead to the one thing that has an id or a name, or show by kind what there is."""
    text, base = q.strip()[:_LONGEST], base_of(request)
    jobs: list[dict[str, Any]] = []
    dead: list[dict[str, Any]] = []
    flows: list[_Hit] = []
    if text:
        jobs, dead, flows = await asyncio.gather(
            _jobs(request, text), _dead(request, text), _flows(request, text)
        )
    queues, names = _queues(request, text), _names(request, text)
    exact = [job_page(base, one["queue"], one["id"]) for one in jobs]
    exact += [one.address for one in (*flows, *queues, *names) if one.is_exact]
    if len(exact) == 1:
        return go_to(request, exact[0])
    state = "all" if desk_of(request).archive is not None else "waiting"
    ways = {
        "dead jobs with this in their error": {"state": "dead", "q": written("error", text)},
        "jobs with this in their id, name or error": {"state": state, "q": written("", text)},
    }
    return render(
        request,
        "search.html",
        page="",
        text=text,
        jobs=jobs,
        dead=dead,
        flows=flows,
        queues=queues[:_SHOWN],
        names=names[:_SHOWN],
        ways=[(words, f"{base}/jobs?{urlencode(asked)}") for words, asked in ways.items()] if text else [],
    )


async def _jobs(request: Request, text: str) -> list[dict[str, Any]]:
    """Return the jobs of an id, of all queues in one round trip, and those that the audit table alone knows."""
    desk, key = desk_of(request), caller_of(request)
    ids = [
        (queue, job_id)
        for queue in desk.queues
        for name in names_of(key, text)
        for job_id in ids_of(queue, name)
    ]
    wanted = [(queue, QueueKeys.of(queue_key(queue)), job_id) for queue, job_id in ids]
    async with explained(desk.client.redis):
        found = await find_among(desk.client.redis, wanted, sealer=desk.settings.sealer)
    live: dict[str, JobInfo] = {}
    for info in found:
        # A sealed record looks forged where it is looked for on another queue than its own.
        if info is not None and key.sees(info.tenant) and (info.id not in live or info.refused is None):
            live[info.id] = info
    shown = [shapes.job(info) for info in live.values()]
    if desk.archive is not None:
        rows = await desk.archive.some([job_id for _, job_id in ids], tenant=key.tenant)
        shown += [shapes.row(row) for row in rows if row["id"] not in live]
    return shown


async def _dead(request: Request, text: str) -> list[dict[str, Any]]:
    """Return the newest dead jobs with a text in their error; for a tenant none, as others' would be looked at."""
    desk, wanted = desk_of(request), text.casefold()
    if caller_of(request).tenant is not None:
        return []

    def fits(info: JobInfo) -> bool:
        return wanted in _said(info.error).casefold()

    async with explained(desk.client.redis):
        found = await look(
            desk.client.redis,
            desk.queues,
            State.DEAD,
            limit=_SHOWN,
            fits=fits,
            sealer=desk.settings.sealer,
        )
    return [shapes.job(info) for info in found.jobs]


async def _flows(request: Request, text: str) -> list[_Hit]:
    """Return the pipeline or the batch of an id; for a tenant none, as the pages of flows are about those of all."""
    if caller_of(request).tenant is not None:
        return []
    try:
        flow = (await look_at_flow(desk_of(request).client.flows, text)).flow
    except (JobNotFound, UnreadablePayload):
        return []
    return [_Hit(flow.name, f"{base_of(request)}/flows/{quote(flow.id, safe='')}", is_exact=True)]


def _said(error: JobError | None) -> str:
    return "" if error is None else f"{error.type}: {error.message}"


def _queues(request: Request, text: str) -> list[_Hit]:
    # The pages of queues are about the jobs of all tenants.
    if not text or caller_of(request).tenant is not None:
        return []
    base, part = base_of(request), text.casefold()
    found = [one for one in desk_of(request).queues if part in one]
    return [_Hit(one, f"{base}/queues/{one}", one == text) for one in found]


def _names(request: Request, text: str) -> list[_Hit]:
    base, part = base_of(request), text.casefold()
    found = [one for one in sorted(desk_of(request).registry.full_names) if text and part in one]
    return [_Hit(one, f"{base}/jobs?{urlencode({'name': one})}", one == text) for one in found]
