"""The client of a test environment: arguments are checked as always, and what is enqueued is recorded.

Everything stands as in `Client`, but for the two places from which jobs go to Redis, and the outbox.
"""

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

from rota.client.client import Client
from rota.client.enqueue import Enqueued, Enqueuer, Once
from rota.client.outbox.outbox import Outbox
from rota.client.outbox.rows import Rows
from rota.client.recording.nowhere import Nowhere
from rota.client.recording.recorded import Recorded, record, unsealed
from rota.client.sending.drafts import Draft
from rota.errors import IdempotencyMismatch, UnknownSchedule
from rota.flows.members import Member
from rota.flows.scripts import FlowScripts, NewFlow
from rota.model.handle import Handle
from rota.model.registry import discover
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.seams import Outgoing, Sender, Senders
from rota.settings.settings import Settings
from rota.wire import envelopes


class RecordingClient(Client):
    """A client without Redis: what it enqueues is found in `rota.testing.recorded()`, and all else is refused."""

    def __init__(self, settings: Settings, *, senders: Sequence[Sender] = ()) -> None:
        """Make a client that connects to nothing; `senders` are around every enqueue."""
        super().__init__(Nowhere(), settings, senders=senders)
        around = Senders(senders)
        self._enqueuer = RecordingEnqueuer(self.redis, unsealed(settings), around, SYSTEM_CLOCK)
        self._rows = Rows(self._enqueuer, around, settings.namespace)
        self.flows.scripts = RecordingScripts(self.redis, settings)

    def outbox(self, holder: Any) -> Outbox:
        """Return the outbox of a transaction, into which nothing is inserted. Raises TypeError as `Client` does."""
        return Outbox(self, self._rows, holder, self.bell, records=True)

    async def run_schedule(self, name: str) -> Handle[Any]:
        """Record the job of a schedule, as the code declares it. Raises UnknownSchedule, DiscoveryFailed."""
        settings = self._settings
        declared = discover(settings.jobs_package, settings.default_queue).schedules
        for one in declared:
            if one.name == name:
                (handle,) = await self.enqueue_many([one.job.call(**one.schedule.arguments)])
                return handle
        raise UnknownSchedule(name, [one.name for one in declared])


class RecordingEnqueuer(Enqueuer):
    """Makes drafts and records them. An id may come again: nothing tells when the job before it would be over."""

    def __init__(self, redis: Any, settings: Settings, senders: Senders, clock: Clock) -> None:
        super().__init__(redis, settings, senders, clock)
        self._once: dict[tuple[str | None, str], tuple[str, Enqueued]] = {}

    async def send_once(self, draft: Draft, key: str, fingerprint: str) -> Once:
        """Record a draft once for a key. Raises IdempotencyMismatch where it came with something else before."""
        place = draft.mould.options.tenant, key
        if place in self._once:
            of_first, first = self._once[place]
            if of_first != fingerprint:
                raise IdempotencyMismatch(key)
            return Once(first, is_replayed=True)
        (enqueued,) = await self.send([draft])
        self._once[place] = fingerprint, enqueued
        return Once(enqueued, is_replayed=False)

    async def _script(self, drafts: Sequence[Draft], jobs: Sequence[Outgoing]) -> Sequence[Any]:
        now_ms = self._clock.time_ms()
        for draft, job in zip(drafts, jobs, strict=True):
            mould = draft.mould
            due_ms = now_ms + mould.delay_ms if mould.at_ms < 0 else mould.at_ms
            payload = envelopes.with_headers(job.payload, job.headers)
            record(Recorded(mould.queue, mould.task, job.id, payload, due_ms, mould.job))
        return [1] * len(drafts)

    def _script_of_one(self, draft: Draft, job: Outgoing) -> Awaitable[Sequence[Any]]:
        return self._script([draft], [job])


class RecordingScripts(FlowScripts):
    """The scripts that begin flows: each job that one would put at once is recorded."""

    async def start(self, flow: NewFlow) -> tuple[bool, str]:
        """Record the first job of a pipeline, or the one that an empty batch calls back."""
        stage = "finished" if flow.kind == "batch" else "0"
        if f"{stage}:task" in flow.plan and not flow.total:
            record(_first(flow, stage, SYSTEM_CLOCK.time_ms()))
        return True, flow.id

    async def put(
        self, flow_id: str, stage: int, cursor: int, total: int, jobs: Iterable[Any] = ()
    ) -> tuple[int, int]:
        """Record the jobs of a batch from number `cursor` on; all of them are put."""
        now_ms = SYSTEM_CLOCK.time_ms()
        members = [Member(*values) for values in zip(*[iter(jobs)] * len(Member._fields), strict=True)]
        for number, one in enumerate(members, cursor):
            due_ms = one.due if one.due > 0 else now_ms - one.due
            record(Recorded(one.queue, one.task, f"{flow_id}.{stage}.{number}", one.payload, due_ms))
        following = cursor + len(members)
        return (following if following < total else -1), len(members)


def _first(flow: NewFlow, stage: str, now_ms: int) -> Recorded:
    """Return the job with which a flow begins; of an `each` that is the job of its items, with all of them."""
    plan = flow.plan
    task = plan[f"{stage}:task"]
    payload = plan.get(f"{stage}:payload") or envelopes.encode_job(
        task, b'{"items":%b}' % flow.given, enqueued_ms=now_ms
    )
    headers = envelopes.decode_headers(plan["headers"]) if "headers" in plan else {}
    due_ms = plan.get("0:at") or now_ms + plan.get("0:wait", 0)
    whole = envelopes.with_headers(payload, headers)
    return Recorded(plan[f"{stage}:queue"], task, f"{flow.id}.0.{stage}", whole, due_ms)
