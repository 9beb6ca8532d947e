"""Batches: many jobs of any kind, enqueued together, with a job that is called when all have ended, or one has died."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from rota.errors import JobNotFound
from rota.flows.flows import Flows
from rota.flows.plan import Planner, headers_field, portion
from rota.model.flows.batch import Batch
from rota.model.job import Call, Job
from rota.model.options import EnqueueOptions
from rota.model.state import State
from rota.names import check_id, check_name, new_id
from rota.seams import Outgoing
from rota.server.faults import explained
from rota.wire import envelopes
from rota.wire.envelopes import OF_BATCH
from rota.wire.keys import flow_key

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
    planner = Planner(flows.default_queue, flows.namespace, flows.clock.time_ms())
    jobs = [_member(planner, call) for call in calls]
    given = (("finished", on_finished), ("died", on_died))
    callbacks = {which: _callback(planner, call) for which, call in given if call is not None}
    options = EnqueueOptions(id=batch_id, on_taken="existing")
    created, own_id, cursor = await _begin(flows, name, options, jobs, callbacks)
    if not created:
        await _check_same(flows, own_id, len(jobs))
        async with explained(flows.redis):
            cursor, _ = await flows.put(own_id, 0, -1, len(jobs))
    await _put_from(flows, own_id, jobs, cursor)
    handles = [
        make_handle(job.queue, f"{own_id}.0.{number}", calls[number].job) for number, job in enumerate(jobs)
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


class _Member(NamedTuple):
    """A job as the scripts take it; `due` in ms, 0 for one that is not delayed."""

    payload: bytes
    terms: str
    queue: str
    task: str
    due: int = 0


def _member(planner: Planner, call: Call[Any]) -> _Member:
    if not isinstance(call, Call):
        raise TypeError(f"{call!r} cannot be in a batch; it takes what `job.call(...)` makes")
    job, options = call.job, call.job.enqueue_options
    if options.id is not None:
        raise TypeError(f"job {job.name} has an id; ids in a batch are the batch's own: give that one the id")
    due = options.at.timestamp() * 1000 if options.at else planner.now_ms + (options.delay or 0) * 1000
    delayed = options.at is not None or options.delay
    payload, terms = planner.payload(job, call.arguments), planner.terms(job, call.arguments)
    return _Member(payload, terms, planner.queue_of(job), job.name, round(due) if delayed else 0)


def _callback(planner: Planner, call: Call[Any]) -> _Member:
    payload = planner.payload(call.job, call.arguments, **{OF_BATCH: True})
    return _Member(
        payload, planner.terms(call.job, call.arguments), planner.queue_of(call.job), call.job.name
    )


async def _begin(
    flows: Flows,
    name: str,
    options: EnqueueOptions,
    jobs: Sequence[_Member],
    callbacks: Mapping[str, _Member],
) -> tuple[bool, str, int]:
    """Write a batch down and put its first jobs; whether it is new, its id, and the first job that is not put yet.

    The callbacks have the headers of the first job.
    """
    batch_id = new_id()
    first = _portion(batch_id, jobs, 0)
    if not jobs and "finished" in callbacks:
        over = callbacks["finished"]
        first = [Outgoing(over.queue, over.task, f"{batch_id}.0.finished", over.payload)]
    cursor = 0
    with flows.senders.around(first):
        headers = first[0].headers if first else {}
        for job in (*jobs, *callbacks.values()):
            flows.check_size(Outgoing(job.queue, job.task, "", job.payload, headers))
        plan = {
            f"{which}:{field}": getattr(job, field)
            for which, job in callbacks.items()
            for field in ("queue", "task", "payload", "terms")
        }
        created, own_id = await flows.begin(
            batch_id, "batch", name, options, plan | headers_field(headers), total=len(jobs)
        )
        if created and jobs:
            cursor = await _put(flows, own_id, jobs, 0, first)
        elif created:
            flows.senders.created(first)
    return created, own_id, cursor


async def _check_same(flows: Flows, batch_id: str, total: int) -> None:
    async with explained(flows.redis):
        known = int(await flows.redis.hget(flow_key(flows.namespace, batch_id), "0:total") or 0)
    if known != total:
        raise ValueError(f"this batch was begun with {known} jobs, and now there are {total}; use another id")


async def _put_from(flows: Flows, batch_id: str, jobs: Sequence[_Member], cursor: int) -> None:
    while 0 <= cursor < len(jobs):
        following = _portion(batch_id, jobs, cursor)
        with flows.senders.around(following):
            cursor = await _put(flows, batch_id, jobs, cursor, following)


async def _put(
    flows: Flows, batch_id: str, jobs: Sequence[_Member], cursor: int, sent: Sequence[Outgoing]
) -> int:
    """Put the jobs of a portion, which begins at `cursor`; where the next one does."""
    args: list[Any] = []
    for job, member in zip(sent, jobs[cursor : cursor + len(sent)], strict=True):
        args += member._replace(payload=envelopes.with_headers(job.payload, job.headers))
    async with explained(flows.redis):
        cursor, number = await flows.put(batch_id, 0, cursor, len(jobs), args)
    # All of them, or none where another call had put them.
    flows.senders.created(sent[:number])
    return cursor


def _portion(batch_id: str, jobs: Sequence[_Member], start: int) -> list[Outgoing]:
    made = (
        Outgoing(jobs[number].queue, jobs[number].task, f"{batch_id}.0.{number}", jobs[number].payload)
        for number in range(start, len(jobs))
    )
    return portion(made, lambda job: len(job.payload))


def _time(raw: bytes) -> datetime:
    return datetime.fromtimestamp(int(raw) / 1000, UTC)
