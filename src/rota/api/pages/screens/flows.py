"""The screens of flows: pipelines and batches as Redis knows them, one with its stages, and what can be done to it."""

from typing import NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from rota.api.desk import caller_of, desk_of, record
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, job_page, render
from rota.api.pages.graphs import Box, graph
from rota.api.pages.visitors import OWN_ACTS, OWN_SEES
from rota.api.pages.words import counted
from rota.api.problems import Problem, wrong_parameter
from rota.errors import JobNotFound
from rota.flows.looking import STATES, Flow, FlowLook, Node, look, page
from rota.model.flows.handle import StageInfo
from rota.model.state import State

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: How many flows a page shows, and how many items.
_PAGE, _ITEMS = 50, 100


class Member(NamedTuple):
    """A job of a flow, or a flow that is an item: its place, what has become of it, its id, and where its page is."""

    number: int
    became: str
    id: str
    link: str


class Stage(NamedTuple):
    """A stage as it is shown.

    :param link: the page of its job, or this page with its items; "" for nowhere.
    :param members: its items, where they are asked for.
    """

    name: str
    became: str
    words: str
    info: StageInfo
    link: str
    is_open: bool
    members: tuple[Member, ...]


@router.get("/flows", dependencies=[OWN_SEES])
async def flows(request: Request, state: str = "", before: str = "") -> Response:
    """Show the newest pipelines and batches, those of one state or all."""
    chosen = _state(state)
    tenant = caller_of(request).tenant
    found = await page(desk_of(request).client.flows, chosen, before=before, limit=_PAGE, tenant=tenant)
    # How many flows the others have is not for the key of a tenant.
    counts = found.counts if tenant is None else dict.fromkeys(found.counts)
    older = {"before": found.following} | ({"state": state} if state else {})
    return render(
        request,
        "flows.html",
        page="flows",
        rows=found.flows,
        counts=counts,
        is_empty=not found.flows and not before and not (state or found.following)
        if tenant
        else not any(found.counts.values()),
        state=state,
        before=before,
        older=urlencode(older) if found.following else "",
        where=where,
    )


@router.get("/flows/{id}", dependencies=[OWN_SEES])
async def flow(request: Request, id: str, stage: int | None = None, first: int = 0) -> Response:  # noqa: A002
    """Show one flow: how far each stage is, and the items of the stage that is asked for."""
    desk, first = desk_of(request), max(0, first)
    found = await look(desk.client.flows, id, stage=stage, first=first, limit=_ITEMS)
    _check(request, found, id)
    stages = _stages(request, found, stage)
    shown = found.flow
    boxes = [_box(one) for one in stages]
    return render(
        request,
        "flow.html",
        page="flows",
        flow=shown,
        look=found,
        where=where,
        stages=stages,
        picture=graph(boxes, f"The stages of {shown.name}") if shown.kind != "batch" and boxes else "",
        failed=_link(request, found, shown.failed) if shown.failed else "",
        letters=[(letter, _searched(request, letter)) for letter in found.letters],
        first=first,
        following=first + _ITEMS if len(found.items) == _ITEMS else None,
        previous=max(0, first - _ITEMS) if first else None,
        is_recorded=desk.archive is not None,
    )


@router.post("/flows/{id}/cancel", dependencies=[OWN_ACTS])
async def cancel(request: Request, id: str) -> Response:  # noqa: A002
    """Cancel a flow: jobs that wait are removed, jobs that run are asked to stop."""
    found, reason = await _asked(request, id)
    if await desk_of(request).client.flow(found.id).cancel() == "finished":
        raise Problem(409, "wrong-state", "The flow is over", "a flow that is over cannot be cancelled")
    await record(request, "cancel", flow=found.id, reason=reason)
    return go_to(
        request,
        f"{base_of(request)}/flows/{found.id}",
        "The flow is cancelled; jobs that run are told to stop.",
    )


@router.post("/flows/{id}/resume", dependencies=[OWN_ACTS])
async def resume(request: Request, id: str) -> Response:  # noqa: A002
    """Let a pipeline that died go on at the stage where it died."""
    found, reason = await _asked(request, id)
    answer = await desk_of(request).client.flow(found.id).retry()
    if answer == "stopping":
        detail = "jobs of it are still being stopped; try again in a moment"
        raise Problem(409, "wrong-state", "The flow still stops", detail)
    if answer == "refused":
        raise Problem(
            409, "wrong-state", "The flow is not dead", "only a pipeline that died can be taken up again"
        )
    await record(request, "retry", flow=found.id, reason=reason)
    return go_to(request, f"{base_of(request)}/flows/{found.id}", "The flow goes on where it died.")


def _check(request: Request, found: FlowLook, flow_id: str) -> None:
    """Raise JobNotFound for a flow of another tenant than that of the caller's key."""
    if not caller_of(request).sees(found.flow.tenant or None):
        raise JobNotFound(flow_id)


async def _asked(request: Request, flow_id: str) -> tuple[Flow, str]:
    """Return the flow that a form is about, and the reason that it gives. Raises Problem for one that is an item."""
    form = await form_of(request)
    looked_at = await look(desk_of(request).client.flows, flow_id)
    _check(request, looked_at, flow_id)
    found = looked_at.flow
    if found.parent or (found.kind == "batch" and request.url.path.endswith("/resume")):
        raise Problem(
            409, "wrong-state", "This cannot be done to it", "it is done to the pipeline as a whole"
        )
    return found, form.get("reason", [""])[0]


def where(flow: Flow) -> str:
    """Say how far a flow is: at which of its stages, and how many of its jobs are over."""
    jobs = f"{flow.ended:,} of {counted(flow.total, 'job')}"
    if flow.kind == "batch" or len(flow.stages) < 2 or flow.state is State.COMPLETED:  # noqa: PLR2004
        return jobs
    return f"stage {flow.stage + 1} of {len(flow.stages)}, {jobs}"


def _state(text: str) -> State | None:
    """Return the state that a list is asked for; None for all. Raises Problem."""
    if not text:
        return None
    if text not in {state.value for state in STATES}:
        raise wrong_parameter(f"a flow is {', '.join(STATES[:-1])} or {STATES[-1]}, and not {text[:40]!r}")
    return State(text)


def _stages(request: Request, found: FlowLook, chosen: int | None) -> list[Stage]:
    shown = found.flow
    path = f"{base_of(request)}/flows/{shown.id}"
    stages = []
    for number, (node, info) in enumerate(zip(found.nodes, shown.stages, strict=True)):
        if not info.each:
            link = _link(request, found, f"{shown.id}.{number}.0") if node.became else ""
        else:
            link = f"{path}?stage={number}#stage-{number}" if node.put else ""
        is_open = number == chosen and info.each
        members = tuple(_members(request, found, number)) if is_open else ()
        stages.append(
            Stage(info.name, _became(shown, node, info), _words(node, info), info, link, is_open, members)
        )
    return stages


def _members(request: Request, found: FlowLook, stage: int) -> list[Member]:
    is_nested = found.nodes[stage].kind == "nested"
    members = []
    for number, became, _ in found.items:
        item = f"{found.flow.id}.{stage}.{number}"
        if is_nested:
            # A pipeline that is an item is gone once it is over.
            link = f"{base_of(request)}/flows/{item}" if became not in ("completed", "cancelled") else ""
        else:
            link = _link(request, found, item, queue=found.items[number - found.items[0].number].queue)
        members.append(Member(number, became, item, link))
    return members


def _link(request: Request, found: FlowLook, job_id: str, queue: str = "") -> str:
    """Return the page of a job of a flow; where the plan that names its queue is gone, the search for it."""
    stage = job_id.removeprefix(f"{found.flow.id}.").partition(".")[0]
    number = int(stage) if stage.isascii() and stage.isdecimal() and len(stage) < len(str(10**6)) else -1
    queue = queue or (found.nodes[number].queue if 0 <= number < len(found.nodes) else "")
    return job_page(base_of(request), queue, job_id) if queue else _searched(request, job_id)


def _searched(request: Request, job_id: str) -> str:
    return f"{base_of(request)}/search?{urlencode({'q': job_id})}"


def _became(flow: Flow, node: Node, info: StageInfo) -> str:
    """Return what has become of a stage, in the words of states."""
    if flow.kind == "batch":
        return flow.state.value
    if info.each and node.became == "completed" and info.share < 1 and flow.state is State.ACTIVE:
        return "active"
    return node.became or ("dead" if info.dead and flow.state is State.DEAD else "")


def _words(node: Node, info: StageInfo) -> str:
    """Say how far a stage is: how many of its items are over, or what has become of its job."""
    if not info.each:
        return node.became or "to come"
    if info.total is None:
        return "puts its items" if node.became in ("waiting", "active", "delayed") else "to come"
    over = info.completed + info.dead + info.cancelled
    return f"{over:,} of {info.total:,}" + (f", {info.dead:,} died" if info.dead else "")


def _box(stage: Stage) -> Box:
    share = stage.info.share if stage.became else 0.0
    return Box(stage.name, stage.words, stage.became, share, stage.info.each, stage.link)
