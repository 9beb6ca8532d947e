"""What became of one attempt: a value, decided by a pure function.

`decide` is the whole of the retry semantics. It does no I/O and reads no clock; the worker settles what it says,
once. Why a run was interrupted is told by its `Cause`, never guessed from the type of an exception: a handler's own
`TimeoutError` is an ordinary error, and a `CancelledError` without a cause is one too.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from rota.errors import (
    Cancel,
    InvalidPayload,
    InvalidResult,
    JobTimeout,
    RemoteError,
    ResultTooLarge,
    Retry,
    Snooze,
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
    """How a job's attempts are judged; resolved from enqueue over job over queue over global settings."""

    max_attempts: int
    backoff: Backoff
    timeout: float
    keep_result: float
    retry_on: tuple[type[BaseException], ...] | None = None
    give_up_on: tuple[type[BaseException], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to.

    `delay` is in seconds until the next attempt (None: the job keeps its old place in the line); `error` is what
    ended the attempt; `reason` says why a job died, or was cancelled.
    """

    kind: OutcomeKind
    delay: float | None = None
    error: BaseException | None = None
    reason: str = ""


#: Errors that no further attempt can mend, with the reason they leave on the dead letter.
_HOPELESS: tuple[tuple[type[BaseException], str], ...] = (
    (InvalidPayload, "invalid"),
    (InvalidResult, "invalid_result"),
    (ResultTooLarge, "result_too_large"),
    (UnreadablePayload, "unreadable"),
)

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

    One that was told to stop is judged by why, even if its handler returned then: who returns early, as a thread does
    that looks at `run.cancelled`, has not done the work.
    """
    match cause:
        case Cause.SHUTDOWN:
            return Outcome(OutcomeKind.INTERRUPTED)
        case Cause.LEASE_LOST:
            return Outcome(OutcomeKind.LOST)
        case Cause.CANCEL:
            return Outcome(OutcomeKind.CANCELLED, error=error, reason="cancelled")
        case Cause.TIMEOUT:
            error = JobTimeout(rules.timeout)
    if error is None:
        return COMPLETED
    return _judge(rules, attempt, error, rand)


def _judge(rules: Rules, attempt: int, error: BaseException, rand: Callable[[], float]) -> Outcome:
    if isinstance(error, Cancel):
        return Outcome(OutcomeKind.CANCELLED, error=error, reason=error.reason)
    if isinstance(error, Snooze):
        return Outcome(OutcomeKind.SNOOZED, delay=error.delay)
    for kind, reason in _HOPELESS:
        if isinstance(error, kind):
            return Outcome(OutcomeKind.DEAD, error=error, reason=reason)
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
