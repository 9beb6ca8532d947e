"""Flows as people look at them: a page of those in some states, and one with its stages and items, in a call each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from pydantic_core import from_json

from rota.errors import JobError, JobNotFound
from rota.flows.flows import Flows
from rota.flows.view import readable, time_of
from rota.model.flows.handle import StageInfo
from rota.model.state import State
from rota.server.faults import explained
from rota.wire import results
from rota.wire.keys import flow_alias_key, flow_key, flows_key
from rota.wire.scripts import FLOW_LIST, FLOW_LOOK

#: The states that a flow can have.
STATES = (State.ACTIVE, State.COMPLETED, State.DEAD, State.CANCELLED)
#: The most stages of a flow that are looked at, the most letters of a batch, and the most entries of lists in one call.
MOST_STAGES, _LETTERS, _LOOKS = 200, 100, 2000
#: The most digits of a number that is read.
_DIGITS = 14
#: How many values of a stage come before its counts, and how many counts there are.
_NODE, _COUNTS = 5, 4
_FIELDS = (
    *("id", "kind", "name", "state", "stage", "at", "ended", "failed", "stages"),
    *("alias", "tenant", "parent"),
    "error",
)
#: A page of flows has no errors, which may be long.
_FIELDS_OF_PAGE = _FIELDS[:-1]


@dataclass(frozen=True, slots=True)
class Flow:
    """A run of a pipeline, or a batch, as it is now. Times are in UTC.

    :param kind: "pipeline" or "batch".
    :param stage: the number of the stage where it is.
    :param stages: how far each stage is; of a batch the one that has all its jobs.
    :param failed: of a dead one, the job that it died of.
    :param alias: the id that a user gave it.
    :param parent: of one that is an item, the id of the flow that it is in.
    """

    id: str
    kind: str
    name: str
    state: State
    stage: int
    stages: tuple[StageInfo, ...]
    started_at: datetime | None
    finished_at: datetime | None
    error: JobError | None
    failed: str
    alias: str = ""
    tenant: str = ""
    parent: str = ""

    @property
    def total(self) -> int:
        """The number of its jobs, as far as it is known."""
        return sum(stage.total or 0 for stage in self.stages)

    @property
    def ended(self) -> int:
        """The number of its jobs that are over."""
        return sum(stage.completed + stage.dead + stage.cancelled for stage in self.stages)

    @property
    def died(self) -> int:
        """The number of its jobs that have died."""
        return sum(stage.dead for stage in self.stages)

    @property
    def share(self) -> float:
        """How far it is, from 0 to 1; each stage counts the same."""
        if self.state is State.COMPLETED:
            return 1.0
        return sum(stage.share for stage in self.stages) / max(1, len(self.stages))


class Node(NamedTuple):
    """A stage of a flow as its plan has it, which is gone once the flow is over.

    :param kind: "job", "each" of a job, or "nested": each of a pipeline; "" where that is not known any more.
    :param became: what has become of its job, or of the job that puts its items; "" for what is to come.
    :param put: how many items are put.
    """

    kind: str
    queue: str
    task: str
    on_failure: str
    became: str
    put: int


class Item(NamedTuple):
    """An item of a stage: its number, what has become of it, and its queue, where that is known."""

    number: int
    became: str
    queue: str


@dataclass(frozen=True, slots=True)
class FlowLook:
    """One flow in detail.

    :param kept: for how many seconds Redis still keeps it; None while it is not over.
    :param count: how many stages it has; of very many, the first are in `nodes`.
    :param items: the items of the stage that was asked for.
    :param letters: of a batch, the ids of the first jobs that have died.
    """

    flow: Flow
    kept: float | None
    count: int
    nodes: tuple[Node, ...]
    items: tuple[Item, ...]
    letters: tuple[str, ...]


class FlowPage(NamedTuple):
    """A page of flows, how many there are in each state, and the id behind which the next page begins."""

    flows: list[Flow]
    counts: dict[State, int]
    following: str | None


async def page(
    flows: Flows, state: State | None, *, before: str = "", limit: int = 50, tenant: str | None = None
) -> FlowPage:
    """Return the newest flows in a state, or in any, behind the flow `before`, or those of one tenant alone.

    A page of a tenant is found among the next 2,000 flows: behind one with few or none there may be more. The counts
    are those of all. Raises ServerError.
    """
    namespace = flows.settings.namespace
    states = sorted(STATES, key=lambda one: one is not state)
    keys = [flows_key(namespace, one) for one in states]
    chosen = len(states) if state is None else 1
    args = (flow_key(namespace, ""), chosen, before, limit + 1, _LOOKS, tenant or "", *_FIELDS_OF_PAGE)
    async with explained(flows.redis):
        counts, behind, rows = await FLOW_LIST(flows.redis, keys, args)
    found = [_of_row(namespace, row) for row in rows]
    following = found[limit - 1].id if len(found) > limit else behind.decode() or None
    known = dict(zip(states, counts, strict=True))
    return FlowPage(found[:limit], {one: known[one] for one in STATES}, following)


async def look(
    flows: Flows, flow_id: str, *, stage: int | None = None, first: int = 0, limit: int = 100
) -> FlowLook:
    """Return one flow in detail, and of the stage that is named the items from `first` on.

    Raises JobNotFound, UnreadablePayload, ServerError.
    """
    namespace = flows.settings.namespace
    keys = (flow_key(namespace, flow_id), flow_alias_key(namespace, flow_id))
    shown = "" if stage is None else stage
    args = (flow_key(namespace, ""), shown, first, limit, MOST_STAGES, _LETTERS, *_FIELDS)
    async with explained(flows.redis):
        found = await FLOW_LOOK(flows.redis, keys, args)
    if not found:
        raise JobNotFound(flow_id)
    values, kept_ms, count, nodes, items, letters = found
    counts = [one for node in nodes for one in node[_NODE:-1]]
    with readable(flow_id):
        flow = _flow(namespace, values, _named(values, nodes), counts)
    return FlowLook(
        flow,
        kept_ms / 1000 if kept_ms >= 0 else None,
        count,
        tuple(map(_node, nodes)),
        tuple(
            Item(first + place, _text(became), _text(queue)) for place, (became, queue) in enumerate(items)
        ),
        tuple(map(_text, letters)),
    )


def _of_row(namespace: str, row: Sequence[Any]) -> Flow:
    """Return a flow of a page; what lies there and is not what rota wrote reads as nothing."""
    width = len(_FIELDS_OF_PAGE)
    values, count, counts = row[:width], row[width], row[width + 1 :]
    return _flow(namespace, [*values, None], _stages_in(values)[:count], counts)


def _flow(
    namespace: str, values: Sequence[Any], stages: Sequence[tuple[str, bool]], counts: Sequence[Any]
) -> Flow:
    fields = dict(zip(_FIELDS, values, strict=True))
    text = {name: _text(value) for name, value in fields.items()}
    return Flow(
        text["id"],
        text["kind"],
        text["name"],
        State(text["state"]),
        _number(fields["stage"]) or 0,
        tuple(_stage_infos(stages, counts)),
        _time(fields["at"]),
        _time(fields["ended"]),
        results.error_of(fields["error"]) if fields["error"] else None,
        text["failed"],
        text["alias"].removeprefix(flow_alias_key(namespace, "")),
        text["tenant"],
        text["parent"].partition("|")[0].removeprefix(flow_key(namespace, "")),
    )


def _stages_in(values: Sequence[Any]) -> list[tuple[str, bool]]:
    """Return the name of each stage, and whether it is an `each`, as the client wrote them down to be shown."""
    fields = dict(zip(_FIELDS, values, strict=False))
    if _text(fields["kind"]) == "batch":
        return [(_text(fields["name"]), True)]
    try:
        return [(str(name), bool(is_each)) for name, is_each in from_json(fields["stages"] or b"[]")]
    except (TypeError, ValueError):
        return []


def _named(values: Sequence[Any], nodes: Sequence[Sequence[Any]]) -> list[tuple[str, bool]]:
    """Return the same for each of the stages that were looked at; one that is an item has them in the plan alone."""
    named = _stages_in(values)
    planned = [(_text(node[2]), node[0] != b"job") for node in nodes]
    return [*named, *planned[len(named) :]][: len(nodes)]


def _stage_infos(stages: Sequence[tuple[str, bool]], counts: Sequence[Any]) -> Iterator[StageInfo]:
    for place, (name, is_each) in enumerate(stages):
        total, *ended = counts[place * _COUNTS : (place + 1) * _COUNTS]
        yield StageInfo(name, is_each, _number(total), *(_number(one) or 0 for one in ended))


def _node(values: Sequence[Any]) -> Node:
    kind, queue, task, on_failure, became = map(_text, values[:_NODE])
    return Node(kind, queue, task, on_failure, became, _number(values[-1]) or 0)


def _text(raw: Any) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""


def _number(raw: Any) -> int | None:
    text = _text(raw)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None


def _time(raw: Any) -> datetime | None:
    ms = _number(raw)
    return None if ms is None else time_of(str(ms))
