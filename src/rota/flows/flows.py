"""Flows, as a client sees them: begun by one script, looked at, waited for, and cancelled or retried as a whole."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic_core import from_json, to_json

from rota.errors import JobCancelled, JobExists, JobFailed, JobNotFound, PayloadTooLarge
from rota.flows.plan import STAGE_FIELDS, Planner, stage_job, stages_of
from rota.flows.results import gathered
from rota.flows.scripts import FlowScripts, NewFlow
from rota.flows.sealed import with_headers
from rota.flows.view import FIELDS, counts_of, info_of, readable
from rota.flows.waiting import wait_for
from rota.model.flows.handle import FlowHandle, FlowInfo, RetryAnswer
from rota.model.flows.stages import Pipeline
from rota.model.state import State
from rota.model.trace import TENANT, renewed, tenant_of
from rota.names import full_name, new_id
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.seams import Outgoing, Senders
from rota.server.faults import explained
from rota.settings.settings import Settings
from rota.wire import envelopes, results
from rota.wire.keys import flow_alias_key, flow_key
from rota.wire.sealing.values import open_last, seal_value

R = TypeVar("R")


class Flows:
    """The flows of one namespace, as a client and a worker use them.

    :param redis: an asyncio client.
    :param settings: namespace, default queue, limits, and how long things are kept.
    :param senders: around everything that puts jobs.
    :param clock: the time at which jobs are enqueued.
    """

    def __init__(
        self,
        redis: Any,
        settings: Settings,
        *,
        senders: Senders,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.redis = redis
        self.settings = settings
        self.senders = senders
        self.clock = clock
        self.sealer = settings.sealer
        self.scripts = FlowScripts(redis, settings)

    def of_namespace(self, namespace: str) -> "Flows":
        """Return the flows of another namespace, over the same connection."""
        settings = self.settings.model_copy(update={"namespace": namespace})
        return Flows(self.redis, settings, senders=self.senders, clock=self.clock)

    # Begin

    def planner(self) -> Planner:
        """Return a planner for one flow, which begins now."""
        return Planner(self.settings, self.clock.time_ms())

    async def start(self, pipeline: Pipeline[Any, R], arguments: bytes) -> FlowHandle[R]:
        """Begin a run of `pipeline`. Raises JobExists (unless `on_taken="existing"`), PayloadTooLarge, ServerError."""
        plan = self.planner().plan(pipeline, arguments)
        given = b"" if "0:payload" in plan else arguments
        flow_id = new_id()
        first = stage_job(flow_id, 0, _first_stage(plan, given))
        first.headers |= pipeline.enqueue_options.headers
        with self.senders.around([first]):
            if not given:
                self.check_size(first)
            flow = NewFlow(
                id=flow_id,
                kind="pipeline",
                name=pipeline.name,
                options=pipeline.enqueue_options,
                plan=with_headers(plan, first.headers, self.sealer, flow_id),
                given=given and seal_value(self.sealer, given, "in", flow_id),
                stages=to_json(stages_of(pipeline)),
                tenant=tenant_of(first.headers),
            )
            created, own_id = await self.begin(flow)
        if created:
            self.senders.created([first])
        return FlowHandle(self, own_id, pipeline.parse, created=created)

    async def begin(self, flow: NewFlow) -> tuple[bool, str]:
        """Write a flow down and start it; return whether it is new, and its id.

        Raises JobExists (unless `on_taken="existing"`), ServerError.
        """
        async with explained(self.redis):
            created, own_id = await self.scripts.start(flow)
        if not created and flow.options.on_taken != "existing":
            raise JobExists(flow.options.id or flow.id)
        return created, own_id

    def check_size(self, job: Outgoing) -> None:
        """Raise PayloadTooLarge for a job that is over the limit with its headers."""
        size, limit = len(envelopes.with_headers(job.payload, job.headers)), self.settings.payload_limit
        if size > limit:
            raise PayloadTooLarge(full_name(job.queue, job.task), size, limit)

    # Look and wait

    def key(self, own_id: str) -> str:
        """Return the key of a flow, by the id that rota gave it."""
        return flow_key(self.settings.namespace, own_id)

    async def find_key(self, flow_id: str) -> str:
        """Return the key of a flow, by the id that rota or a user gave it. Raises ServerError."""
        key = self.key(flow_id)
        async with explained(self.redis):
            if await self.redis.exists(key):
                return key
            own_id = await self.redis.get(flow_alias_key(self.settings.namespace, flow_id))
        return key if own_id is None else self.key(own_id.decode())

    async def status(self, flow_id: str) -> FlowInfo:
        """Return how far a flow is. Raises JobNotFound, UnreadablePayload, ServerError."""
        key = await self.find_key(flow_id)
        async with explained(self.redis):
            fields = dict(zip(FIELDS, await self.redis.hmget(key, FIELDS), strict=True))
            if fields["id"] is None:
                raise JobNotFound(flow_id)
            with readable(flow_id):
                stages = from_json(fields["stages"] or b"")
                names = counts_of(stages)
            counts = await self.redis.hmget(key, names) if names else []
        with readable(flow_id):
            return info_of(fields, stages, counts)

    async def wait(self, key: str, flow_id: str, timeout: float | None) -> None:
        """Wait until the flow at `key` is over, at most `timeout` seconds. Raises ResultTimeout, ServerError."""

        async def is_over() -> bool:
            async with explained(self.redis):
                return bool(await self.redis.hget(key, "state") != b"active")

        await wait_for(is_over, flow_id, timeout, self.clock)

    async def result(self, flow_id: str, timeout: float | None) -> bytes:
        """Wait for the JSON of a flow's result. Raises as `FlowHandle.result` does."""
        key = await self.find_key(flow_id)
        await self.wait(key, flow_id, timeout)
        async with explained(self.redis):
            state, result, error, failed = await self.redis.hmget(key, "state", "result", "error", "failed")
        if state is None:
            raise JobNotFound(flow_id)
        with readable(flow_id):
            ended = State(state.decode())
        match ended:
            case State.CANCELLED:
                raise JobCancelled(flow_id, results.error_of(error or b"").message)
            case State.DEAD:
                fault = results.error_of(error or b"")
                died_of = (failed or b"").decode("utf-8", "replace")
                raise JobFailed(fault.type, fault.message, died_of or flow_id, fault.traceback)
        own_id = key.rpartition(":")[2]
        if result:
            return open_last(self.sealer, result, own_id, is_list=False)
        found = await self._last_results(key, flow_id)
        return open_last(self.sealer, found, own_id, is_list=True)

    async def _last_results(self, key: str, flow_id: str) -> bytes:
        """Return what the items of a run's last stage returned, as a JSON list. Raises JobNotFound, ServerError."""
        async with explained(self.redis):
            stage = (await self.redis.hget(key, "stage") or b"").decode("utf-8", "replace")
            total = await self.redis.hget(key, f"{stage}:total")
            with readable(flow_id):
                number = int(total or 0)
            found = None if total is None else await gathered(self.redis, f"{key}:{stage}", number)
        if found is None:
            raise JobNotFound(flow_id)
        return found

    # Cancel and retry

    async def cancel(self, flow_id: str) -> Literal["cancelled", "finished"]:
        """Cancel a flow, and stop its jobs, in portions. Raises ServerError."""
        key = await self.find_key(flow_id)
        before, more = await self.stop(key, cancel=True)
        while more:
            _, more = await self.stop(key, cancel=False)
        return "cancelled" if before == "active" else "finished"

    async def stop(self, key: str, *, cancel: bool) -> tuple[str, bool]:
        """Stop one portion of what is left of a flow; return its state before, and whether more is left."""
        async with explained(self.redis):
            return await self.scripts.stop(key, cancel=cancel)

    async def retry(self, flow_id: str) -> RetryAnswer:
        """Let a dead flow go on. Raises JobNotFound, ServerError.

        The headers that this call's senders add, if any, are given to what the flow puts from then on.
        """
        key = await self.find_key(flow_id)
        jobs, before = await self._dead_stage(key)
        with self.senders.around(jobs):
            headers = _renewed(before, jobs[0].headers) if jobs and jobs[0].headers else {}
            async with explained(self.redis):
                answer = await self.scripts.retry(key, headers)
        if answer == "absent":
            raise JobNotFound(flow_id)
        if answer == "retried":
            self.senders.created(jobs)
        return answer

    async def _dead_stage(self, key: str) -> tuple[list[Outgoing], Mapping[str, str]]:
        """Return the job with which a dead flow goes on, and the headers it had; nothing for a flow without stages."""
        async with explained(self.redis):
            flow_id, plan, raw_stage = await self.redis.hmget(key, "id", "plan", "stage")
            if plan is None:
                return [], {}
            stage = int(raw_stage)
            names = [f"{stage}:{name}" for name in STAGE_FIELDS]
            *values, headers = await self.redis.hmget(plan, *names, "headers")
        *texts, payload = values
        if None in texts:
            return [], {}
        fields = dict(zip(STAGE_FIELDS, (*(text.decode() for text in texts), payload or b""), strict=True))
        job = stage_job(flow_id.decode(), stage, fields, declared=False)
        return [job], envelopes.decode_headers(headers) if headers else {}


def _first_stage(plan: Mapping[str, Any], given: bytes) -> dict[str, Any]:
    fields = {name: plan.get(f"0:{name}") for name in STAGE_FIELDS}
    return {**fields, "payload": given or fields["payload"]}


def _renewed(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with which a flow goes on: those of now beside its own. Its tenant stays who it was."""
    others = {name: text for name, text in now.items() if name != TENANT}
    return renewed(before, others)
