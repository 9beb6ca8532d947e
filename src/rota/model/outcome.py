"""The outcome of one attempt: a value, decided by a pure function.

`decide` is the whole of the retry semantics, and `decide_unstarted` is for jobs whose handler could not start. Neither
does I/O or reads a clock; the worker settles the outcome once. The `Cause` says why an attempt was stopped. It is never
guessed from the type of an exception: a handler's own `TimeoutError` is an ordinary error, and so is a `CancelledError`
without a cause.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from rota.errors import (
    Cancel,
    InvalidPayload,
    InvalidResult,
    JobExpired,
    JobLost,
    JobTimeout,
    RefusedPayload,
    RemoteError,
    ResultTooLarge,
    Retry,
    Snooze,
    UnknownJob,
    UnreadablePayload,
)
from rota.model.policies.backoff import Backoff
from rota.model.state import OutcomeKind


class Cause(StrEnum):
    """Why a running attempt was told to stop; set before its task is cancelled."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease_lost"


@dataclass(frozen=True, slots=True)
class Rules:
    """How a job's attempts are judged. The enqueue's own rules win over the job's, the queue's and the general ones.

    `timeout` and `keep_result` are in seconds. `keep_log` says whether what the handler logs is kept with the job.
    """

    max_attempts: int
    backoff: Backoff
    timeout: float
    keep_result: float
    retry_on: tuple[type[BaseException], ...] | None = None
    give_up_on: tuple[type[BaseException], ...] = ()
    keep_log: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended.

    `delay` is in seconds until the next attempt; None keeps the job's old place in the queue. `error` is what ended the
    attempt. `reason` says why a job died, or was cancelled.
    """

    kind: OutcomeKind
    delay: float | None = None
    error: BaseException | None = None
    reason: str = ""


#: Errors that every further attempt would end with too, and the reason that the dead letter gives.
_HOPELESS: tuple[tuple[type[BaseException], str], ...] = (
    (InvalidPayload, "invalid"),
    (InvalidResult, "invalid_result"),
    (ResultTooLarge, "result_too_large"),
    (UnreadablePayload, "unreadable"),
)

#: Errors that keep a handler from starting, and the reason that the dead letter gives.
_UNSTARTED: dict[type[BaseException], str] = {
    JobExpired: "expired",
    JobLost: "lost",
    UnknownJob: "unknown",
    UnreadablePayload: "unreadable",
}

COMPLETED = Outcome(OutcomeKind.COMPLETED)


def decide(
    rules: Rules,
    attempt: int,
    error: BaseException | None,
    cause: Cause | None,
    *,
    rand: Callable[[], float] = random.random,
) -> Outcome:
    """Judge attempt number `attempt` (from 1), which raised `error`, or returned (None).

    An attempt that was told to stop is judged by its cause even if its handler then returned: a thread that looks at
    `run.cancelled` and returns early has not done the work.
    """
    if error is None and cause is None:
        return COMPLETED
    match cause:
        case Cause.SHUTDOWN:
            return Outcome(OutcomeKind.INTERRUPTED)
        case Cause.LEASE_LOST:
            return Outcome(OutcomeKind.LOST)
        case Cause.CANCEL:
            return Outcome(OutcomeKind.CANCELLED, error=error, reason="cancelled")
        case Cause.TIMEOUT:
            # Shown where the handler stood when it was stopped.
            where = None if error is None else error.__traceback__
            error = JobTimeout(rules.timeout).with_traceback(where)
    if error is None:
        return COMPLETED
    return _judge(rules, attempt, error, rand)


def decide_unstarted(
    error: JobExpired | JobLost | UnknownJob | UnreadablePayload, cause: Cause | None
) -> Outcome:
    """Judge an attempt whose handler could not start, because of `error`: the job is dead, unless it was cancelled."""
    if cause is Cause.CANCEL:
        return Outcome(OutcomeKind.CANCELLED, reason="cancelled")
    reason = error.reason if isinstance(error, RefusedPayload) else _UNSTARTED[type(error)]
    return Outcome(OutcomeKind.DEAD, error=error, reason=reason)


def _judge(rules: Rules, attempt: int, error: BaseException, rand: Callable[[], float]) -> Outcome:
    if isinstance(error, Cancel):
        return Outcome(OutcomeKind.CANCELLED, error=error, reason=error.reason)
    if isinstance(error, Snooze):
        return Outcome(OutcomeKind.SNOOZED, delay=error.delay)
    for kind, reason in _HOPELESS:
        if isinstance(error, kind):
            told = error.reason if isinstance(error, RefusedPayload) else reason
            return Outcome(OutcomeKind.DEAD, error=error, reason=told)
    spent = attempt >= rules.max_attempts
    if spent or not _may_retry(rules, error):
        reason = "timeout" if isinstance(error, JobTimeout) else "failed"
        return Outcome(OutcomeKind.DEAD, error=error, reason=reason)
    own = error.delay if isinstance(error, Retry) else None
    delay = rules.backoff.delay(attempt, rand) if own is None else own
    return Outcome(OutcomeKind.RETRIED, delay=delay, error=error)


def _may_retry(rules: Rules, error: BaseException) -> bool:
    if isinstance(error, Retry | JobTimeout):
        return True
    if isinstance(error, RemoteError):
        return error.may_retry
    if isinstance(error, rules.give_up_on):
        return False
    return rules.retry_on is None or isinstance(error, rules.retry_on)
