"""The client for code without an event loop: the methods of Client, each of which blocks until it has its answer."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, ParamSpec, Self, TypeVar, Unpack, cast

from rota.client.calls import check_enqueueable, parser_of
from rota.client.client import Client, put
from rota.client.dead_letters import Moved, WhichFields
from rota.client.events import EventReader
from rota.client.hands.stack import PATIENCE
from rota.client.outbox.outbox import SyncOutbox
from rota.client.outbox.rows import Rows
from rota.client.recording.recorded import unsealed
from rota.client.sending.drafts import Drafter
from rota.flows.batches import BatchHandle, BatchInfo
from rota.model.bulk.actions import Actor
from rota.model.enqueueing import OFFERED_SYNC, SyncEnqueueable
from rota.model.event import EventType, StreamEvent
from rota.model.flows.stages import Pipeline
from rota.model.history.series import QueueHistory
from rota.model.info import CancelAnswer, FailureGroup, JobInfo, RescheduleAnswer
from rota.model.job import Call, Job, queue_of
from rota.model.log.lines import LogLine
from rota.model.options import EnqueueFields
from rota.model.schedules.info import ScheduleInfo
from rota.model.stack.stack import JobStack
from rota.model.state import State
from rota.model.sync import Bridge, SyncFlowHandle, SyncHandle, sync_flow_handle, sync_handle
from rota.process.clock import SYSTEM_CLOCK
from rota.seams import Sender, Senders
from rota.settings.settings import Settings
from rota.wire.keys import events_key

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
H_co = TypeVar("H_co", covariant=True)


class SyncClient:
    """The application's way to its queues where no event loop runs: in Django, in Flask, in a script.

        client = rota.connect_sync()
        handle = client.enqueue(send_email, to="ann@example.com")
        handle.result(timeout=10)

    It has the methods of Client, with the same arguments, results and errors; `Client` documents them. Each blocks its
    thread, for at most the client's `timeout`, beside what a wait is given. One client serves all threads of a process,
    and the processes that it forks. Arguments are checked in the calling thread, and `rota.headers` and tracers hold
    there too. Every method raises RuntimeError on a thread whose event loop runs, and once the client is closed.
    """

    def __init__(
        self,
        bridge: Bridge,
        settings: Callable[[], Settings],
        senders: Sequence[Sender] = (),
        *,
        records: Callable[[], bool] = bool,
    ) -> None:
        """Make a client of its parts; `rota.connect_sync` does.

        `senders` are around what goes into an outbox, and `records` tells whether that is recorded in its place.
        """
        self.bridge = bridge
        self._records = records
        self._settings = settings
        self._senders = Senders(senders)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to Redis and end the thread. The end of the process does it too."""
        OFFERED_SYNC.remove(self)
        self.bridge.close()

    # Enqueue

    def enqueue(self, job: SyncEnqueueable[P, H_co], /, *args: P.args, **kwargs: P.kwargs) -> H_co:
        """Enqueue a job, or a pipeline, with its arguments; see `Client.enqueue`."""
        check_enqueueable(job)
        promise = job.call(*args, **kwargs)
        handle: Any = self._ask(lambda client: put(client, promise))
        blocking: Any
        if isinstance(job, Pipeline):
            blocking = sync_flow_handle(self.bridge, handle, job.parse)
        else:
            blocking = sync_handle(self.bridge, handle, parser_of(cast(Job[Any, Any], job)))
        return cast(H_co, blocking)

    def enqueue_many(self, calls: Iterable[Call[R]]) -> list[SyncHandle[R]]:
        """Enqueue many jobs, in a round trip for each 200 of a queue; see `Client.enqueue_many`."""
        calls = list(calls)
        handles = self._ask(lambda client: client.enqueue_many(calls))
        return [
            sync_handle(self.bridge, handle, parser_of(call.job))
            for handle, call in zip(handles, calls, strict=True)
        ]

    def batch(
        self,
        calls: Iterable[Call[Any]],
        *,
        on_finished: Call[Any] | None = None,
        on_died: Call[Any] | None = None,
        id: str | None = None,  # noqa: A002 - the field's word
        name: str = "batch",
    ) -> "SyncBatchHandle":
        """Enqueue jobs that belong together, of any kind and on any queues; see `Client.batch`."""
        calls = list(calls)
        batch = self._ask(
            lambda client: client.batch(calls, on_finished=on_finished, on_died=on_died, id=id, name=name)
        )
        handles = [
            sync_handle(self.bridge, handle, parser_of(call.job))
            for handle, call in zip(batch.handles, calls, strict=True)
        ]
        return SyncBatchHandle(self.bridge, batch.id, handles, created=batch.created)

    def enqueue_by_name(
        self, name: str, payload: Mapping[str, Any] | None = None, /, **options: Unpack[EnqueueFields]
    ) -> SyncHandle[Any]:
        """Enqueue a job whose code this process does not have; see `Client.enqueue_by_name`."""
        handle = self._ask(lambda client: client.enqueue_by_name(name, payload, **options))
        return sync_handle(self.bridge, handle, None)

    def enqueue_once(self, call: Call[R], key: str, *, fingerprint: str) -> tuple[SyncHandle[R], bool]:
        """Enqueue a call once for a key, however often it is sent within a day; see `Client.enqueue_once`."""
        handle, is_replayed = self._ask(
            lambda client: client.enqueue_once(call, key, fingerprint=fingerprint)
        )
        return sync_handle(self.bridge, handle, parser_of(call.job)), is_replayed

    def outbox(self, holder: Any) -> SyncOutbox:
        """Return the outbox of a transaction: what is enqueued in it runs if the transaction is committed.

            with transaction.atomic():
                order.save()
                client.outbox("default").enqueue(send_receipt, order_id=order.id)

        `holder` is one of those of `Client.outbox` that block. Redis is not asked, and need not answer.
        """
        settings, records = self._settings(), self._records()
        if records:
            settings = unsealed(settings)
        rows = Rows(Drafter(settings, SYSTEM_CLOCK), self._senders, settings.namespace)
        return SyncOutbox(self.bridge, rows, holder, self._ring, records=records)

    def _ring(self) -> None:
        self.bridge.tell(lambda client: client.bell.ring())

    # Look and wait

    def handle(self, queue: str, job_id: str, job: Job[Any, R] | None = None) -> SyncHandle[R]:
        """Return a handle of a job by its id, without asking Redis; see `Client.handle`."""
        return SyncHandle(self.bridge, queue, job_id, parser_of(job))

    def flow(self, flow_id: str, pipeline: Pipeline[Any, R] | None = None) -> SyncFlowHandle[R]:
        """Return a handle of a pipeline's run by its id, without asking Redis; see `Client.flow`."""
        return SyncFlowHandle(self.bridge, flow_id, None if pipeline is None else pipeline.parse)

    def find_batch(self, batch_id: str) -> "SyncBatchHandle":
        """Return a handle of a batch by its id, without asking Redis; see `Client.find_batch`."""
        return SyncBatchHandle(self.bridge, batch_id)

    def queue_of(self, job: Job[Any, Any]) -> str:
        """Return the short name of the queue on which `job` is enqueued."""
        return queue_of(job, self._settings().default_queue)

    def status(self, queue: str, job_id: str, *, letter: bool = False) -> JobInfo:
        """Return a job as it is now; see `Client.status`."""
        return self._ask(lambda client: client.status(queue, job_id, letter=letter))

    def wait(self, queue: str, job_id: str, timeout: float | None = None) -> JobInfo:
        """Wait until a job is over, at most `timeout` seconds (None: without end); see `Client.wait`."""
        return self._ask(lambda client: client.wait(queue, job_id, timeout), longer=timeout)

    def log(self, queue: str, job_id: str, *, after: str | None = None) -> list[LogLine]:
        """Return what the handler of a job has logged; see `Client.log`."""
        return self._ask(lambda client: client.log(queue, job_id, after=after))

    def stack(self, queue: str, job_id: str) -> JobStack:
        """Return what a running job is doing now; see `Client.stack`."""
        return self._ask(lambda client: client.stack(queue, job_id), longer=PATIENCE)

    def jobs(
        self,
        queue: str,
        state: State | str = State.WAITING,
        *,
        offset: int = 0,
        limit: int = 50,
        tenant: str | None = None,
    ) -> list[JobInfo]:
        """Return a page of a queue's jobs in one state; see `Client.jobs`."""
        return self._ask(lambda client: client.jobs(queue, state, offset=offset, limit=limit, tenant=tenant))

    def counts(self, queue: str) -> dict[State, int]:
        """Return how many of a queue's jobs are waiting, delayed, active and dead; see `Client.counts`."""
        return self._ask(lambda client: client.counts(queue))

    def queues(self) -> list[str]:
        """Return the names of all queues that have jobs or dead letters in Redis; see `Client.queues`."""
        return self._ask(lambda client: client.queues())

    def workers(self, queue: str) -> int:
        """Return how many worker processes serve a queue; see `Client.workers`."""
        return self._ask(lambda client: client.workers(queue))

    def paused_since(self, queue: str) -> datetime | None:
        """Return when the queue was paused, or None for one that is not paused; see `Client.paused_since`."""
        return self._ask(lambda client: client.paused_since(queue))

    def history(
        self, queue: str, *, period: float | timedelta = 86_400.0, step: float | timedelta | None = None
    ) -> QueueHistory:
        """Return what became of a queue's jobs in the last `period` seconds; see `Client.history`."""
        return self._ask(lambda client: client.history(queue, period=period, step=step))

    def histories(
        self,
        queues: Sequence[str],
        *,
        period: float | timedelta = 86_400.0,
        step: float | timedelta | None = None,
    ) -> dict[str, QueueHistory]:
        """Return what became of the jobs of each of some queues, in one round trip; see `Client.histories`."""
        return self._ask(lambda client: client.histories(queues, period=period, step=step))

    def events(
        self,
        *,
        after: str | None = None,
        queue: str | None = None,
        types: Iterable[EventType | str] | None = None,
    ) -> Iterator[StreamEvent]:
        """Read what happens to jobs, as it happens: an iterator without end, until Ctrl-C; see `Client.events`."""
        reader = EventReader(events_key(self._settings().namespace), after, queue=queue, types=types)
        return self._read(reader)

    def _read(self, reader: EventReader) -> Iterator[StreamEvent]:
        while True:
            yield from self._ask(lambda client: reader.wait(client.redis), longer=None)

    def event_position(self) -> str:
        """Return the position of the newest event; see `Client.event_position`."""
        return self._ask(lambda client: client.event_position())

    # Pause, cancel, retry

    def pause(self, queue: str) -> None:
        """Let no worker claim from the queue until `resume`; see `Client.pause`."""
        self._ask(lambda client: client.pause(queue))

    def resume(self, queue: str) -> None:
        """Let workers claim from the queue again; see `Client.resume`."""
        self._ask(lambda client: client.resume(queue))

    def cancel(self, queue: str, job_id: str) -> CancelAnswer:
        """Cancel a job, by its id in Redis or the id that you gave it; see `Client.cancel`."""
        return self._ask(lambda client: client.cancel(queue, job_id))

    def cancel_many(self, queue: str, ids: Iterable[str]) -> list[CancelAnswer]:
        """Cancel many jobs of a queue; see `Client.cancel_many`."""
        ids = list(ids)
        return self._ask(lambda client: client.cancel_many(queue, ids), longer=None)

    def cancel_all(self, queue: str, *, task: str | None = None) -> dict[CancelAnswer, int]:
        """Cancel all live jobs of a queue, or those of one name; see `Client.cancel_all`."""
        return self._ask(lambda client: client.cancel_all(queue, task=task), longer=None)

    def reschedule(
        self, queue: str, job_id: str, *, delay: float | timedelta | None = None, at: datetime | None = None
    ) -> RescheduleAnswer:
        """Make a job that waits due at another time, by default now; see `Client.reschedule`."""
        return self._ask(lambda client: client.reschedule(queue, job_id, delay=delay, at=at))

    def retry(
        self,
        queue: str,
        job_id: str,
        *,
        call: Call[Any] | None = None,
        by: Actor | None = None,
        reason: str = "",
    ) -> SyncHandle[Any]:
        """Bring a dead letter back, with other arguments or its own; see `Client.retry`."""
        handle = self._ask(lambda client: client.retry(queue, job_id, call=call, by=by, reason=reason))
        return sync_handle(self.bridge, handle, parser_of(call.job if call else None))

    def failures(self, queue: str | None = None, *, moved: Moved | None = None) -> list[FailureGroup]:
        """Return dead letters grouped by cause; see `Client.failures`."""
        return self._ask(lambda client: client.failures(queue, moved=moved), longer=None)

    def retry_dead(self, queue: str, *, moved: Moved | None = None, **which: Unpack[WhichFields]) -> int:
        """Bring back all dead letters of a queue, or some; see `Client.retry_dead`."""
        return self._ask(lambda client: client.retry_dead(queue, moved=moved, **which), longer=None)

    def count_dead(self, queue: str, *, moved: Moved | None = None, **which: Unpack[WhichFields]) -> int:
        """Return how many dead letters a queue has, or some of them; see `Client.count_dead`."""
        return self._ask(lambda client: client.count_dead(queue, moved=moved, **which), longer=None)

    def purge_dead(self, queue: str, *, moved: Moved | None = None, **which: Unpack[WhichFields]) -> int:
        """Delete all dead letters of a queue, or some; see `Client.purge_dead`."""
        return self._ask(lambda client: client.purge_dead(queue, moved=moved, **which), longer=None)

    def delete_dead(self, queue: str, job_id: str) -> None:
        """Delete a dead letter; see `Client.delete_dead`."""
        self._ask(lambda client: client.delete_dead(queue, job_id))

    # Schedules

    def schedules(self) -> list[ScheduleInfo]:
        """Return all schedules that workers have declared; see `Client.schedules`."""
        return self._ask(lambda client: client.schedules())

    def run_schedule(self, name: str) -> SyncHandle[Any]:
        """Enqueue the job of a schedule now; see `Client.run_schedule`."""
        return sync_handle(self.bridge, self._ask(lambda client: client.run_schedule(name)), None)

    def pause_schedule(self, name: str) -> None:
        """Let a schedule enqueue nothing until it is resumed; see `Client.pause_schedule`."""
        self._ask(lambda client: client.pause_schedule(name))

    def resume_schedule(self, name: str) -> None:
        """Let a schedule go on with the tick that comes next; see `Client.resume_schedule`."""
        self._ask(lambda client: client.resume_schedule(name))

    def _ask(self, question: Callable[[Client], Awaitable[T]], longer: float | None = 0.0) -> T:
        return self.bridge.ask(question, longer=longer)


class SyncBatchHandle:
    """One batch, as a SyncClient returns it: a BatchHandle whose methods block.

    `id`, `handles` and `created` are those of BatchHandle.
    """

    __slots__ = ("_bridge", "created", "handles", "id")

    def __init__(
        self,
        bridge: Bridge,
        id: str,  # noqa: A002 - the field's word
        handles: Iterable[SyncHandle[Any]] = (),
        *,
        created: bool = True,
    ) -> None:
        self._bridge = bridge
        self.id = id
        self.handles = tuple(handles)
        self.created = created

    def status(self) -> BatchInfo:
        """Return how many of the jobs have ended, and how; see `BatchHandle.status`."""
        return self._bridge.ask(lambda client: BatchHandle(client.flows, self.id).status())

    def wait(self, timeout: float | None = None) -> BatchInfo:
        """Wait until all jobs have ended, at most `timeout` seconds (None: without end); see `BatchHandle.wait`."""
        return self._bridge.ask(
            lambda client: BatchHandle(client.flows, self.id).wait(timeout), longer=timeout
        )

    def cancel(self) -> Literal["cancelled", "finished"]:
        """Cancel the batch; see `BatchHandle.cancel`."""
        return self._bridge.ask(lambda client: BatchHandle(client.flows, self.id).cancel(), longer=None)

    def __repr__(self) -> str:
        return f"<SyncBatchHandle {self.id}>"
