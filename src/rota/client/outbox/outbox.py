"""The outbox of one transaction: jobs are enqueued in it, and run if it is committed.

    async with session.begin():
        session.add(order)
        await session.flush()  # gives order.id
        await client.outbox(session).enqueue(send_receipt, order.id)

A job is one row of the table `_outbox`, inserted through the transaction that was given. Redis is not asked, and may
be away. After the commit the worker process that leads sends the row to Redis.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, Unpack

from rota.client.calls import checked_calls, parser_of
from rota.client.outbox.rows import Rows, check_job
from rota.client.recording.holder import RecordingHolder
from rota.client.sending.drafts import Draft
from rota.model.handle import Handle, JobClient
from rota.model.job import Call, Job
from rota.model.options import EnqueueFields, EnqueueOptions
from rota.model.sync import Bridge, SyncHandle
from rota.seams import Outgoing
from rota.store.outbox.holders import Holder, holder_of

P = ParamSpec("P")
R = TypeVar("R")


class Outbox:
    """The outbox of a transaction, on an event loop; `Client.outbox` makes it.

    It takes a holder of either kind: one that blocks, as a Session does, blocks the loop as its own statements do.
    """

    def __init__(
        self, client: JobClient, rows: Rows, holder: Any, ring: Callable[[], object], *, records: bool = False
    ) -> None:
        """Make the outbox of what `holder` holds. Raises TypeError for what holds no transaction.

        :param ring: wakes the relay after the commit, without waiting; where the holder can tell.
        :param records: record the jobs, and insert nothing.
        """
        self._client = client
        self._rows = rows
        self._holder: Holder = RecordingHolder(holder) if records else holder_of(holder)
        self._ring = ring

    async def enqueue(self, job: Job[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Enqueue a job with its arguments, once the transaction is committed.

            await client.outbox(session).enqueue(send_receipt.options(delay=60), order_id=7)

        A delay counts from now. Where the id or the unique key is taken when the job is sent, `on_taken` holds then; a
        job that is refused stays in the table, with the reason. Returns a handle, which finds the job once it is
        sent: within about a second after the commit.

        Raises InvalidPayload, PayloadTooLarge; OutboxUnusable where the table is not there or may not be written; and
        what the holder raises. It is never tried again: roll the transaction back.
        """
        check_job(job)
        (handle,) = await self.enqueue_many([job.call(*args, **kwargs)])
        return handle

    async def enqueue_many(self, calls: Iterable[Call[R]]) -> list[Handle[R]]:
        """Enqueue many jobs, in one INSERT for each 80, and return handles in the order of `calls`; see `enqueue`."""
        drafter = self._rows.drafter
        return await self._insert([drafter.draft(call.job, call.arguments) for call in checked_calls(calls)])

    async def enqueue_by_name(
        self, name: str, payload: Mapping[str, Any] | None = None, /, **options: Unpack[EnqueueFields]
    ) -> Handle[Any]:
        """Enqueue a job whose code this process does not have; see `enqueue`, and `Client.enqueue_by_name`."""
        changed = EnqueueOptions().changed(options)
        (handle,) = await self._insert([self._rows.drafter.draft_by_name(name, payload, changed)])
        return handle

    async def _insert(self, drafts: Sequence[Draft]) -> list[Handle[Any]]:
        jobs = self._rows.outgoing(drafts)
        with self._rows.senders.around(jobs):
            inserted = self._holder.insert(self._rows.of(drafts, jobs)) if jobs else None
            if isinstance(inserted, Awaitable):
                await inserted
        self._holder.on_commit(self._ring)
        return [
            Handle(self._client, job.queue, job.id, parser_of(draft.mould.job))
            for draft, job in zip(drafts, jobs, strict=True)
        ]


class SyncOutbox:
    """The outbox of a transaction, where no event loop runs; `SyncClient.outbox` makes it."""

    def __init__(
        self, bridge: Bridge, rows: Rows, holder: Any, ring: Callable[[], object], *, records: bool = False
    ) -> None:
        """Make the outbox of what `holder` holds. Raises TypeError for what holds no transaction that blocks.

        With `records` the jobs are recorded, and nothing is inserted.
        """
        self._bridge = bridge
        self._rows = rows
        self._holder: Holder = RecordingHolder(holder) if records else holder_of(holder)
        self._ring = ring
        if self._holder.is_async:
            kind = type(holder).__name__
            raise TypeError(f"{kind} has to be awaited; use the client of `await rota.connect()` with it")

    def enqueue(self, job: Job[P, R], /, *args: P.args, **kwargs: P.kwargs) -> SyncHandle[R]:
        """Enqueue a job with its arguments, once the transaction is committed; see `Outbox.enqueue`."""
        check_job(job)
        (handle,) = self.enqueue_many([job.call(*args, **kwargs)])
        return handle

    def enqueue_many(self, calls: Iterable[Call[R]]) -> list[SyncHandle[R]]:
        """Enqueue many jobs, in one INSERT for each 80, and return handles in the order of `calls`; see `enqueue`."""
        drafter = self._rows.drafter
        return self._insert([drafter.draft(call.job, call.arguments) for call in checked_calls(calls)])

    def enqueue_by_name(
        self, name: str, payload: Mapping[str, Any] | None = None, /, **options: Unpack[EnqueueFields]
    ) -> SyncHandle[Any]:
        """Enqueue a job whose code this process does not have; see `enqueue`, and `Client.enqueue_by_name`."""
        changed = EnqueueOptions().changed(options)
        (handle,) = self._insert([self._rows.drafter.draft_by_name(name, payload, changed)])
        return handle

    def _insert(self, drafts: Sequence[Draft]) -> list[SyncHandle[Any]]:
        jobs: Sequence[Outgoing] = self._rows.outgoing(drafts)
        with self._rows.senders.around(jobs):
            if jobs:
                self._holder.insert(self._rows.of(drafts, jobs))
        self._holder.on_commit(self._ring)
        return [
            SyncHandle(self._bridge, job.queue, job.id, parser_of(draft.mould.job))
            for draft, job in zip(drafts, jobs, strict=True)
        ]
