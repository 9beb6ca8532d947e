"""The runs of pipelines, as a client sees them: begun by one script, looked at, waited for, cancelled as a whole."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic_core import from_json, to_json

from rota.errors import (
    JobCancelled,
    JobExists,
    JobFailed,
    JobNotFound,
    PayloadTooLarge,
    ResultTimeout,
)
from rota.flows.plan import Planner, headers_field, stage_job, stages_of
from rota.flows.view import FIELDS, counts_of, info_of
from rota.model.flows.handle import FlowHandle, FlowInfo, RetryAnswer
from rota.model.flows.stages import Pipeline
from rota.model.options import EnqueueOptions
from rota.model.state import State
from rota.model.trace import renewed
from rota.names import full_name, new_id
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.seams import Outgoing, Senders
from rota.server.faults import explained
from rota.wire import envelopes
from rota.wire.keys import events_key, flow_alias_key, flow_key
from rota.wire.scripts import FLOW_FAN_OUT, FLOW_RETRY, FLOW_START, FLOW_STOP

R = TypeVar("R")

#: A waiting `result()` looks this often at first, and at last, seconds.
_FIRST_LOOK, _LAST_LOOK = 0.02, 0.5

_STEP = ("kind", "queue", "task", "payload")


@dataclass(frozen=True, slots=True)
class Flows:
    """What a client, and a worker, do with flows. Times in seconds, the payload's limit in bytes.

    `senders` are around everything that puts jobs.
    """

    redis: Any
    namespace: str
    default_queue: str
    payload_limit: int = 262_144
    keep_result: float = 3600.0
    dead_retention: float = 30 * 86400.0
    events_maxlen: int = 100_000
    senders: Senders = field(default_factory=Senders)
    clock: Clock = SYSTEM_CLOCK

    async def start(self, pipeline: Pipeline[Any, R], arguments: bytes) -> FlowHandle[R]:
        """Begin a run. Raises JobExists (unless `on_taken="existing"`), PayloadTooLarge."""
        options = pipeline.enqueue_options
        plan = Planner(self.default_queue, self.namespace, self.clock.time_ms()).plan(pipeline, arguments)
        given = b"" if "0:payload" in plan else arguments
        flow_id = new_id()
        first = _first_of(flow_id, plan, given)
        with self.senders.around([first]):
            if not given:
                self.check_size(first)
            created, found = await self.begin(
                flow_id,
                "pipeline",
                pipeline.name,
                options,
                plan | headers_field(first.headers),
                given=given,
                stages=to_json(stages_of(pipeline)),
            )
        if created:
            self.senders.created([first])
        return FlowHandle(self, found, pipeline.parse, created=created)

    def check_size(self, job: Outgoing) -> None:
        """Raise PayloadTooLarge for a job that is over the limit with its headers."""
        size = len(envelopes.with_headers(job.payload, job.headers))
        if size > self.payload_limit:
            raise PayloadTooLarge(full_name(job.queue, job.task), size, self.payload_limit)

    async def begin(
        self,
        flow_id: str,
        kind: str,
        name: str,
        options: EnqueueOptions,
        plan: dict[str, Any],
        *,
        given: bytes = b"",
        stages: bytes = b"[]",
        total: int = 0,
    ) -> tuple[bool, str]:
        """Write a flow and its plan down, and start its first stage; whether it is new, and its id.

        Raises JobExists (unless `on_taken="existing"`).
        """
        key = flow_key(self.namespace, flow_id)
        alias = "" if options.id is None else flow_alias_key(self.namespace, options.id)
        keep = self.keep_result if options.keep_result is None else options.keep_result
        args: list[Any] = [
            self.events_maxlen,
            flow_id,
            kind,
            name,
            _ms(keep),
            _ms(self.dead_retention),
            given,
            stages,
        ]
        args.append(total)
        args += (part for pair in plan.items() for part in pair)
        async with explained(self.redis):
            created, found = await FLOW_START(
                self.redis, (key, f"{key}:plan", alias, events_key(self.namespace)), args
            )
        if not created and options.on_taken != "existing":
            raise JobExists(options.id or flow_id)
        return bool(created), found.decode()

    async def status(self, flow_id: str) -> FlowInfo:
        """How far a flow is. Raises JobNotFound."""
        key = await self.key(flow_id)
        async with explained(self.redis):
            fields = dict(zip(FIELDS, await self.redis.hmget(key, FIELDS), strict=True))
            if fields["id"] is None:
                raise JobNotFound(flow_id)
            stages = from_json(fields["stages"])
            numbers = await self.redis.hmget(key, counts_of(stages))
        return info_of(fields, stages, numbers)

    async def result(self, flow_id: str, timeout: float | None) -> bytes:
        """The JSON that a flow came to, once it is over. Raises as `FlowHandle.result` does."""
        key = await self.key(flow_id)
        await self.over(key, flow_id, timeout)
        async with explained(self.redis):
            state, result, error, failed = await self.redis.hmget(key, "state", "result", "error", "failed")
        if state is None:
            raise JobNotFound(flow_id)
        match State(state.decode()):
            case State.CANCELLED:
                raise JobCancelled(flow_id, envelopes.error_of(error or b"").message)
            case State.DEAD:
                fault = envelopes.error_of(error or b"")
                raise JobFailed(fault.type, fault.message, failed.decode() or flow_id, fault.traceback)
        raw: bytes = result
        return raw

    async def over(self, key: str, flow_id: str, timeout: float | None) -> None:
        """Wait until a flow is over. Raises ResultTimeout."""

        async def look() -> bool:
            async with explained(self.redis):
                return bool(await self.redis.hget(key, "state") != b"active")

        await waited(look, flow_id, timeout, self.clock)

    async def cancel(self, flow_id: str) -> Literal["cancelled", "finished"]:
        """Cancel a flow, and stop what is left of it, in portions."""
        key = await self.key(flow_id)
        before, more = await self.stop(key, cancel=True)
        while more:
            _, more = await self.stop(key, cancel=False)
        return "cancelled" if before == "active" else "finished"

    async def retry(self, flow_id: str) -> RetryAnswer:
        """Let a dead flow go on. Raises JobNotFound.

        What it puts from then on has the headers of this call's senders, if they have something to say.
        """
        key = await self.key(flow_id)
        jobs, before = await self._dead_stage(key)
        with self.senders.around(jobs):
            headers = renewed(before, jobs[0].headers) if jobs and jobs[0].headers else {}
            args = (self.events_maxlen, envelopes.encode_headers(headers) if headers else b"")
            async with explained(self.redis):
                answer = await FLOW_RETRY(self.redis, (key, events_key(self.namespace)), args)
        match answer:
            case b"retried":
                self.senders.created(jobs)
                return "retried"
            case b"stopping":
                return "stopping"
            case b"absent":
                raise JobNotFound(flow_id)
        return "refused"

    async def _dead_stage(self, key: str) -> tuple[list[Outgoing], Mapping[str, str]]:
        """The job with which a dead flow goes on, and the headers that it had; nothing for a flow without stages."""
        async with explained(self.redis):
            flow_id, plan, stage = await self.redis.hmget(key, "id", "plan", "stage")
            if plan is None:
                return [], {}
            at = f"{int(stage)}:"
            *texts, payload, headers = await self.redis.hmget(plan, *(at + one for one in _STEP), "headers")
        if None in texts:
            return [], {}
        step = dict(zip(_STEP, (text.decode() for text in texts), strict=False))
        job = stage_job(flow_id.decode(), int(stage), {**step, "payload": payload or b""}, declared=False)
        return [job], envelopes.decode_headers(headers) if headers else {}

    async def put(
        self, flow_id: str, stage: int, cursor: int, total: int, args: Iterable[Any] = ()
    ) -> tuple[int, int]:
        """Put the next jobs of a batch or a fan-out: the first that is not put yet, -1 where it is over, and how many
        this call put. Raises the faults of Redis as they are.
        """
        keys = (flow_key(self.namespace, flow_id), events_key(self.namespace))
        cursor, number = await FLOW_FAN_OUT(
            self.redis, keys, (self.events_maxlen, stage, cursor, total, *args)
        )
        return cursor, number

    async def stop(self, key: str, *, cancel: bool) -> tuple[str, bool]:
        """One portion of stopping what is left; the flow's state before, and whether there is more."""
        error = envelopes.encode_error(asyncio.CancelledError("the whole of it was cancelled"))
        async with explained(self.redis):
            before, more = await FLOW_STOP(
                self.redis,
                (key, events_key(self.namespace)),
                (self.events_maxlen, 1 if cancel else 0, error),
            )
        return before.decode(), more == 1

    async def key(self, flow_id: str) -> str:
        """The key of a flow, by its own id or the one that a user gave it."""
        key = flow_key(self.namespace, flow_id)
        async with explained(self.redis):
            if await self.redis.exists(key):
                return key
            own = await self.redis.get(flow_alias_key(self.namespace, flow_id))
        return key if own is None else flow_key(self.namespace, own.decode())


async def waited(
    is_over: Callable[[], Awaitable[bool]], name: str, timeout: float | None, clock: Clock
) -> None:
    """Look until `is_over`, at most `timeout` seconds. Raises ResultTimeout."""
    deadline = None if timeout is None else clock.monotonic() + timeout
    pause = _FIRST_LOOK
    while not await is_over():
        if deadline is not None and clock.monotonic() + pause > deadline:
            pause = max(0.0, deadline - clock.monotonic())
            if pause == 0:
                raise ResultTimeout(name, timeout or 0.0)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LAST_LOOK)


def _first_of(flow_id: str, plan: Mapping[str, Any], given: bytes) -> Outgoing:
    step = {field: plan.get(f"0:{field}") for field in _STEP}
    return stage_job(flow_id, 0, step | {"payload": given or step["payload"]})


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
