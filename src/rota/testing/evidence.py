"""The records that a test looks at afterwards, without awaiting: results, errors, dead letters, events, enqueues."""

from typing import Any, TypeVar

from pydantic_core import from_json

from rota.errors import JobError, RefusedPayload
from rota.model.event import Event, EventType
from rota.model.info import JobInfo
from rota.model.job import Job, queue_of
from rota.model.registry import Registry
from rota.testing.enqueued import Enqueued, check_arguments, complaint
from rota.testing.journal import Journal, Put
from rota.testing.letters import dead_letters
from rota.wire import results
from rota.wire.claims import decode_id
from rota.wire.keys import JOB, QueueKeys, queue_key
from rota.wire.sealing.sealed import unseal_job
from rota.wire.sealing.seals import Sealer

R = TypeVar("R")

_FAILURES = (EventType.RETRIED, EventType.DEAD)


class Evidence:
    """The records of one server. `redis` is a blocking client on it; `sealer` opens payloads that are sealed."""

    def __init__(
        self,
        registry: Registry,
        queues: tuple[str, ...],
        redis: Any,
        journal: Journal,
        *,
        sealer: Sealer | None = None,
    ) -> None:
        self.registry = registry
        self.queues = queues
        self._looking = redis
        self._journal = journal
        self._sealer = sealer

    @property
    def events(self) -> list[Event]:
        """Every event so far, in order, and the progress of handlers that `run` ran alone."""
        return self._journal.events

    def results(self, job: Job[..., R]) -> list[R]:
        """Return the results of the completed attempts of `job`, in order, typed as its annotation says."""
        return [
            job.result.parse(from_json(event.detail))
            for event in self._of(job)
            if event.type is EventType.COMPLETED
        ]

    def errors(self, job: Job[..., Any]) -> list[JobError]:
        """Return the errors of the failed attempts of `job`, in order, also of those that were tried again.

        An error is as a reader of Redis sees it: `type` is the name of its class, `message` its text.
        """
        return [results.error_of(event.detail) for event in self._of(job) if event.type in _FAILURES]

    def checkpoints(self, job: Job[..., Any]) -> list[Any]:
        """Return every state that `job` saved with `run.checkpoint`, in order, as the JSON value that it became."""
        return self._journal.saved(queue_of(job, self.registry.default_queue), job.name)

    @property
    def dead(self) -> list[JobInfo]:
        """The dead letters that exist now, oldest first."""
        keys = {queue: QueueKeys.of(queue_key(queue)).dead for queue in self._seen_queues()}
        return dead_letters(self._looking, keys, self._sealer)

    def enqueued(self, job: Job[..., Any] | None = None) -> list[Enqueued]:
        """Return every job that was enqueued, run or not, in order; with `job`, only its own."""
        found = [self._read(put, job) for put in (*self._journal.puts, *self._unannounced())]
        if job is None:
            return found
        queue = queue_of(job, self.registry.default_queue)
        return [one for one in found if (one.queue, one.task) == (queue, job.name)]

    def assert_enqueued(self, job: Job[..., Any], /, **arguments: Any) -> Enqueued:
        """Return the first enqueued `job` with `arguments` among its own, and with the options of `job` if it has some.

        `bench.assert_enqueued(remind.options(delay=60), user_id="u1")`. Raises AssertionError if there is none, with
        what was enqueued instead, and TypeError for an argument that the job does not take.
        """
        check_arguments(job, arguments)
        queue = queue_of(job, self.registry.default_queue)
        for one in self.enqueued(job):
            if one.is_like(job, queue, arguments):
                return one
        raise AssertionError(complaint(job, queue, arguments, self.enqueued()))

    def _of(self, job: Job[..., Any]) -> list[Event]:
        queue = queue_of(job, self.registry.default_queue)
        return [event for event in self.events if (event.queue, event.task) == (queue, job.name)]

    def _seen_queues(self) -> list[str]:
        return sorted({*self.queues, *(event.queue for event in self.events)})

    def _read(self, put: Put, job: Job[..., Any] | None) -> Enqueued:
        named = [known for known in self.registry.jobs if self.registry.queue_of(known) == put.queue]
        payload = self._opened(put)
        return Enqueued.read(put.queue, put.id, payload, put.due_ms, [*named, *([job] if job else [])])

    def _opened(self, put: Put) -> bytes:
        try:
            return unseal_job(self._sealer, put.payload, queue=put.queue, job_id=put.id)
        except RefusedPayload:
            return b""  # of which nothing can be said

    def _unannounced(self) -> list[Put]:
        """Return what stock clients have enqueued and no worker has started: no event tells of these jobs yet."""
        announced = {put.id for put in self._journal.puts}
        found = []
        for queue in self.queues:
            for member, score in self._looking.zrange(queue_key(queue), 0, -1, withscores=True):
                payload = self._looking.get(JOB.encode() + member)
                if payload is not None and decode_id(member) not in announced:
                    found.append(Put(queue, decode_id(member), payload, score))
        return found
