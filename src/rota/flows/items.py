"""The items of a fan-out: each becomes a job, or a run of a pipeline, and they are put in portions.

The script that puts a portion moves a cursor. A worker that is killed between two portions leaves the cursor to the
next one, which goes on there; a portion that is sent twice is put once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from rota.errors import InvalidPayload
from rota.flows.flows import Flows
from rota.flows.plan import Place, Recipe, portion
from rota.model.job import Job
from rota.model.policies.terms import is_limited, of_tenant, terms_of
from rota.model.run import Run
from rota.model.trace import renewed, tenant_of
from rota.seams import Outgoing
from rota.wire import envelopes
from rota.wire.envelopes import FAN_OUT, HOME
from rota.wire.sealing.sealed import seal_job
from rota.wire.sealing.values import seal_value

_FIELDS = ("kind", "task", "argument", "terms")
#: The same of the first stage of a pipeline that runs for each item.
_INNER_FIELDS = (".0:kind", ".0:task")


class FanOutStage(NamedTuple):
    """A stage that fans out, as the plan of its flow has it.

    :param task: the name of the job, or of the pipeline, that runs for each item.
    :param recipe: how the job's payloads are made; None where each item is a run of a pipeline.
    :param terms: what the scripts must know of each job.
    :param first: the name of the job that each item begins with.
    """

    task: str
    recipe: Recipe | None
    terms: str
    first: str

    @classmethod
    async def read(cls, redis: Any, plan: bytes, at: str) -> "FanOutStage":
        """Read the stage whose fields in `plan` begin with `at`. Raises the faults of Redis as they are."""
        names = (*(f"{at}:{name}" for name in _FIELDS), *(at + name for name in _INNER_FIELDS))
        *values, options = await redis.hmget(plan, *names, f"{at}:options")
        kind, task, argument, terms, inner_kind, inner_task = ((value or b"").decode() for value in values)
        if kind == "nested":
            return cls(task, None, terms, inner_task if inner_kind == "job" else FAN_OUT)
        return cls(task, Recipe(task, argument, from_json(options or b"{}")), terms, task)

    @classmethod
    def of(cls, signed: Mapping[str, Any]) -> "FanOutStage":
        """Return the stage that the signed payload of its job describes."""
        task = signed["task"]
        if "first" in signed:
            return cls(task, None, "", signed["first"])
        return cls(task, Recipe(task, signed["argument"], signed["options"]), signed["terms"], task)


class _Item(NamedTuple):
    """An item on its way to Redis: as a job, or, of a pipeline, as the JSON that is its first stage's input."""

    job: Outgoing
    terms: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """One fan-out at work.

    :param jobs: the jobs of this worker's queue, by name.
    :param run: the attempt that puts the items.
    :param place: where in its flow that attempt is.
    :param stage: the stage as the plan has it.
    """

    flows: Flows
    jobs: Mapping[str, Job[Any, Any]]
    run: Run
    place: Place
    stage: FanOutStage

    async def put(self, items: Sequence[Any]) -> None:
        """Put the items that are not put yet. Raises InvalidPayload for an item that is too large."""
        cursor, _ = await self._send(-1, len(items))
        while cursor >= 0:
            # Of an empty list a portion is put too: it tells the stage that there are no items.
            cursor = await self._put_portion(items, cursor)
            if not 0 <= cursor < len(items):
                break
            self.run.progress(100 * cursor / len(items))

    async def _put_portion(self, items: Sequence[Any], start: int) -> int:
        chosen = self._portion(items, start)
        jobs, nested = [item.job for item in chosen], self.stage.recipe is None
        # The jobs of a pipeline get the headers of the flow from the scripts, so no sender is called for one.
        with self.flows.senders.around([] if nested else jobs):
            args: list[Any] = []
            for job, terms in chosen:
                args += (self._input(job), terms) if nested else self._with_headers(job, terms)
            cursor, put = await self._send(start, len(items), args)
        # When a dead flow goes on, the script leaves out items that have a result, and says only how many it put.
        created = jobs[:put]
        self.flows.senders.created(
            [replace(job, task=self.stage.first) for job in created] if nested else created
        )
        return cursor

    async def _send(self, cursor: int, total: int, args: Sequence[Any] = ()) -> tuple[int, int]:
        return await self.flows.scripts.put(self.place.flow, self.place.stage, cursor, total, args)

    def _portion(self, items: Sequence[Any], start: int) -> list[_Item]:
        made = (self._item(to_json(items[number]), number) for number in range(start, len(items)))
        return portion(made, lambda item: len(item.job.payload))

    def _item(self, value: bytes, number: int) -> _Item:
        job_id = f"{self.place.flow}.{self.place.stage}.{number}"
        job = Outgoing(self.run.queue, self.stage.task, job_id, value, declared=False)
        if self.stage.recipe is None:
            return _Item(job, "")
        job.payload = self.stage.recipe.payload(value, now_ms=self.flows.clock.time_ms())
        return _Item(job, self._terms(job.payload))

    def _terms(self, payload: bytes) -> str:
        """Return the planned terms, and beside them the limits that the plan could not name without the item."""
        planned, job = self.stage.terms, self._job()
        if job is None or (job.limit is None and job.concurrency is None) or is_limited(planned):
            return planned
        arguments = to_json(envelopes.decode_job(payload).kwargs)
        namespace = self.flows.settings.namespace
        limits = terms_of(
            replace(job, unique=None), self.run.queue, arguments, namespace=namespace, priority=0
        )
        return f"{planned} {limits}".strip()

    def _job(self) -> Job[Any, Any] | None:
        """Return the stage's job; None for one of another queue, whose limits the worker finds that claims it."""
        recipe = self.stage.recipe
        return None if recipe is None or HOME in recipe.options else self.jobs.get(self.stage.task)

    def _with_headers(self, job: Outgoing, terms: str) -> tuple[bytes, str]:
        """Return payload and terms with the senders' headers, and those of the fan-out's own job beside them."""
        headers = renewed(self.run.headers, job.headers)
        payload = envelopes.with_headers(job.payload, headers)
        limit = self.flows.settings.payload_limit
        if len(payload) > limit:
            reason = f"has {len(payload)} bytes and the limit is {limit}; pass on a reference instead"
            raise InvalidPayload(job.task, {f"item {job.id.rpartition('.')[2]}": reason})
        sealed = seal_job(self.flows.sealer, payload, queue=job.queue, job_id=job.id)
        return sealed, of_tenant(terms, "", tenant_of(headers))[0]

    def _input(self, job: Outgoing) -> bytes:
        """Return the input of an item that is a pipeline; `job` has the id of that flow."""
        return seal_value(self.flows.sealer, job.payload, "in", job.id)
