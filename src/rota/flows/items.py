"""The items of a fan-out: each becomes a job, or a pipeline's run, and they are put in portions.

A portion moves a cursor in the script that puts it. Whoever is killed between two goes on at the cursor, and
what is sent twice is put once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from rota.errors import InvalidPayload
from rota.flows.flows import Flows
from rota.flows.plan import Member, Recipe, portion
from rota.model.job import Job
from rota.model.policies.terms import is_limited, terms_of
from rota.model.run import Run
from rota.model.trace import renewed
from rota.seams import Outgoing
from rota.wire import envelopes
from rota.wire.envelopes import FAN_OUT

_FIELDS = ("kind", "task", "argument", "options", "terms")
#: Of an item that is a pipeline, its first stage.
_INNER = (".0:kind", ".0:task")


class Step(NamedTuple):
    """A fan-out's stage, as the plan has it. `first` is the job that begins an item that is a pipeline."""

    kind: str
    task: str
    argument: str
    options: bytes
    terms: str
    first: str

    @classmethod
    async def read(cls, redis: Any, plan: bytes, at: str) -> "Step":
        """The stage whose fields begin with `at`."""
        fields = (*(f"{at}:{field}" for field in _FIELDS), *(at + field for field in _INNER))
        raw: list[bytes] = [value or b"" for value in await redis.hmget(plan, fields)]
        kind, task, argument, _, terms, inner_kind, inner_task = (value.decode() for value in raw)
        first = inner_task if inner_kind == "job" else FAN_OUT
        return cls(kind, task, argument, raw[3] or b"{}", terms, first)


class _Item(NamedTuple):
    job: Outgoing
    terms: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """One fan-out at work: `run` is the attempt that puts its items, `jobs` are those of its queue, by name."""

    flows: Flows
    jobs: Mapping[str, Job[Any, Any]]
    run: Run
    place: Member
    step: Step

    async def put(self, items: Sequence[Any]) -> None:
        """Put all of them that are not put yet. Raises InvalidPayload for one that is too large."""
        flow, stage, _ = self.place
        cursor, _ = await self.flows.put(flow, stage, -1, len(items))
        while cursor >= 0:
            cursor = await self._put_portion(items, cursor)
            if cursor >= len(items):
                break
            self.run.progress(100 * cursor / len(items))

    async def _put_portion(self, items: Sequence[Any], start: int) -> int:
        flow, stage, _ = self.place
        nested = self.step.kind == "nested"
        chosen = self._portion(items, start)
        # An item that is a pipeline is no job yet: its jobs have the headers of the whole.
        with self.flows.senders.around([] if nested else [item.job for item in chosen]):
            pairs = ((job.payload if nested else self._sealed(job), terms) for job, terms in chosen)
            args = [value for pair in pairs for value in pair]
            cursor, number = await self.flows.put(flow, stage, start, len(items), args)
        self.flows.senders.created([self._first_job(job) for job, _ in chosen[:number]])
        return cursor

    def _portion(self, items: Sequence[Any], start: int) -> list[_Item]:
        made = (self._item(to_json(items[number]), number) for number in range(start, len(items)))
        return portion(made, lambda item: len(item.job.payload))

    def _first_job(self, item: Outgoing) -> Outgoing:
        """Return the job that `item` was put as: of an item that is a pipeline, the job that begins it."""
        return replace(item, task=self.step.first) if self.step.kind == "nested" else item

    def _item(self, value: bytes, number: int) -> _Item:
        flow, stage, _ = self.place
        job = Outgoing(self.run.queue, self.step.task, f"{flow}.{stage}.{number}", value, declared=False)
        if self.step.kind == "nested":
            return _Item(job, "")
        recipe = Recipe(self.step.task, self.step.argument, from_json(self.step.options))
        job.payload = recipe.payload(value, now_ms=self.flows.clock.time_ms())
        return _Item(job, self._terms(job.payload))

    def _terms(self, payload: bytes) -> str:
        planned, job = self.step.terms, self.jobs.get(self.step.task)
        keyed = job is not None and (job.limit is not None or job.concurrency is not None)
        if job is None or not keyed or is_limited(planned):
            return planned
        arguments = to_json(envelopes.decode_job(payload).kwargs)
        bare, namespace = replace(job, unique=None), self.flows.namespace
        own = terms_of(bare, self.run.queue, arguments, namespace=namespace, priority=0)
        return f"{planned} {own}".strip()

    def _sealed(self, job: Outgoing) -> bytes:
        """Its payload with the headers of the senders; what they do not say is as the fan-out came with it."""
        payload = envelopes.with_headers(job.payload, renewed(self.run.headers, job.headers))
        most = self.flows.payload_limit
        if len(payload) > most:
            limit = f"has {len(payload)} bytes and the limit is {most}; pass on a reference instead"
            raise InvalidPayload(job.task, {f"item {job.id.rpartition('.')[2]}": limit})
        return payload
