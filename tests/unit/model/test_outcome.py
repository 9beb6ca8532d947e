"""The whole table of `decide`: what ended an attempt, why it was told to stop, and which attempt it was.

And that of `decide_unstarted`: why its handler could not start.
"""

import asyncio
from dataclasses import replace

import pytest

from rota.errors import (
    Cancel,
    InvalidPayload,
    InvalidResult,
    JobExpired,
    JobLost,
    JobTimeout,
    RemoteError,
    Retry,
    Snooze,
    UnknownJob,
    UnreadablePayload,
)
from rota.model.outcome import Cause, Outcome, Rules, decide, decide_unstarted
from rota.model.policies.backoff import fixed, linear
from rota.model.state import OutcomeKind

RULES = Rules(max_attempts=3, backoff=fixed(7, jitter=0), timeout=5.0, keep_result=60.0)
COMPLETED, RETRIED, SNOOZED = OutcomeKind.COMPLETED, OutcomeKind.RETRIED, OutcomeKind.SNOOZED
DEAD, CANCELLED = OutcomeKind.DEAD, OutcomeKind.CANCELLED
INTERRUPTED, LOST = OutcomeKind.INTERRUPTED, OutcomeKind.LOST

Came = tuple[OutcomeKind, float | None, str]

#: By the error that ended an attempt which was not told to stop: the outcome on an early attempt, and on the last.
BY_ERROR: dict[str, tuple[BaseException | None, Came, Came]] = {
    "returned": (None, (COMPLETED, None, ""), (COMPLETED, None, "")),
    "any error": (ValueError("x"), (RETRIED, 7, ""), (DEAD, None, "failed")),
    "its own TimeoutError": (TimeoutError(), (RETRIED, 7, ""), (DEAD, None, "failed")),
    "a cancellation of its own": (asyncio.CancelledError(), (RETRIED, 7, ""), (DEAD, None, "failed")),
    "SystemExit": (SystemExit(1), (RETRIED, 7, ""), (DEAD, None, "failed")),
    "Retry": (Retry(), (RETRIED, 7, ""), (DEAD, None, "failed")),
    "Retry in 2 s": (Retry(2), (RETRIED, 2, ""), (DEAD, None, "failed")),
    "Retry at once": (Retry(0), (RETRIED, 0, ""), (DEAD, None, "failed")),
    "Snooze": (Snooze(30), (SNOOZED, 30, ""), (SNOOZED, 30, "")),
    "Cancel": (Cancel("gone"), (CANCELLED, None, "gone"), (CANCELLED, None, "gone")),
    "Cancel without a word": (Cancel(), (CANCELLED, None, ""), (CANCELLED, None, "")),
    "timeout": (JobTimeout(5), (RETRIED, 7, ""), (DEAD, None, "timeout")),
    "wrong payload": (InvalidPayload("j", {"a": "x"}), (DEAD, None, "invalid"), (DEAD, None, "invalid")),
    "wrong result": (
        InvalidResult("j", {"": "x"}),
        (DEAD, None, "invalid_result"),
        (DEAD, None, "invalid_result"),
    ),
    "unreadable": (UnreadablePayload("x"), (DEAD, None, "unreadable"), (DEAD, None, "unreadable")),
    "a child's error": (
        RemoteError("ValueError", "x", None, may_retry=True),
        (RETRIED, 7, ""),
        (DEAD, None, "failed"),
    ),
    "a child's error that may not retry": (
        RemoteError("ValueError", "x", None, may_retry=False),
        (DEAD, None, "failed"),
        (DEAD, None, "failed"),
    ),
}

#: Why an attempt was told to stop outweighs how it ended.
BY_CAUSE: dict[Cause, tuple[Came, Came]] = {
    Cause.SHUTDOWN: ((INTERRUPTED, None, ""), (INTERRUPTED, None, "")),
    Cause.LEASE_LOST: ((LOST, None, ""), (LOST, None, "")),
    Cause.CANCEL: ((CANCELLED, None, "cancelled"), (CANCELLED, None, "cancelled")),
    Cause.TIMEOUT: ((RETRIED, 7, ""), (DEAD, None, "timeout")),
}


def came(outcome: Outcome) -> Came:
    return outcome.kind, outcome.delay, outcome.reason


@pytest.mark.parametrize("name", BY_ERROR)
def test_an_attempt_is_judged_by_what_ended_it(name: str) -> None:
    error, early, last = BY_ERROR[name]
    for attempt in (1, 2):
        assert came(decide(RULES, attempt, error, None)) == early
    for attempt in (3, 4):
        assert came(decide(RULES, attempt, error, None)) == last


@pytest.mark.parametrize("name", BY_ERROR)
@pytest.mark.parametrize("cause", BY_CAUSE)
def test_one_that_was_told_to_stop_is_judged_by_why(cause: Cause, name: str) -> None:
    error = BY_ERROR[name][0]
    early, last = BY_CAUSE[cause]
    assert came(decide(RULES, 1, error, cause)) == early
    assert came(decide(RULES, 3, error, cause)) == last


def test_every_cause_has_its_row() -> None:
    assert set(BY_CAUSE) == set(Cause)


def test_the_error_of_a_timeout_says_how_long_was_allowed() -> None:
    for attempt in (1, 3):
        error = decide(RULES, attempt, asyncio.CancelledError(), Cause.TIMEOUT).error
        assert isinstance(error, JobTimeout)
        assert error.seconds == 5


def test_what_failed_is_kept_for_the_record() -> None:
    error = ValueError("x")
    assert decide(RULES, 1, error, None).error is error
    assert decide(RULES, 3, error, None).error is error
    assert decide(RULES, 1, None, None).error is None


def test_the_back_off_is_that_of_the_attempt_with_its_jitter() -> None:
    rules = replace(RULES, backoff=linear(10, step=5, jitter=0.5), max_attempts=9)
    waits = [decide(rules, attempt, ValueError(), None, rand=lambda: 0.5).delay for attempt in (1, 2, 3)]
    assert waits == [10, 15, 20]
    assert decide(rules, 1, ValueError(), None, rand=lambda: 0.0).delay == 5


# Which errors may retry


def test_only_named_errors_and_their_kinds_retry_where_some_are_named() -> None:
    rules = replace(RULES, retry_on=(LookupError, ConnectionError))
    assert decide(rules, 1, KeyError(), None).kind is RETRIED
    assert decide(rules, 1, ConnectionResetError(), None).kind is RETRIED
    assert came(decide(rules, 1, ValueError(), None)) == (DEAD, None, "failed")
    assert decide(replace(RULES, retry_on=()), 1, ValueError(), None).kind is DEAD


def test_errors_to_give_up_on_never_retry_and_beat_those_that_may() -> None:
    rules = replace(RULES, give_up_on=(KeyError,), retry_on=(LookupError,))
    assert decide(rules, 1, KeyError(), None).kind is DEAD
    assert decide(rules, 1, IndexError(), None).kind is RETRIED


@pytest.mark.parametrize("error", [Retry(1), JobTimeout(5)], ids=["Retry", "timeout"])
def test_a_retry_that_is_asked_for_and_a_timeout_retry_whatever_is_named(error: Exception) -> None:
    for rules in (replace(RULES, retry_on=()), replace(RULES, give_up_on=(Exception,))):
        assert decide(rules, 1, error, None).kind is RETRIED


def test_one_attempt_means_no_retry() -> None:
    rules = replace(RULES, max_attempts=1)
    assert decide(rules, 1, ValueError(), None).kind is DEAD
    assert decide(rules, 1, Retry(1), None).kind is DEAD
    assert decide(rules, 1, Snooze(1), None).kind is SNOOZED


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (JobExpired(), "expired"),
        (JobLost(3), "lost"),
        (UnknownJob("greet", ()), "unknown"),
        (UnreadablePayload("x"), "unreadable"),
    ],
    ids=["expired", "lost", "unknown", "unreadable"],
)
def test_a_job_whose_handler_could_not_start_is_dead_unless_it_was_cancelled(
    error: JobExpired | JobLost | UnknownJob | UnreadablePayload, reason: str
) -> None:
    assert decide_unstarted(error, None) == Outcome(DEAD, error=error, reason=reason)
    assert decide_unstarted(error, Cause.CANCEL) == Outcome(CANCELLED, reason="cancelled")
