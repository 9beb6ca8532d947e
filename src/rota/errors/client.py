"""What an application meets that enqueues jobs, looks at them and waits for their results."""

from collections.abc import Iterable
from difflib import get_close_matches

from rota.errors.root import RotaError

_SHOWN = 20


class _Unknown(RotaError):
    kind = ""

    def __init__(self, name: str, choices: Iterable[str] = ()) -> None:
        self.name = name
        self.choices = tuple(sorted(choices))
        super().__init__(name, self.choices)

    def __str__(self) -> str:
        return f"there is no {self.kind} {self.name!r}; {self._advice()}"

    def _advice(self) -> str:
        if not self.choices:
            return f"no {self.kind}s are known here"
        close = get_close_matches(self.name, self.choices, n=3)
        if close:
            return f"did you mean {' or '.join(close)}?"
        more = ", …" if len(self.choices) > _SHOWN else ""
        return f"choose one of: {', '.join(self.choices[:_SHOWN])}{more}"


class UnknownJob(_Unknown):
    """Raised for a job's name that the jobs package does not hold, or that several queues share."""

    kind = "job"

    def __str__(self) -> str:
        shared = [choice for choice in self.choices if choice.partition(":")[2] == self.name]
        if len(shared) > 1:
            return f"job {self.name!r} is on several queues; use one of: {', '.join(shared)}"
        return super().__str__()

    def _advice(self) -> str:
        short = {choice.partition(":")[2] or choice: choice for choice in self.choices}
        close = get_close_matches(self.name.partition(":")[2] or self.name, short, n=3)
        if close:
            return f"did you mean {' or '.join(short[name] for name in close)}?"
        return super()._advice()


class UnknownQueue(_Unknown):
    """Raised for a queue's name that no job declares and no setting names."""

    kind = "queue"


class UnknownSchedule(_Unknown):
    """Raised for a schedule that Redis does not know: its workers declare it when they start."""

    kind = "schedule"


class EnqueueIncomplete(RotaError):
    """Raised by `enqueue_many` when the server failed part of the way through; the server's error is the `__cause__`.

    `enqueued` are the ids of the jobs that the server had acknowledged. Of those that were on their way, some may have
    arrived too. To enqueue the rest without duplicates, give ids of your own and `on_taken="existing"`.
    """

    def __init__(self, enqueued: Iterable[str], total: int, reason: str) -> None:
        self.enqueued = tuple(enqueued)
        self.total = total
        self.reason = reason
        super().__init__(self.enqueued, total, reason)

    def __str__(self) -> str:
        return f"{len(self.enqueued)} of {self.total} jobs were enqueued when this happened: {self.reason}"


class _OfJob(RotaError):
    def __init__(self, id: str) -> None:  # noqa: A002 (the field's word)
        super().__init__(id)
        self.id = id


class JobExists(_OfJob):
    """Raised by the client when the id, or the unique key, is taken; `id` is the id of the job that has it.

    `letter` is the dead letter that was to be brought back, where it is its key that the other job has; else "".
    """

    def __init__(self, id: str, letter: str = "") -> None:  # noqa: A002 (the field's word)
        super().__init__(id)
        self.args = (id, letter)
        self.letter = letter

    def __str__(self) -> str:
        if self.letter:
            return f"job {self.id!r} has the unique key of {self.letter!r}; retry that one when it is over"
        return f'there is a job with the id {self.id!r} already; use another, or on_taken="existing" to get that one'


class IdempotencyMismatch(RotaError):
    """Raised where a request comes with the key of an earlier one that asked for something else."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"the key {self.key[:60]!r} was used for another job, payload or options within a day; take a new one"


class JobNotFound(_OfJob):
    """Raised by the client for an id that Redis does not hold: it was never enqueued, or its result has expired."""

    def __str__(self) -> str:
        return f"there is no job with the id {self.id!r}; it was never enqueued or its result has expired"


class NoDeadLetter(JobNotFound):
    """Raised by the client for a job that has no dead letter: it is in another `state`, or its letter is gone."""

    def __init__(self, id: str, state: str) -> None:  # noqa: A002 (the field's word)
        super().__init__(id)
        self.args = (id, state)
        self.state = state

    def __str__(self) -> str:
        if self.state == "dead":
            return f"job {self.id!r} is dead, and no dead letter of it is kept: enqueue it again"
        return f"job {self.id!r} is {self.state}; only dead letters can be brought back or deleted"


class NotReplayed(_OfJob):
    """Raised by the client for a dead letter that cannot be brought back, or not yet.

    `why` is "empty" for one that died because its payload had expired; "over" for one of a pipeline that is over, or
    "stopping" while other jobs of the pipeline are still being stopped. Where its arguments were to be changed, it is
    "input" for a stage of a pipeline, and "changed" where others change it at the same time.
    """

    def __init__(self, id: str, why: str = "over") -> None:  # noqa: A002 (the field's word)
        super().__init__(id)
        self.args = (id, why)
        self.why = why

    def __str__(self) -> str:
        if self.why == "stopping":
            return (
                f"other jobs of the pipeline of job {self.id} are still being stopped; try again in a moment"
            )
        if self.why == "empty":
            return (
                f"job {self.id} has no payload any more, which had expired before it died: enqueue it again"
            )
        if self.why == "input":
            return (
                f"job {self.id} gets its arguments from its pipeline, so they cannot be changed: retry it as it is, or "
                "enqueue the pipeline again"
            )
        if self.why == "changed":
            return f"job {self.id} was changed at the same time; look at it, and try again"
        return f"job {self.id} is a stage of a pipeline that is over; its input is gone: enqueue the pipeline again"


class JobCancelled(_OfJob):
    """Raised by `handle.result()` for a job that was cancelled, by a person or by its handler."""

    def __init__(self, id: str, reason: str = "") -> None:  # noqa: A002 (the field's word)
        super().__init__(id)
        self.args = (id, reason)
        self.reason = reason

    def __str__(self) -> str:
        if self.reason.startswith("cancelled"):
            return f"job {self.id} was {self.reason}"
        return f"job {self.id} was cancelled" + (f": {self.reason}" if self.reason else "")


class ResultTimeout(RotaError, TimeoutError):
    """Raised by `handle.result(timeout)` when the time is over; the job goes on. `timeout` is in seconds."""

    def __init__(self, id: str, timeout: float) -> None:  # noqa: A002 (the field's word)
        super().__init__(f"job {id} has no result after {timeout:g} s; it may still come")
        self.id = id
        self.timeout = timeout

    def __reduce__(self) -> tuple[type["ResultTimeout"], tuple[str, float]]:
        return type(self), (self.id, self.timeout)


class JobFailed(RotaError):
    """Raised by `handle.result()` for a dead job, with the last error as the worker recorded it."""

    def __init__(
        self,
        error_type: str,
        message: str,
        id: str | None = None,  # noqa: A002 (the field's word)
        traceback: str | None = None,
    ) -> None:
        super().__init__(error_type, message, id, traceback)
        self.error_type = error_type
        self.message = message
        self.id = id
        self.traceback = traceback

    def __str__(self) -> str:
        job = f"job {self.id}" if self.id else "the job"
        return f"{job} failed with {_described(self.error_type, self.message)}"


class JobError(Exception):
    """A worker's exception as it was recorded: the name of its type and its message, never its class.

    A stock client's `Job.result()` raises it for a failed job; `handle.result()` raises `JobFailed`. `cause` is the
    same for failures of one cause, whatever numbers and ids their messages name; empty where none was recorded.
    """

    def __init__(
        self,
        type: str,  # noqa: A002 (wire word)
        message: str = "",
        traceback: str | None = None,
        *,
        cause: str = "",
    ) -> None:
        super().__init__(type, message, traceback)
        self.type = type
        self.message = message
        self.traceback = traceback
        self.cause = cause

    def __str__(self) -> str:
        return _described(self.type, self.message)


def _described(error_type: str, message: str) -> str:
    return f"{error_type}: {message}" if message else error_type


class OutboxUnusable(RotaError):
    """Raised where the transaction that was given cannot be used for an outbox: roll it back."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)

    def __str__(self) -> str:
        return str(self.args[0])


class NoDatabase(RotaError):
    """Raised where the audit table is asked for, and no database holds it: set DATABASE_URL."""

    def __str__(self) -> str:
        return "DATABASE_URL is not set, so nothing keeps the jobs that are over; set it (docs/audit.md)"


class OnlyRecorded(RotaError):
    """Raised where Redis would be asked in a test environment, in which clients record jobs and connect to nothing."""

    def __str__(self) -> str:
        return (
            "APP_ENV is test: what this client enqueues is recorded, nothing runs it, and there is no Redis to ask; "
            "look at it with rota.testing.recorded(), run jobs on the bench of rota.testing, "
            "or set MODE=worker to work with Redis"
        )


class NotRunning(RotaError):
    """Raised where the stack is wanted of a job that no worker of rota's runs at the moment."""

    def __init__(self, job_id: str, why: str) -> None:
        self.job_id = job_id
        self.why = why
        super().__init__(job_id, why)

    def __str__(self) -> str:
        return f"job {self.job_id!r} {self.why}; only a job that runs has a stack"


class WorkerSilent(RotaError):
    """Raised where the worker that runs a job does not answer when it is asked for the job's stack."""

    def __init__(self, job_id: str, worker: str, seconds: float) -> None:
        self.job_id = job_id
        self.worker = worker
        self.seconds = seconds
        super().__init__(job_id, worker, seconds)

    def __str__(self) -> str:
        return (
            f"the worker {self.worker}, which runs job {self.job_id!r}, did not answer within {self.seconds:g} s: "
            "its code holds the interpreter's lock, or the process stands still or is of an older version; try again, "
            "or look at the process itself"
        )
