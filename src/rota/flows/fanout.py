"""The worker's side of flows: what a stage's job gets, and the two jobs of the engine's own that flows need.

One puts the items of a list; the other stops what is left of a flow that has ended early.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import from_json
from redis.exceptions import ResponseError

from rota.errors import Cancel, InvalidPayload, Snooze
from rota.flows.batches import read_batch
from rota.flows.flows import Flows
from rota.flows.items import Expansion, Step
from rota.flows.plan import Member
from rota.model.flows.batch import Batch
from rota.model.job import Job, job
from rota.model.run import Run
from rota.server.faults import ServerError
from rota.server.outage import FAULTS
from rota.wire.envelopes import FAN_OUT, SWEEP
from rota.wire.keys import flow_key

#: Results that are read at once.
_PAGE = 1000
#: After a fault of Redis it is tried again after this, seconds; the attempt is not spent.
_PAUSE = 1.0
_FAULTS: tuple[type[BaseException], ...] = (*FAULTS, ServerError)


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
        step = await Step.read(flows.redis, plan, f"{path.decode()}{place.stage}")
        items = _items(await self._input(place), step.task)
        await Expansion(flows, self.jobs, run, place, step).put(items)
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
