"""The plan of a flow: what the scripts must know to start each stage of a pipeline, written down before the first one.

Scripts never read a payload, so the plan holds all that a later stage's job needs, except its input. The input is what
the stage before returned; it lies with the flow, and the job fetches it when it starts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from pydantic_core import to_json

from rota.model.flows.stages import Each, Pipeline
from rota.model.job import Job, home_of, queue_of, wire_options
from rota.model.options import EnqueueOptions
from rota.model.policies.terms import terms_of
from rota.seams import Outgoing
from rota.settings.settings import Settings
from rota.wire import envelopes
from rota.wire.envelopes import FAN_OUT, FROM_FLOW, LAST

T = TypeVar("T")

#: The most jobs that one call of a script puts, and the most bytes of them: a call stays near 10 ms of Redis' time.
PORTION, PORTION_BYTES = 250, 1_000_000

#: The fields of a plan, behind the stage's number, from which a stage's first job is made.
STAGE_FIELDS = ("kind", "queue", "task", "payload")

#: Names and values of a plan.
Fields = Iterator[tuple[str, Any]]


class Place(NamedTuple):
    """Where in a flow a job belongs, which its id says: `<flow>.<stage>.<item>`."""

    flow: str
    stage: int
    item: str

    @classmethod
    def of(cls, job_id: str) -> "Place | None":
        """Return the place that a job's id names, or None for the id of a job that is in no flow."""
        flow, _, rest = job_id.rpartition(".")
        flow, _, stage = flow.rpartition(".")
        return cls(flow, int(stage), rest) if flow and stage.isdigit() else None


class Recipe(NamedTuple):
    """From what a fan-out makes the payloads of its items."""

    task: str
    argument: str
    options: dict[str, Any]

    def payload(self, item: bytes, *, now_ms: int) -> bytes:
        """Return the payload of the job for one item, which is JSON."""
        arguments = b"{%b:%b}" % (to_json(self.argument), item)
        return envelopes.encode_job(self.task, arguments, enqueued_ms=now_ms, options=self.options)


def portion(jobs: Iterable[T], size_of: Callable[[T], int]) -> list[T]:
    """Return the first of `jobs`, as many as one call of a script puts: at least one, where there is one."""
    taken: list[T] = []
    size = 0
    for job in islice(jobs, PORTION):
        size += size_of(job)
        if size > PORTION_BYTES and taken:
            break
        taken.append(job)
    return taken


class Planner:
    """Writes the plans of flows that are begun at `now_ms` by the enqueuer's clock."""

    def __init__(self, settings: Settings, now_ms: int) -> None:
        self.now_ms = now_ms
        self._default_queue = settings.default_queue
        self._namespace = settings.namespace
        #: Whether the plan is signed: it then says more of what is to be trusted.
        self._seals = settings.seals

    def plan(self, pipeline: Pipeline[Any, Any], arguments: bytes) -> dict[str, Any]:
        """Return the fields of the plan of one run; `arguments` are JSON, as `Pipeline.bind` returns them."""
        fields = dict(self._stages(pipeline, ""))
        first, options = pipeline.stages[0], pipeline.enqueue_options
        if isinstance(first, Job):
            fields["0:payload"] = self.payload(first, arguments, **self._last(pipeline, 0))
            fields["0:terms"] = self.terms(first, arguments)
        if options.delay:
            fields["0:wait"] = round(options.delay * 1000)
        if options.at is not None:
            fields["0:at"] = round(options.at.timestamp() * 1000)
        return fields

    def payload(self, job: Job[Any, Any], arguments: bytes, **marks: bool) -> bytes:
        """Return the payload of a job; `marks` go beside the job's own options."""
        options = {**wire_options(job, self._default_queue), **marks}
        return envelopes.encode_job(job.name, arguments, enqueued_ms=self.now_ms, options=options)

    def terms(self, job: Job[Any, Any], arguments: bytes | None) -> str:
        """Return what the scripts must know of a job; `arguments` is None while they are not known yet."""
        limits = [limit for limit in (job.limit, job.concurrency) if limit is not None]
        if arguments is None and any(limit.key is not None for limit in limits):
            # The worker that claims the job will know the limit's key, and makes the job wait in that key's line.
            job = replace(job, limit=None, concurrency=None)
        return terms_of(
            replace(job, unique=None),
            self.queue_of(job),
            arguments or b"{}",
            namespace=self._namespace,
            priority=job.enqueue_options.priority,
            home=home_of(job, self._default_queue),
        )

    def queue_of(self, job: Job[Any, Any]) -> str:
        """Return the queue on which `job` is put."""
        return queue_of(job, self._default_queue)

    def _stages(self, pipeline: Pipeline[Any, Any], path: str) -> Fields:
        yield f"{path}n", len(pipeline.stages)
        for number, stage in enumerate(pipeline.stages):
            at, last = f"{path}{number}", self._last(pipeline, number)
            if isinstance(stage, Job):
                yield from self._job(stage, at, last)
            elif isinstance(stage.stage, Job):
                yield from self._each_job(stage.stage, stage, at, last)
            else:
                yield from self._each_pipeline(stage.stage, stage, at)

    def _last(self, pipeline: Pipeline[Any, Any], number: int) -> dict[str, bool]:
        """Return the mark of a stage's jobs in a signed plan: whether what they return is the pipeline's result."""
        return {LAST: True} if self._seals and number == len(pipeline.stages) - 1 else {}

    def _fan_out(self, at: str, recipe: Mapping[str, Any]) -> Fields:
        """Yield, for a signed plan, the payload of the job that fans out: it trusts nothing else of the plan."""
        if self._seals:
            yield f"{at}:fan_out", envelopes.encode_fan_out(recipe, enqueued_ms=self.now_ms)

    def _job(self, job: Job[Any, Any], at: str, last: Mapping[str, bool]) -> Fields:
        yield f"{at}:kind", "job"
        yield f"{at}:queue", self.queue_of(job)
        yield f"{at}:task", job.name
        yield f"{at}:payload", self.payload(job, b"{}", **{FROM_FLOW: True}, **last)
        yield f"{at}:terms", self.terms(job, None)
        yield from _when(job.enqueue_options, at, "wait")

    def _each_job(self, job: Job[Any, Any], stage: Each, at: str, last: Mapping[str, bool]) -> Fields:
        argument, terms = job.payload.positional[0], self.terms(job, None)
        options = {**wire_options(job, self._default_queue), **last}
        yield f"{at}:kind", "each"
        yield f"{at}:queue", self.queue_of(job)
        yield f"{at}:task", job.name
        yield f"{at}:on_failure", stage.on_failure
        yield f"{at}:argument", argument
        yield f"{at}:options", to_json(options)
        yield f"{at}:terms", terms
        recipe = {"task": job.name, "argument": argument, "options": options, "terms": terms}
        yield from self._fan_out(at, recipe)
        yield from _when(job.enqueue_options, at, "delay")

    def _each_pipeline(self, inner: Pipeline[Any, Any], stage: Each, at: str) -> Fields:
        yield f"{at}:kind", "nested"
        yield f"{at}:queue", self.queue_of(_first_job(inner))
        yield f"{at}:task", inner.name
        yield f"{at}:on_failure", stage.on_failure
        first = inner.stages[0]
        begin = first.name if isinstance(first, Job) else FAN_OUT
        yield from self._fan_out(at, {"task": inner.name, "first": begin})
        yield from self._stages(inner, f"{at}.")


def stage_job(flow_id: str, stage: int, fields: Mapping[str, Any], *, declared: bool = True) -> Outgoing:
    """Return the job that starts a stage, from the stage's STAGE_FIELDS: the stage's own, or the one that fans out."""
    if fields["kind"] == "job":
        task, job_id = fields["task"], f"{flow_id}.{stage}.0"
    else:
        task, job_id = FAN_OUT, f"{flow_id}.{stage}.each"
    return Outgoing(fields["queue"], task, job_id, fields["payload"], declared=declared)


def stages_of(pipeline: Pipeline[Any, Any]) -> list[tuple[str, bool]]:
    """Return each stage's name, and whether it is an `each`, to be shown."""
    return [
        (stage.name, False) if isinstance(stage, Job) else (stage.stage.name, True)
        for stage in pipeline.stages
    ]


def _when(options: EnqueueOptions, at: str, field: str) -> Fields:
    if options.delay:
        yield f"{at}:{field}", round(options.delay * 1000)
    if options.at is not None and field == "wait":
        yield f"{at}:at", round(options.at.timestamp() * 1000)


def _first_job(pipeline: Pipeline[Any, Any]) -> Job[Any, Any]:
    first = pipeline.stages[0]
    inner = first if isinstance(first, Job) else first.stage
    return inner if isinstance(inner, Job) else _first_job(inner)
