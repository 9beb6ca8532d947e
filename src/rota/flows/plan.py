"""The plan of a flow: what the scripts must know to start each stage of a pipeline, written down before the first one.

Scripts never read a payload. So all that a later stage's job needs stands here, but for its input: that lies with the
flow, where the job fetches it when it starts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from pydantic_core import to_json

from rota.model.flows.stages import Each, Pipeline
from rota.model.job import Job
from rota.model.options import EnqueueOptions
from rota.model.policies.terms import terms_of
from rota.seams import Outgoing
from rota.wire import envelopes
from rota.wire.envelopes import FAN_OUT, FROM_FLOW

T = TypeVar("T")

#: Jobs that one script puts at most, and bytes of them.
PORTION, PORTION_BYTES = 250, 1_000_000


class Member(NamedTuple):
    """Where a job of a flow belongs, read from its id: `<flow>.<stage>.<item>`."""

    flow: str
    stage: int
    item: str

    @classmethod
    def of(cls, job_id: str) -> "Member | None":
        """The place of a job, or None for an id that is not of a flow."""
        flow, _, rest = job_id.rpartition(".")
        flow, _, stage = flow.rpartition(".")
        return cls(flow, int(stage), rest) if flow and stage.isdigit() else None


class Recipe(NamedTuple):
    """How a fan-out makes its items' payloads."""

    task: str
    argument: str
    options: dict[str, Any]

    def payload(self, item: bytes, *, now_ms: int) -> bytes:
        """The payload of the job for one item."""
        arguments = b"{%b:%b}" % (to_json(self.argument), item)
        return envelopes.encode_job(self.task, arguments, enqueued_ms=now_ms, options=self.options)


Fields = Iterator[tuple[str, Any]]


def portion(members: Iterable[T], size_of: Callable[[T], int]) -> list[T]:
    """The first of `members`, as many as one script puts: it keeps a script near 10 ms of Redis' time."""
    taken: list[T] = []
    size = 0
    for member in islice(members, PORTION):
        size += size_of(member)
        if size > PORTION_BYTES and taken:
            break
        taken.append(member)
    return taken


class Planner:
    """Writes plans, for jobs that name no queue with `default_queue`; `now_ms` is the enqueuer's clock."""

    def __init__(self, default_queue: str, namespace: str, now_ms: int) -> None:
        self._default_queue = default_queue
        self._namespace = namespace
        self.now_ms = now_ms

    def plan(self, pipeline: Pipeline[Any, Any], arguments: bytes) -> dict[str, Any]:
        """The fields of the plan of one run; `arguments` as `Pipeline.bind` made them."""
        fields = dict(self._stages(pipeline, ""))
        first, options = pipeline.stages[0], pipeline.enqueue_options
        if isinstance(first, Job):
            fields["0:payload"] = self.payload(first, arguments)
            fields["0:terms"] = self.terms(first, arguments)
        if options.delay:
            fields["0:wait"] = round(options.delay * 1000)
        if options.at is not None:
            fields["0:at"] = round(options.at.timestamp() * 1000)
        return fields

    def payload(self, job: Job[Any, Any], arguments: bytes, **marks: bool) -> bytes:
        """An envelope with the job's own options; `marks` go beside them."""
        options = {**job.enqueue_options.wire(), **marks}
        return envelopes.encode_job(job.name, arguments, enqueued_ms=self.now_ms, options=options)

    def terms(self, job: Job[Any, Any], arguments: bytes | None) -> str:
        """What the scripts must know of a job; `arguments` are None where they are not known yet."""
        limits = [limit for limit in (job.limit, job.concurrency) if limit is not None]
        if arguments is None and any(limit.key is not None for limit in limits):
            # The worker that claims it knows what the limit is counted by, and lets it wait in line.
            job = replace(job, limit=None, concurrency=None)
        return terms_of(
            replace(job, unique=None),
            self.queue_of(job),
            arguments or b"{}",
            namespace=self._namespace,
            priority=job.enqueue_options.priority,
        )

    def queue_of(self, job: Job[Any, Any]) -> str:
        """The queue that `job` belongs to."""
        return job.queue or self._default_queue

    def _stages(self, pipeline: Pipeline[Any, Any], path: str) -> Fields:
        yield f"{path}n", len(pipeline.stages)
        for number, stage in enumerate(pipeline.stages):
            at = f"{path}{number}"
            if isinstance(stage, Job):
                yield from self._job(stage, at)
            elif isinstance(stage.stage, Job):
                yield from self._fan_out(stage.stage, stage, at)
            else:
                yield f"{at}:kind", "nested"
                yield f"{at}:queue", self.queue_of(_first_job(stage.stage))
                yield f"{at}:task", stage.stage.name
                yield f"{at}:on_failure", stage.on_failure
                yield from self._stages(stage.stage, f"{at}.")

    def _job(self, job: Job[Any, Any], at: str) -> Fields:
        yield f"{at}:kind", "job"
        yield f"{at}:queue", self.queue_of(job)
        yield f"{at}:task", job.name
        yield f"{at}:payload", self.payload(job, b"{}", **{FROM_FLOW: True})
        yield f"{at}:terms", self.terms(job, None)
        yield from _when(job.enqueue_options, at, "wait")

    def _fan_out(self, job: Job[Any, Any], stage: Each, at: str) -> Fields:
        yield f"{at}:kind", "each"
        yield f"{at}:queue", self.queue_of(job)
        yield f"{at}:task", job.name
        yield f"{at}:on_failure", stage.on_failure
        yield f"{at}:argument", job.payload.positional[0]
        yield f"{at}:options", to_json(job.enqueue_options.wire())
        yield f"{at}:terms", self.terms(job, None)
        yield from _when(job.enqueue_options, at, "delay")


def headers_field(headers: Mapping[str, str]) -> dict[str, Any]:
    """The field of a plan that gives `headers` to whatever the flow puts."""
    return {"headers": envelopes.encode_headers(headers)} if headers else {}


def stage_job(flow_id: str, stage: int, step: Mapping[str, Any], *, declared: bool = True) -> Outgoing:
    """The job that the scripts put to start a stage; `step` has its fields of the plan."""
    if step["kind"] == "job":
        task, job_id = step["task"], f"{flow_id}.{stage}.0"
    else:
        task, job_id = FAN_OUT, f"{flow_id}.{stage}.each"
    return Outgoing(step["queue"], task, job_id, step["payload"], declared=declared)


def stages_of(pipeline: Pipeline[Any, Any]) -> list[tuple[str, bool]]:
    """Each stage's name and whether it is a fan-out, to show."""
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
