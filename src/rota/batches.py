"""Batches: many jobs of any kind, enqueued together, with a job that is called when all have ended, or one has died."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from rota.batch import Batch
from rota.errors import JobNotFound, PayloadTooLarge
from rota.explained import explained
from rota.flow import OF_BATCH, Planner
from rota.flows import Flows, now_ms
from rota.job import Call, Job
from rota.keys import events_key, flow_key
from rota.names import check_id, check_name, full_name
from rota.options import EnqueueOptions
from rota.protocol import FLOW_FAN_OUT
from rota.state import State

#: Jobs that one script puts at most, and bytes of them: it keeps a script near 10 ms of Redis' time.
PORTION, PORTION_BYTES = 250, 1_000_000

_COUNTS = ("0:total", "0:completed", "0:dead", "0:cancelled")

#: Makes a job's handle: (queue, id, job).
MakeHandle = Callable[[str, str, Job[Any, Any]], Any]


@dataclass(frozen=True, slots=True)
class BatchInfo(Batch):
    """A batch as it is now: its `state` is active, completed (all have ended) or cancelled."""

    state: State = State.ACTIVE
    started_at: datetime | None = None
    finished_at: datetime | None = None


class BatchHandle:
    """One batch. `handles` are its jobs', in the order of the calls, for who enqueued it.

    `created` is False where its id belonged to one that is remembered.
    """

    __slots__ = ("_flows", "created", "handles", "id")

    def __init__(
        self,
        flows: Flows,
        id: str,  # noqa: A002 - the field's word
        handles: Sequence[Any] = (),
        *,
        created: bool = True,
    ) -> None:
        self._flows = flows
        self.id = id
        self.handles = tuple(handles)
        self.created = created

    async def status(self) -> BatchInfo:
        """How many of its jobs have ended, and how. Raises JobNotFound for one that Redis no longer holds."""
        key = await self._flows.key(self.id)
        async with explained(self._flows.redis):
            figures = await read_batch(self._flows, key.rpartition(":")[2])
            state, at, ended = await self._flows.redis.hmget(key, "state", "at", "ended")
        if figures is None or state is None:
            raise JobNotFound(self.id)
        return BatchInfo(
            figures.id,
            figures.name,
            figures.total,
            figures.completed,
            figures.dead,
            figures.cancelled,
            figures.dead_ids,
            State(state.decode()),
            _time(at),
            _time(ended) if ended else None,
        )

    async def wait(self, timeout: float | None = None) -> BatchInfo:
        """Wait until all have ended, at most `timeout` seconds. Raises ResultTimeout, JobNotFound."""
        key = await self._flows.key(self.id)
        await self._flows.over(key, self.id, timeout)
        return await self.status()

    async def cancel(self) -> Literal["cancelled", "finished"]:
        """Cancel what waits, and ask what runs to stop; `finished` if all had ended. `on_finished` comes."""
        return await self._flows.cancel(self.id)

    def __repr__(self) -> str:
        return f"<BatchHandle {self.id}>"


async def put_batch(
    flows: Flows,
    calls: Sequence[Call[Any]],
    *,
    name: str,
    on_finished: Call[Any] | None,
    on_died: Call[Any] | None,
    batch_id: str | None,
    make_handle: MakeHandle,
) -> BatchHandle:
    """Write a batch down, and put its jobs in portions; one that was begun before goes on where it was."""
    check_name("batch", name)
    if batch_id is not None:
        check_id(batch_id)
    planner = Planner(flows.default_queue, flows.namespace, now_ms())
    jobs = [_put(flows, planner, call) for call in calls]
    plan: dict[str, Any] = {}
    for which, call in (("finished", on_finished), ("died", on_died)):
        if call is not None:
            plan |= _callback(planner, which, call)
    options = EnqueueOptions(id=batch_id, on_taken="existing")
    created, own_id = await flows.begin("batch", name, options, plan, total=len(jobs))
    if not created:
        await _check_same(flows, own_id, len(jobs))
    await _put_all(flows, own_id, jobs)
    handles = [
        make_handle(planner.queue_of(call.job), f"{own_id}.0.{number}", call.job)
        for number, call in enumerate(calls)
    ]
    return BatchHandle(flows, own_id, handles, created=created)


async def read_batch(flows: Flows, batch_id: str) -> Batch | None:
    """The figures of a batch, or None for one that Redis no longer holds."""
    key = flow_key(flows.namespace, batch_id)
    name, *counts = await flows.redis.hmget(key, "name", *_COUNTS)
    if name is None:
        return None
    total, completed, dead, cancelled = (int(count or 0) for count in counts)
    ids = tuple(raw.decode() for raw in await flows.redis.lrange(f"{key}:dead", 0, -1))
    return Batch(batch_id, name.decode(), total, completed, dead, cancelled, ids)


def _put(flows: Flows, planner: Planner, call: Call[Any]) -> tuple[Any, ...]:
    if not isinstance(call, Call):
        raise TypeError(f"{call!r} cannot be in a batch; it takes what `job.call(...)` makes")
    job, options = call.job, call.job.enqueue_options
    if options.id is not None:
        raise TypeError(f"job {job.name} has an id; ids in a batch are the batch's own: give that one the id")
    raw = planner.payload(job, call.arguments)
    if len(raw) > flows.payload_limit:
        raise PayloadTooLarge(full_name(planner.queue_of(job), job.name), len(raw), flows.payload_limit)
    due = options.at.timestamp() * 1000 if options.at else now_ms() + (options.delay or 0) * 1000
    delayed = options.at is not None or options.delay
    terms = planner.terms(job, call.arguments)
    return raw, terms, planner.queue_of(job), job.name, round(due) if delayed else 0


def _callback(planner: Planner, which: str, call: Call[Any]) -> dict[str, Any]:
    return {
        f"{which}:queue": planner.queue_of(call.job),
        f"{which}:task": call.job.name,
        f"{which}:payload": planner.payload(call.job, call.arguments, **{OF_BATCH: True}),
        f"{which}:terms": planner.terms(call.job, call.arguments),
    }


async def _check_same(flows: Flows, batch_id: str, total: int) -> None:
    async with explained(flows.redis):
        known = int(await flows.redis.hget(flow_key(flows.namespace, batch_id), "0:total") or 0)
    if known != total:
        raise ValueError(f"this batch was begun with {known} jobs, and now there are {total}; use another id")


async def _put_all(flows: Flows, batch_id: str, jobs: Sequence[tuple[Any, ...]]) -> None:
    keys = (flow_key(flows.namespace, batch_id), events_key(flows.namespace))
    cursor = -1
    while cursor < len(jobs):
        portion = _portion(jobs, cursor) if cursor >= 0 else []
        args = [flows.events_maxlen, 0, cursor, len(jobs), *(value for job in portion for value in job)]
        async with explained(flows.redis):
            cursor = int(await FLOW_FAN_OUT(flows.redis, keys, args))
        if cursor < 0:
            return


def _portion(jobs: Sequence[tuple[Any, ...]], start: int) -> Sequence[tuple[Any, ...]]:
    size = 0
    for end in range(start, min(start + PORTION, len(jobs))):
        size += len(jobs[end][0])
        if size > PORTION_BYTES and end > start:
            return jobs[start:end]
    return jobs[start : start + PORTION]


def _time(raw: bytes) -> datetime:
    return datetime.fromtimestamp(int(raw) / 1000, UTC)
