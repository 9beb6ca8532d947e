"""The jobs that were enqueued, on a bench or with APP_ENV=test, with their arguments, and how a test asks for one."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rota.client.recording.recorded import RECORDED
from rota.errors import InvalidPayload, UnreadablePayload
from rota.model.job import Job
from rota.model.options import EnqueueOptions
from rota.model.trace import tenant_of
from rota.names import full_name, wire_id
from rota.wire import envelopes

AnyJob = Job[Any, Any]

#: Times are whole milliseconds on the wire.
_CLOSE = timedelta(milliseconds=1)
#: A message shows this many of what was enqueued.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A job as it was enqueued.

    `task` is the job's short name and `id` its id on the wire. `arguments` are those that were given, by name, as the
    handler gets them. `due` is when the job was to run, `at` when it was enqueued. `options` and `headers` are those of
    its payload.
    """

    queue: str
    task: str
    id: str
    arguments: dict[str, Any]
    due: datetime
    at: datetime
    options: Mapping[str, Any]
    headers: Mapping[str, str]

    @classmethod
    def read(
        cls, queue: str, job_id: str, payload: bytes, due_ms: float, jobs: Iterable[AnyJob]
    ) -> "Enqueued":
        """Read `payload`; the arguments are typed if `jobs` holds the job."""
        try:
            envelope = envelopes.decode_job(payload)
        except UnreadablePayload:
            return cls(queue, "", job_id, {}, _time(due_ms), _time(due_ms), {}, {})
        job = next((job for job in jobs if job.name == envelope.name), None)
        return cls(
            queue,
            envelope.name,
            job_id,
            _arguments(job, envelope),
            _time(due_ms),
            _time(envelope.enqueued_ms),
            envelope.options,
            envelope.headers,
        )

    def is_like(self, job: AnyJob, queue: str, arguments: Mapping[str, Any]) -> bool:
        """Tell whether this is `job` of `queue`, with its options, and has `arguments` among its own."""
        if (self.queue, self.task) != (queue, job.name):
            return False
        own = {**_defaults(job), **self.arguments}
        return all(name in own and own[name] == value for name, value in arguments.items()) and self._has(
            job.enqueue_options
        )

    def _has(self, options: EnqueueOptions) -> bool:
        if options.id is not None and self.id != wire_id(self.queue, options.id):
            return False
        if options.delay is not None and abs(self.due - self.at - timedelta(seconds=options.delay)) > _CLOSE:
            return False
        if options.at is not None and abs(self.due - options.at) > _CLOSE:
            return False
        if options.tenant is not None and tenant_of(self.headers) != options.tenant:
            return False
        return all(self.options.get(name) == value for name, value in options.wire().items())

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        wait = (self.due - self.at).total_seconds()
        later = f" in {wait:g} s" if wait > _CLOSE.total_seconds() else ""
        options = f" with {dict(self.options)!r}" if self.options else ""
        return f"{full_name(self.queue, self.task)}({given}){later}{options}, id {self.id}"


def recorded(job: Job[Any, Any] | None = None) -> list[Enqueued]:
    """Return what was enqueued in this process since the last `clear`, in order; with `job`, only calls of that one.

        client.enqueue(send_email.options(delay=60), to="ann@example.com")
        (sent,) = recorded(send_email)
        assert sent.arguments["to"] == "ann@example.com"

    Of a batch these are its jobs, of a pipeline its first one; where that is an `each`, it has the list as `items`.
    Arguments are typed as the handler gets them; those of
    a batch, a pipeline or a transaction only where `job` is given, and else they are JSON values.
    """
    return [
        Enqueued.read(one.queue, one.id, one.payload, one.due_ms, filter(None, (job, one.job)))
        for one in list(RECORDED)
        if job is None or one.task == job.name
    ]


def clear() -> None:
    """Forget what was recorded: a test begins with an empty list."""
    RECORDED.clear()


def check_arguments(job: AnyJob, arguments: Mapping[str, Any]) -> None:
    """Raise TypeError for an argument that `job` does not take: a test that asks for it can only be wrong."""
    for name in arguments:
        if name not in job.payload.names:
            takes = ", ".join(job.payload.names) or "none"
            raise TypeError(f"job {job.name} takes no argument {name!r}; it takes: {takes}")


def complaint(job: AnyJob, queue: str, arguments: Mapping[str, Any], enqueued: Sequence[Enqueued]) -> str:
    """Return the complaint of an assertion: `job` is not among `enqueued`."""
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    options = job.enqueue_options
    asked = {name: value for name, value in _shown(options).items() if value is not None}
    wanted = f"{full_name(queue, job.name)}({given})" + (f" with {asked!r}" if asked else "")
    if not enqueued:
        return f"{wanted} was not enqueued; nothing was"
    lines = [f"  {one}" for one in enqueued[-_SHOWN:]]
    if len(enqueued) > _SHOWN:
        lines.insert(0, f"  … {len(enqueued) - _SHOWN} before these")
    return "\n".join([f"{wanted} was not enqueued; enqueued were:", *lines])


def _shown(options: EnqueueOptions) -> dict[str, Any]:
    named = {name: getattr(options, name) for name in ("id", "delay", "at", "tenant")}
    return {**named, **options.wire()}


def _arguments(job: AnyJob | None, envelope: envelopes.Envelope) -> dict[str, Any]:
    if job is None:
        return envelope.kwargs
    try:
        return job.payload.parse(envelope.args, envelope.kwargs)
    except InvalidPayload:
        return envelope.kwargs


def _defaults(job: AnyJob) -> dict[str, Any]:
    parameters = inspect.signature(job.handler).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}


def _time(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
