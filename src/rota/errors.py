"""Everything that rota raises: signals that a handler sends, and faults that say what to mend.

Each fault keeps what it is about as attributes, says it in one sentence, and survives a process boundary.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches

from rota.units import LONGEST

_SHOWN = 20
_SHORT = 60


class Signal(Exception):
    """What a handler or a middleware raises to choose the outcome of its attempt; not a fault."""


class Retry(Signal):
    """Raised by a handler: try this job again, and count the attempt.

    `delay` is seconds or a timedelta; without one the job's back-off decides. On the last attempt the job is dead.
    Raises ValueError for a delay that cannot be: an error of the handler like any other.
    """

    def __init__(self, delay: float | timedelta | None = None, reason: object = "") -> None:
        self.delay = None if delay is None else _seconds("Retry", delay)
        self.reason = str(reason)
        super().__init__(self.delay, self.reason)

    def __str__(self) -> str:
        when = "after its back-off" if self.delay is None else f"in {self.delay:g} s"
        return f"retry {when}" + (f": {self.reason}" if self.reason else "")


class Snooze(Signal):
    """Raised by a handler: run this job again after `delay` (seconds or a timedelta); the attempt is not spent.

    Nothing ends a job that always snoozes but its handler, which sees in `run.snoozes` how often it did.
    Raises ValueError for a delay that cannot be: an error of the handler like any other.
    """

    def __init__(self, delay: float | timedelta) -> None:
        self.delay = _seconds("Snooze", delay)
        super().__init__(self.delay)

    def __str__(self) -> str:
        return f"snooze for {self.delay:g} s"


class Cancel(Signal):
    """Raised by a handler: this job is not to be done. It is never retried and ends as cancelled.

    `reason` is text, or anything that can be made text: the exception that says why.
    """

    def __init__(self, reason: object = "") -> None:
        self.reason = str(reason)
        super().__init__(self.reason)

    def __str__(self) -> str:
        return self.reason or "cancelled by its handler"


def _seconds(signal: str, delay: object) -> float:
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds <= LONGEST:
        return float(seconds)
    raise ValueError(
        f"{signal} got the delay {_short(delay)}; it takes seconds from 0 to ten years, or a timedelta"
    )


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


class RotaError(Exception):
    """The root of rota's faults: catch it to catch all of them."""


class _Invalid(RotaError):
    what = ""

    def __init__(self, job: str, problems: Mapping[str, str]) -> None:
        super().__init__(job, dict(problems))
        self.job = job
        self.problems: dict[str, str] = dict(problems)

    def __str__(self) -> str:
        reasons = (f"{field}: {reason}" if field else reason for field, reason in self.problems.items())
        return f"{self.what} of job {self.job}: {'; '.join(reasons)}"


class InvalidPayload(_Invalid):
    """Raised by the client at enqueue, and by the worker for what arrived: mend the arguments.

    `problems` maps each argument to its reason; values never appear, since payloads hold secrets.
    """

    what = "wrong arguments"


class InvalidResult(_Invalid):
    """Raised by the worker when a handler's result does not fit its return annotation, or JSON."""

    what = "wrong result"


class UnreadablePayload(RotaError):
    """Raised by the codec for bytes that are not a job or a result; another serializer wrote them."""


class _TooLarge(RotaError):
    def __init__(self, job: str, size: int, limit: int) -> None:
        super().__init__(job, size, limit)
        self.job = job
        self.size = size
        self.limit = limit


class PayloadTooLarge(_TooLarge):
    """Raised by the client before anything is sent: store the data elsewhere and enqueue its id.

    `size` and `limit` are in bytes.
    """

    def __str__(self) -> str:
        return (
            f"the payload of job {self.job} has {self.size} bytes and PAYLOAD_LIMIT allows {self.limit}; "
            "store the data elsewhere and enqueue its id"
        )


class ResultTooLarge(_TooLarge):
    """What a job died of whose handler returned too much: store the data elsewhere and return its id.

    `size` and `limit` are in bytes.
    """

    def __str__(self) -> str:
        return (
            f"the result of job {self.job} has {self.size} bytes and RESULT_LIMIT allows {self.limit}; "
            "store the data elsewhere and return its id"
        )


class CheckpointTooLarge(PayloadTooLarge):
    """Raised by `run.checkpoint()`: store the data elsewhere and save a reference to it."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__("", size, limit)
        self.args = (size, limit)

    def __str__(self) -> str:
        return (
            f"the checkpoint has {self.size} bytes and the limit (PAYLOAD_LIMIT) is {self.limit}; "
            "store the data elsewhere and save where it is"
        )


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


class JobClash(RotaError):
    """Raised at boot when two handlers of one queue have one name: rename either, with `name=`."""

    def __init__(self, name: str, first: str, second: str) -> None:
        super().__init__(name, first, second)
        self.name = name
        self.first = first
        self.second = second

    def __str__(self) -> str:
        return f"two jobs are named {self.name}: {self.first} and {self.second}; rename one with name="


class LimitClash(RotaError):
    """Raised at boot when two jobs share a limit by its name, and give it different figures."""

    def __init__(self, name: str, first: str, second: str) -> None:
        super().__init__(name, first, second)
        self.name = name
        self.first = first
        self.second = second

    def __str__(self) -> str:
        return f"the limit {self.name!r} is not the same at {self.first} and {self.second}; give both the same figures"


class DiscoveryFailed(RotaError):
    """Raised at boot when a module of the jobs package cannot be imported or holds a wrong lifespan."""

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(module, reason)
        self.module = module
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot collect the jobs of {self.module}: {self.reason}"


class _OfJob(RotaError):
    def __init__(self, id: str) -> None:  # noqa: A002 (the field's word)
        super().__init__(id)
        self.id = id


class JobExists(_OfJob):
    """Raised by the client when the id, or the unique key, is taken: `id` is that of the job that has it."""

    def __str__(self) -> str:
        return f'there is a job with the id {self.id!r} already; use another, or on_taken="existing" to get that one'


class EnqueueIncomplete(RotaError):
    """Raised by `enqueue_many` when the server failed in the middle: `enqueued` are the ids that it had taken by then.

    Of those that were under way when it failed, some may have arrived too: enqueue the rest under ids of your own,
    with `on_taken="existing"`, and none is there twice. The server's fault is the `__cause__`.
    """

    def __init__(self, enqueued: Iterable[str], total: int, reason: str) -> None:
        self.enqueued = tuple(enqueued)
        self.total = total
        self.reason = reason
        super().__init__(self.enqueued, total, reason)

    def __str__(self) -> str:
        return f"{len(self.enqueued)} of {self.total} jobs were enqueued when this happened: {self.reason}"


class JobNotFound(_OfJob):
    """Raised by the client for an id that Redis does not hold: never enqueued, or its time is over."""

    def __str__(self) -> str:
        return f"there is no job with the id {self.id!r}; it was never enqueued or its result has expired"


class NotReplayed(_OfJob):
    """Raised by the client for a dead letter of a pipeline that cannot be taken up again, or not yet.

    `why` is "over", or "stopping" as long as other jobs of it are still being stopped.
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
    """Raised by `handle.result(timeout)` when the time is over; the job goes on. `timeout` in seconds."""

    def __init__(self, id: str, timeout: float) -> None:  # noqa: A002 (the field's word)
        super().__init__(f"job {id} has no result after {timeout:g} s; it may still come")
        self.id = id
        self.timeout = timeout

    def __reduce__(self) -> tuple[type["ResultTimeout"], tuple[str, float]]:
        return type(self), (self.id, self.timeout)


class JobFailed(RotaError):
    """Raised by `handle.result()` for a dead job; carries the last error as it was on the worker."""

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
    """A worker's exception as a reader of its result sees it: its words, never its class.

    What a stock client's `Job.result()` raises for a failed job; our handle raises `JobFailed`.
    """

    def __init__(self, type: str, message: str = "", traceback: str | None = None) -> None:  # noqa: A002 (wire word)
        super().__init__(type, message, traceback)
        self.type = type
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        return _described(self.type, self.message)


class RemoteError(JobError):
    """A handler's exception as its parent process sees it; `may_retry` is what the job's rules say of it."""

    def __init__(self, type: str, message: str, traceback: str | None, *, may_retry: bool = True) -> None:  # noqa: A002 (wire word)
        super().__init__(type, message, traceback)
        self.may_retry = may_retry


def _described(error_type: str, message: str) -> str:
    return f"{error_type}: {message}" if message else error_type


class JobTimeout(RotaError):
    """What ends an attempt that ran longer than its timeout of `seconds`; it retries like any error."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"the attempt ran longer than {self.seconds:g} s"


class JobLost(RotaError):
    """What a job died of that took its workers with it: `times` executions ended without a word."""

    def __init__(self, times: int) -> None:
        super().__init__(times)
        self.times = times

    def __str__(self) -> str:
        return f"{self.times} executions of it were lost with their worker; it may be what kills them"


class JobExpired(RotaError):
    """What a job died of whose payload had expired before a worker took it: a stock client sets a time."""

    def __str__(self) -> str:
        return "its payload had expired before a worker took it"


class ChildDied(RotaError):
    """What ends an attempt whose child process was killed or left; `status` is as `subprocess` gives it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        how = f"by signal {-self.status}" if self.status < 0 else f"with exit status {self.status}"
        return f"the process of this job ended {how}"
