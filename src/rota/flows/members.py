"""The jobs of a batch: packed, and put in portions.

The script that puts a portion moves a cursor. So a caller that is interrupted enqueues the same batch under the same id
again, which then goes on at the cursor.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rota.flows.flows import Flows
from rota.flows.plan import Planner, portion
from rota.flows.scripts import NewFlow
from rota.flows.sealed import with_headers
from rota.model.job import Call
from rota.model.options import EnqueueOptions
from rota.model.policies.terms import of_tenant, tenant_in, without_tenant
from rota.model.trace import TENANT, tenant_of
from rota.names import check_id, check_name, new_id
from rota.seams import Outgoing
from rota.server.faults import explained
from rota.wire import envelopes
from rota.wire.envelopes import OF_BATCH
from rota.wire.sealing.sealed import seal_job


class Member(NamedTuple):
    """A job of a batch, in the order in which `flow_fan_out.lua` takes its values.

    `due` is in milliseconds since 1970, 0 for a job that is not delayed; below 0 it is a delay that counts from the
    begin of the batch, by the clock of Redis.
    """

    payload: bytes
    terms: str
    queue: str
    task: str
    due: int = 0

    @classmethod
    def of(cls, planner: Planner, call: Any) -> "Member":
        """Pack what `job.call(...)` made. Raises TypeError for anything else, and for a job with an id."""
        if not isinstance(call, Call):
            raise TypeError(f"{call!r} cannot be in a batch; it takes what `job.call(...)` makes")
        job, options = call.job, call.job.enqueue_options
        if options.id is not None:
            raise TypeError(
                f"job {job.name} has an id; ids in a batch are the batch's own: give that one the id"
            )
        payload = planner.payload(job, call.arguments)
        terms, _ = of_tenant(planner.terms(job, call.arguments), "", options.tenant)
        return cls(payload, terms, planner.queue_of(job), job.name, _due_ms(options))

    @classmethod
    def called_back(cls, planner: Planner, call: Call[Any]) -> "Member":
        """Pack a job that the batch calls back, and that is told of the batch."""
        payload = planner.payload(call.job, call.arguments, **{OF_BATCH: True})
        terms = planner.terms(call.job, call.arguments)
        return cls(payload, terms, planner.queue_of(call.job), call.job.name)

    def outgoing(self, job_id: str) -> Outgoing:
        """Return the job as senders see it, under `job_id`."""
        tenant = tenant_in(self.terms)
        return Outgoing(
            self.queue, self.task, job_id, self.payload, {} if tenant is None else {TENANT: tenant}
        )

    def sent(self, job: Outgoing) -> "Member":
        """Return the member with the headers that senders have added to `job`, and of the tenant that they name."""
        terms, _ = of_tenant(without_tenant(self.terms), "", tenant_of(job.headers))
        return self._replace(payload=envelopes.with_headers(job.payload, job.headers), terms=terms)


class Started(NamedTuple):
    """A batch that was enqueued; `created` is False where it was there, and was gone on with."""

    id: str
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch that is to be enqueued.

    :param name: how it is shown.
    :param user_id: the id that the user gave it, if any.
    :param members: its jobs.
    :param callbacks: the jobs that it calls back, by the event: "finished" or "died".
    """

    flows: Flows
    name: str
    user_id: str | None
    members: Sequence[Member]
    callbacks: Mapping[str, Member]

    @classmethod
    def of(
        cls,
        flows: Flows,
        calls: Iterable[Call[Any]],
        *,
        name: str,
        user_id: str | None,
        on_finished: Call[Any] | None,
        on_died: Call[Any] | None,
    ) -> "NewBatch":
        """Pack a batch. Raises TypeError and ValueError for what cannot be in one."""
        check_name("batch", name)
        if user_id is not None:
            check_id(user_id)
        planner = flows.planner()
        given = {"finished": on_finished, "died": on_died}
        return cls(
            flows=flows,
            name=name,
            user_id=user_id,
            members=[Member.of(planner, call) for call in calls],
            callbacks={
                event: Member.called_back(planner, call) for event, call in given.items() if call is not None
            },
        )

    async def put(self) -> Started:
        """Write the batch down and put its jobs; go on where an earlier call stopped.

        Raises PayloadTooLarge before anything is sent, ServerError, and ValueError for another batch of the same id.
        """
        started, cursor = await self._begin()
        if not started.created:
            await self._check_same(started.id)
            cursor, _ = await self._send(started.id, -1)
        await self._put_rest(started.id, cursor)
        return started

    async def _begin(self) -> tuple[Started, int]:
        """Write the batch down and put its first portion; return the number of the first job that is not put yet.

        The callbacks get the headers of the first job, so the plan is written inside the senders of that portion.
        """
        batch_id = new_id()
        first = self._portion(batch_id, 0) if self.members else self._callback_at_once(batch_id)
        with self.flows.senders.around(first):
            headers = first[0].headers if first else {}
            self._check_sizes(headers)
            flow = NewFlow(
                id=batch_id,
                kind="batch",
                name=self.name,
                options=EnqueueOptions(id=self.user_id, on_taken="existing"),
                plan=with_headers(self._plan(), headers, self.flows.sealer, batch_id),
                total=len(self.members),
                tenant=tenant_of(headers),
            )
            created, own_id = await self.flows.begin(flow)
            started = Started(own_id, created)
            if created and self.members:
                return started, await self._put_portion(own_id, 0, first)
        if created:
            self.flows.senders.created(first)
        return started, 0

    def _callback_at_once(self, batch_id: str) -> list[Outgoing]:
        """Return the job that the script puts at once for a batch without jobs."""
        finished = self.callbacks.get("finished")
        return [] if finished is None else [finished.outgoing(f"{batch_id}.0.finished")]

    def _plan(self) -> dict[str, Any]:
        return {
            f"{event}:{field}": getattr(member, field)
            for event, member in self.callbacks.items()
            for field in ("queue", "task", "payload", "terms")
        }

    def _check_sizes(self, headers: dict[str, str]) -> None:
        for member in (*self.members, *self.callbacks.values()):
            self.flows.check_size(Outgoing(member.queue, member.task, "", member.payload, headers))

    async def _check_same(self, batch_id: str) -> None:
        async with explained(self.flows.redis):
            raw = await self.flows.redis.hget(self.flows.key(batch_id), "0:total")
        known, now = int(raw or 0), len(self.members)
        if known != now:
            raise ValueError(
                f"this batch was begun with {known} jobs, and now there are {now}; use another id"
            )

    async def _put_rest(self, batch_id: str, cursor: int) -> None:
        while 0 <= cursor < len(self.members):
            jobs = self._portion(batch_id, cursor)
            with self.flows.senders.around(jobs):
                cursor = await self._put_portion(batch_id, cursor, jobs)

    async def _put_portion(self, batch_id: str, cursor: int, jobs: Sequence[Outgoing]) -> int:
        """Put `jobs`, the members from number `cursor` on; return the number of the first that is not put yet."""
        args: list[Any] = []
        for job, member in zip(jobs, self.members[cursor : cursor + len(jobs)], strict=True):
            sent = member.sent(job)
            sealed = seal_job(self.flows.sealer, sent.payload, queue=job.queue, job_id=job.id)
            args += sent._replace(payload=sealed)
        following, put = await self._send(batch_id, cursor, args)
        # All of them are put, or none where another call was ahead.
        self.flows.senders.created(jobs[:put])
        return following

    async def _send(self, batch_id: str, cursor: int, args: Sequence[Any] = ()) -> tuple[int, int]:
        async with explained(self.flows.redis):
            return await self.flows.scripts.put(batch_id, 0, cursor, len(self.members), args)

    def _portion(self, batch_id: str, start: int) -> list[Outgoing]:
        made = (
            self.members[number].outgoing(f"{batch_id}.0.{number}")
            for number in range(start, len(self.members))
        )
        return portion(made, lambda job: len(job.payload))


def _due_ms(options: EnqueueOptions) -> int:
    if options.at is not None:
        return round(options.at.timestamp() * 1000)
    return -round(options.delay * 1000) if options.delay else 0
