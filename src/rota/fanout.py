"""The worker's side of flows: what a stage's job gets, and the two jobs of the engine's own that flows need.

One puts the items of a list, in portions, each of which moves a cursor in the same script: killed between two, it goes
on where it was. The other stops what is left of a flow that has ended early.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json
from redis.exceptions import ResponseError

from rota import codec
from rota.batch import Batch
from rota.batches import read_batch
from rota.errors import Cancel, InvalidPayload, Snooze
from rota.flow import FAN_OUT, SWEEP, Member, Recipe
from rota.flows import Flows
from rota.job import Job, job
from rota.keys import events_key, flow_key
from rota.outage import FAULTS
from rota.protocol import FLOW_FAN_OUT
from rota.run import Run
from rota.seams import Outgoing, sending
from rota.server_faults import ServerError
from rota.terms import is_limited, terms_of
from rota.trace import renewed

#: Items that one script puts at most, and bytes of them: it keeps a script near 10 ms of Redis' time.
PORTION, PORTION_BYTES = 250, 1_000_000
#: Results that are read at once.
_PAGE = 1000
#: After a fault of Redis it is tried again after this, seconds; the attempt is not spent.
_PAUSE = 1.0
_FAULTS: tuple[type[BaseException], ...] = (*FAULTS, ServerError)


class _Item(NamedTuple):
    """An item's job, or the input of an item that is a pipeline."""

    job: Outgoing
    terms: str
    nested: bool = False


@dataclass(frozen=True)
class FlowJobs:
    """Flows as the worker of one queue serves them; `jobs` are the queue's own, by name."""

    flows: Callable[[], Flows]
    jobs: Mapping[str, Job[Any, Any]]

    @property
    def builtin(self) -> tuple[Job[Any, Any], ...]:
        """The engine's own jobs; a worker of any queue has them."""
        return _named(self.fan_out, FAN_OUT), _named(self.sweep, SWEEP)

    async def input(self, job_id: str) -> bytes:
        """The JSON of what a stage's job gets: what came out of the stage before. Raises Cancel if its flow is over."""
        place = Member.of(job_id)
        if place is None:
            raise Cancel("its id is not one of a flow's job, and so it has no input")
        with _unspent():
            return await self._input(place)

    async def batch(self, job_id: str) -> Batch:
        """The batch that calls a job back. Raises Cancel where nobody remembers it."""
        place = Member.of(job_id)
        with _unspent():
            found = None if place is None else await read_batch(self.flows(), place.flow)
        if found is None:
            raise Cancel("the batch that called it is no longer remembered")
        return found

    async def fan_out(self, run: Run) -> int:
        """Put the items of a list; how many it has.

        One that was killed when the last item was put finds its flow further on, or gone: it has nothing to do.
        """
        with _unspent():
            try:
                return await self._fan_out(run)
            except _Over:
                return 0

    async def _fan_out(self, run: Run) -> int:
        flows, place = self.flows(), _place(run)
        key = flow_key(flows.namespace, place.flow)
        plan, path = await flows.redis.hmget(key, "plan", "path")
        if plan is None:
            raise _Over
        at = f"{path.decode()}{place.stage}:"
        fields = ("kind", "task", "argument", "options", "terms", "queue")
        step = dict(
            zip(fields, await flows.redis.hmget(plan, *(at + field for field in fields)), strict=True)
        )
        items = _items(await self._input(place), step["task"].decode())
        cursor = await self._put(key, place, -1, len(items), ())
        while cursor >= 0:
            portion = self._portion(run, step, items, cursor)
            # An item that is a pipeline is no job yet: its jobs have the headers of the whole.
            jobs = [item.job for item in portion if not item.nested]
            with sending(flows.senders, jobs):
                args = self._written(run, portion)
                cursor = await self._put(key, place, cursor, len(items), args)
            if cursor >= len(items):
                break
            run.progress(100 * cursor / len(items))
        return len(items)

    async def sweep(self, run: Run) -> None:
        """Stop what is left of a flow that has ended early."""
        flows = self.flows()
        key, more = flow_key(flows.namespace, _place(run).flow), True
        with _unspent():
            while more:
                _, more = await flows.stop(key, cancel=False)

    async def _input(self, place: Member) -> bytes:
        flows = self.flows()
        redis, key = flows.redis, flow_key(flows.namespace, place.flow)
        before = place.stage - 1
        state, stage, value, total = await redis.hmget(
            key,
            "state",
            "stage",
            "in" if before < 0 else f"{before}:result",
            f"{before}:total",
        )
        if state != b"active" or int(stage) != place.stage:
            raise _Over
        if value is not None:
            raw: bytes = value
            return raw
        results: list[bytes] = []
        for start in range(0, int(total or 0), _PAGE):
            items = range(start, min(start + _PAGE, int(total)))
            results += await redis.hmget(f"{key}:{before}", [str(item) for item in items])
        if None in results:
            raise Cancel("its flow is over")
        return b"[%b]" % b",".join(results)

    def _portion(
        self, run: Run, step: Mapping[str, bytes | None], items: list[Any], start: int
    ) -> list[_Item]:
        portion: list[_Item] = []
        size = 0
        for number, value in enumerate(items[start : start + PORTION], start):
            item = self._item(run, step, to_json(value), number)
            size += len(item.job.payload)
            if size > PORTION_BYTES and portion:
                break
            portion.append(item)
        return portion

    def _item(self, run: Run, step: Mapping[str, bytes | None], value: bytes, number: int) -> _Item:
        task = (step["task"] or b"").decode()
        job = Outgoing(run.queue, task, f"{run.id.removesuffix('each')}{number}", value)
        if step["kind"] == b"nested":
            return _Item(job, "", nested=True)
        recipe = Recipe(task, (step["argument"] or b"").decode(), from_json(step["options"] or b"{}"))
        job.payload = recipe.payload(value, now_ms=round(time.time() * 1000))
        return _Item(job, self._terms(step, job.payload))

    def _written(self, run: Run, portion: Sequence[_Item]) -> list[Any]:
        """As the script takes them, with the headers of the senders, and those that the fan-out itself came with."""
        args: list[Any] = []
        for item, terms, nested in portion:
            headers = {} if nested else renewed(run.headers, item.headers)
            payload = codec.with_headers(item.payload, headers)
            if not nested:
                self._check_size(item, len(payload))
            args += (payload, terms)
        return args

    def _check_size(self, job: Outgoing, size: int) -> None:
        most = self.flows().payload_limit
        if size > most:
            limit = f"has {size} bytes and the limit is {most}; pass on a reference instead"
            raise InvalidPayload(job.task, {f"item {job.id.rpartition('.')[2]}": limit})

    def _terms(self, step: Mapping[str, bytes | None], payload: bytes) -> str:
        flows, planned = self.flows(), (step["terms"] or b"").decode()
        job = self.jobs.get((step["task"] or b"").decode())
        keyed = job is not None and (job.limit is not None or job.concurrency is not None)
        if job is None or not keyed or is_limited(planned):
            return planned
        arguments = to_json(codec.decode_job(payload).kwargs)
        queue, bare = (step["queue"] or b"").decode(), replace(job, unique=None)
        own = terms_of(bare, queue, arguments, namespace=flows.namespace, priority=0)
        return f"{planned} {own}".strip()

    async def _put(self, key: str, place: Member, cursor: int, total: int, args: Any) -> int:
        flows = self.flows()
        keys = (key, events_key(flows.namespace))
        return int(
            await FLOW_FAN_OUT(flows.redis, keys, (flows.events_maxlen, place.stage, cursor, total, *args))
        )


class _Over(Cancel):
    def __init__(self) -> None:
        super().__init__("its flow is over")


@contextmanager
def _unspent() -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        if type(error) is ResponseError:
            raise  # a script of ours that is wrong stays so
        raise Snooze(_PAUSE) from error


def _items(raw: bytes, task: str) -> list[Any]:
    value = from_json(raw)
    if not isinstance(value, list):
        what = {"dict": "an object", "str": "a text", "NoneType": "nothing"}.get(
            type(value).__name__, f"a {type(value).__name__}"
        )
        raise InvalidPayload(task, {"": f"each needs a list, and the stage before it returned {what}"})
    return value


def _place(run: Run) -> Member:
    place = Member.of(run.id)
    if place is None:
        raise Cancel("its id is not one of a flow's job")
    return place


def _named(handler: Callable[..., Any], name: str) -> Job[Any, Any]:
    # Not the queue's policy, which is made for other jobs.
    return replace(job(timeout=300, max_attempts=10, keep_result=0)(handler), name=name)
