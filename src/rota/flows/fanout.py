"""The worker's side of flows: the input of a stage's job, and the two jobs that rota itself brings along.

One of them puts the items of a list, the other stops what is left of a flow that has ended early.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic_core import from_json
from redis.exceptions import ResponseError

from rota.errors import Cancel, InvalidPayload, Snooze
from rota.flows.batches import read_batch
from rota.flows.flows import Flows
from rota.flows.items import Expansion, FanOutStage
from rota.flows.plan import Place
from rota.flows.results import gathered
from rota.model.flows.batch import Batch
from rota.model.job import Job, job
from rota.model.policies.terms import flow_namespace
from rota.model.run import Run
from rota.server.faults import ServerError
from rota.server.outage import FAULTS
from rota.wire.claims import encode_id
from rota.wire.envelopes import FAN_OUT, RECIPE, SWEEP, decode_job
from rota.wire.sealing.values import open_own, open_stage

T = TypeVar("T")

#: A job whose Redis call failed runs again after this many seconds; the attempt is not spent.
_PAUSE = 1.0
_FAULTS: tuple[type[BaseException], ...] = (*FAULTS, ServerError)


@dataclass(frozen=True)
class FlowJobs:
    """The work for flows that the worker of one queue does.

    :param flows: returns the flows on the worker's connection, once there is one.
    :param jobs: the jobs of the queue, by name.
    :param terms: the key of the terms of the queue's jobs.
    """

    flows: Callable[[], Flows]
    jobs: Mapping[str, Job[Any, Any]]
    terms: str

    @property
    def builtin(self) -> tuple[Job[Any, Any], ...]:
        """The jobs that the worker of every queue has beside its own."""
        return _named(self.fan_out, FAN_OUT), _named(self.sweep, SWEEP)

    async def input(self, job_id: str) -> bytes:
        """Return the JSON that a stage's job gets: what the stage before returned.

        Raises Cancel if the flow is over, RefusedPayload where it is not signed as it must be, Snooze after a fault of
        Redis.
        """
        place = Place.of(job_id)
        if place is None:
            raise Cancel("its id is not one of a flow's job, and so it has no input")
        with _unspent():
            return await self._where_it_lies(job_id, lambda flows: _input(flows, place))

    async def batch(self, job_id: str) -> Batch:
        """Return the batch that calls a job back.

        Raises Cancel if Redis no longer holds the batch, Snooze after a fault of Redis.
        """
        place = Place.of(job_id)
        with _unspent():
            try:
                return await self._where_it_lies(job_id, lambda flows: _batch(flows, place))
            except _Absent:
                raise Cancel("the batch that called it is no longer remembered") from None

    async def fan_out(self, run: Run) -> int:
        """Put the items of a list; return how many there are.

        An attempt after one that was killed behind the last item may find the flow at a later stage, or gone, and then
        has nothing to do.
        """
        with _unspent():
            try:
                return await self._where_it_lies(run.id, lambda flows: self._fan_out(flows, run))
            except _Over:
                return 0

    async def _fan_out(self, flows: Flows, run: Run) -> int:
        place = _place(run)
        plan, path = await flows.redis.hmget(flows.key(place.flow), "plan", "path")
        if plan is None:
            raise _Absent
        signed = decode_job(run.payload).options.get(RECIPE)
        if signed is not None:
            stage = FanOutStage.of(signed)
        else:
            stage = await FanOutStage.read(flows.redis, plan, f"{path.decode()}{place.stage}")
        items = _items(await _input(flows, place), stage.task)
        await Expansion(flows, self.jobs, run, place, stage).put(items)
        return len(items)

    async def sweep(self, run: Run) -> None:
        """Stop what is left of a flow that has ended early."""
        with _unspent(), suppress(_Absent):
            await self._where_it_lies(run.id, lambda flows: _stop(flows, _place(run)))

    async def _where_it_lies(self, job_id: str, act: Callable[[Flows], Awaitable[T]]) -> T:
        """Act on a job's flow where it lies: a client of another namespace may have begun it."""
        flows = self.flows()
        try:
            return await act(flows)
        except _Absent:
            terms = await flows.redis.hget(self.terms, encode_id(job_id))
            namespace = flow_namespace(terms.decode("utf-8", "replace")) if terms else None
            if namespace in (None, flows.settings.namespace):
                raise
        return await act(flows.of_namespace(namespace))


async def _input(flows: Flows, place: Place) -> bytes:
    key, before = flows.key(place.flow), place.stage - 1
    field = "in" if before < 0 else f"{before}:result"
    state, stage, value, total = await flows.redis.hmget(key, "state", "stage", field, f"{before}:total")
    if state is None:
        raise _Absent
    if state != b"active" or int(stage) != place.stage:
        raise _Over
    if value is not None and before < 0:
        return open_own(flows.sealer, value, "in", place.flow)
    if value is not None:
        return open_stage(flows.sealer, value, place.flow, before, is_list=False)
    results = await gathered(flows.redis, f"{key}:{before}", int(total or 0))
    if results is None:
        # The flow has ended in the meantime, and its results are gone.
        raise _Over
    return open_stage(flows.sealer, results, place.flow, before, is_list=True)


async def _batch(flows: Flows, place: Place | None) -> Batch:
    found = None if place is None else await read_batch(flows, place.flow)
    if found is None:
        raise _Absent
    return found


async def _stop(flows: Flows, place: Place) -> None:
    key, more = flows.key(place.flow), True
    while more:
        before, more = await flows.stop(key, cancel=False)
        if not before:
            raise _Absent


class _Over(Cancel):
    def __init__(self) -> None:
        super().__init__("its flow is over")


class _Absent(_Over):
    """Raised for a flow that Redis does not hold in the namespace in which it was looked for."""


@contextmanager
def _unspent() -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        if type(error) is ResponseError:
            raise  # a mistake in a script of rota's, which no retry makes good
        raise Snooze(_PAUSE) from error


def _items(raw: bytes, task: str) -> list[Any]:
    value = from_json(raw)
    if not isinstance(value, list):
        what = {"dict": "an object", "str": "a text", "NoneType": "nothing"}.get(
            type(value).__name__, f"a {type(value).__name__}"
        )
        raise InvalidPayload(task, {"": f"each needs a list, and the stage before it returned {what}"})
    return value


def _place(run: Run) -> Place:
    place = Place.of(run.id)
    if place is None:
        raise Cancel("its id is not one of a flow's job")
    return place


def _named(handler: Callable[..., Any], name: str) -> Job[Any, Any]:
    # A timeout, attempts and retention of their own: the queue's are made for other jobs.
    return replace(job(timeout=300, max_attempts=10, keep_result=0)(handler), name=name)
