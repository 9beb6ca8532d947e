import math
import pickle
from datetime import timedelta
from inspect import getmembers, isclass
from typing import Any

import pytest

from rota import errors
from rota.errors import (
    Cancel,
    CheckpointTooLarge,
    ChildDied,
    DeliveryFailed,
    DiscoveryFailed,
    EnqueueIncomplete,
    FetchFailed,
    FetchRefused,
    IdempotencyMismatch,
    InvalidFilter,
    InvalidPayload,
    InvalidResult,
    JobCancelled,
    JobClash,
    JobError,
    JobExists,
    JobExpired,
    JobFailed,
    JobLost,
    JobNotFound,
    JobsGone,
    JobTimeout,
    LifespanFailed,
    LimitClash,
    MoreThanExpected,
    NoDatabase,
    NoDeadLetter,
    NotReplayed,
    NotRunning,
    OnlyRecorded,
    OutboxUnusable,
    PayloadTooLarge,
    RefusedPayload,
    RemoteError,
    ResultTimeout,
    ResultTooLarge,
    Retry,
    RotaError,
    ScheduleClash,
    Signal,
    Snooze,
    TooManyOperations,
    Uncounted,
    UnknownJob,
    UnknownOperation,
    UnknownQueue,
    UnknownSchedule,
    UnknownWebhook,
    UnreadablePayload,
    WebhookRefused,
    WorkerSilent,
)
from rota.wire.results import encode_error, error_of

ONE_OF_EACH: list[Exception] = [
    Retry(2.5, "rate limited"),
    Snooze(60),
    Cancel("user is gone"),
    InvalidPayload("video:paint", {"scene": "is required"}),
    InvalidFilter({"state": "retry is done to jobs that are dead"}),
    MoreThanExpected(410, 409),
    Uncounted(20.0),
    TooManyOperations(100),
    UnknownOperation("0123"),
    InvalidResult("video:paint", {"": "Input should be a valid string"}),
    UnreadablePayload("5 bytes that are not JSON"),
    PayloadTooLarge("video:paint", 300_000, 262_144),
    RefusedPayload("unknown_key", "new"),
    CheckpointTooLarge(300_000, 262_144),
    ResultTooLarge("video:paint", 2_000_000, 1_048_576),
    DeliveryFailed("wh_1", "the receiver answers 500"),
    UnknownWebhook("wh_1"),
    UnknownWebhook("wh_1", "msg_1"),
    WebhookRefused("the description is longer than 200 characters"),
    FetchRefused("the port 22 is none of the web"),
    FetchFailed("there was no answer within 10 s"),
    EnqueueIncomplete(["video:1"], 2, "the server is gone"),
    UnknownJob("pain", ["video:paint"]),
    UnknownQueue("vido", ["video"]),
    UnknownSchedule("nightli", ["nightly"]),
    JobClash("video:paint", "a.py:1", "b.py:2"),
    ScheduleClash("video:paint", "a.py:1", "b.py:2"),
    LimitClash("painter", "a.py:1", "b.py:2"),
    DiscoveryFailed("jobs.email", "no module named x"),
    LifespanFailed("start", "OSError: no database"),
    JobExists("video:7"),
    IdempotencyMismatch("3f2c"),
    JobNotFound("video:7"),
    NoDatabase(),
    NoDeadLetter("j1", "waiting"),
    NotReplayed("j1", "stopping"),
    NotRunning("j1", "is delayed"),
    OnlyRecorded(),
    WorkerSilent("j1", "host-1-abc", 5.0),
    JobCancelled("video:7", "by hand"),
    ResultTimeout("video:7", 1.5),
    JobFailed("ValueError", "boom", "video:7", "Traceback…"),
    JobError("ValueError", "boom", "Traceback…"),
    RemoteError("ValueError", "boom", None, may_retry=False),
    JobTimeout(300),
    JobLost(4),
    JobExpired(),
    JobsGone(),
    OutboxUnusable("no session"),
    ChildDied(-9),
]


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_an_error_keeps_its_words_and_fields_across_a_process_boundary(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_public_error_is_covered_by_the_list_above() -> None:
    public = {kind for name, kind in getmembers(errors, isclass) if kind.__module__ == errors.__name__}
    public = {kind for kind in public if not kind.__name__.startswith("_")}
    assert public - {type(error) for error in ONE_OF_EACH} == {Signal, RotaError}


def test_every_public_error_says_what_it_means() -> None:
    for error in ONE_OF_EACH:
        assert (type(error).__doc__ or "").strip()


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_an_error_is_recorded_under_the_name_of_the_package(error: Exception) -> None:
    if not isinstance(error, JobError | Cancel):  # these are recorded as what they stand for
        assert error_of(encode_error(error)).type == f"rota.errors.{type(error).__name__}"
    assert getattr(errors, type(error).__name__) is type(error)


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_signals_are_not_faults_and_faults_share_one_root(error: Exception) -> None:
    if isinstance(error, Signal):
        assert not isinstance(error, RotaError)
    elif not isinstance(error, JobError):
        assert isinstance(error, RotaError)


def test_a_retry_without_a_delay_leaves_it_to_the_backoff() -> None:
    assert Retry().delay is None
    assert str(Retry()) == "retry after its back-off"
    assert str(Retry(2.5, "busy")) == "retry in 2.5 s: busy"


def test_wrong_arguments_name_the_job_and_each_field() -> None:
    error = InvalidPayload("video:paint", {"scene": "is required", "": "and 3 more"})
    assert str(error) == "wrong arguments of job video:paint: scene: is required; and 3 more"
    assert error.problems["scene"] == "is required"


def test_an_unknown_job_suggests_the_nearest() -> None:
    choices = ["video:write_script", "email:send"]
    assert str(UnknownJob("write_scrip", choices)) == (
        "there is no job 'write_scrip'; did you mean video:write_script?"
    )
    assert "did you mean video:write_script?" in str(UnknownJob("vidoe:write_script", choices))


def test_an_unknown_job_far_from_any_lists_the_choices() -> None:
    assert str(UnknownJob("zzz", ["b:y", "a:x"])) == "there is no job 'zzz'; choose one of: a:x, b:y"
    assert str(UnknownQueue("zzz")) == "there is no queue 'zzz'; no queues are known here"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            NoDeadLetter("a", "waiting"),
            "job 'a' is waiting; only dead letters can be brought back or deleted",
        ),
        (NoDeadLetter("a", "dead"), "job 'a' is dead, and no dead letter of it is kept: enqueue it again"),
        (
            NotReplayed("a", "empty"),
            "job a has no payload any more, which had expired before it died: enqueue it",
        ),
    ],
    ids=["waiting", "gone", "empty"],
)
def test_what_cannot_be_brought_back_says_why_and_what_to_do(error: RotaError, said: str) -> None:
    assert str(error).startswith(said)


def test_a_long_list_of_choices_is_cut() -> None:
    message = str(UnknownQueue("zzz", [f"queue-{number:03}" for number in range(500)]))
    assert "queue-019, …" in message
    assert "queue-020" not in message


def test_a_short_name_on_two_queues_asks_for_the_full_one() -> None:
    message = str(UnknownJob("send", ["email:send", "sms:send", "email:other"]))
    assert message == "job 'send' is on several queues; use one of: email:send, sms:send"


def test_a_result_timeout_is_caught_as_a_timeout() -> None:
    with pytest.raises(TimeoutError, match=r"job video:7 has no result after 1\.5 s"):
        raise ResultTimeout("video:7", 1.5)


def test_a_failed_job_says_the_remote_error() -> None:
    assert str(JobFailed("ValueError", "boom")) == "the job failed with ValueError: boom"
    assert str(JobFailed("KeyError", "", "a:1")) == "job a:1 failed with KeyError"
    assert str(JobError("ValueError", "boom")) == "ValueError: boom"
    assert str(JobError("ValueError")) == "ValueError"


# What signals are given


def test_a_signal_takes_seconds_or_a_timedelta() -> None:
    assert Snooze(timedelta(minutes=1)).delay == 60
    assert Retry(timedelta(milliseconds=500)).delay == 0.5
    assert Retry(0).delay == 0
    assert str(Snooze(timedelta(minutes=1))) == "snooze for 60 s"


@pytest.mark.parametrize("delay", [-1, math.nan, math.inf, 1e12, 10**400, "5", True, timedelta(-1), object()])
def test_a_delay_that_cannot_be_is_refused_where_it_is_raised(delay: Any) -> None:
    for signal in (Snooze, Retry):
        with pytest.raises(ValueError, match=f"{signal.__name__} got the delay .*; it takes seconds from 0"):
            signal(delay)
    with pytest.raises(ValueError, match="Snooze got the delay None"):
        Snooze(None)  # type: ignore[arg-type]


def test_a_reason_may_be_the_error_that_is_the_reason() -> None:
    assert Cancel(LookupError("no such user")).reason == "no such user"
    assert Retry(1, LookupError("not yet")).reason == "not yet"


def test_a_cancelled_job_says_by_whom_or_why() -> None:
    said = [str(JobCancelled("7", reason)) for reason in ("", "cancelled", "cancelled before it ran", "gone")]
    assert said == [
        "job 7 was cancelled",
        "job 7 was cancelled",
        "job 7 was cancelled before it ran",
        "job 7 was cancelled: gone",
    ]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PayloadTooLarge,
            ("payload", "email:send", "300", "PAYLOAD_LIMIT", "200", "store the data elsewhere"),
        ),
        (ResultTooLarge, ("result", "email:send", "300", "RESULT_LIMIT", "200", "return its id")),
    ],
)
def test_what_is_too_large_is_told_with_its_limit_and_what_to_do(
    error: type[PayloadTooLarge], words: tuple[str, ...]
) -> None:
    for word in words:
        assert word in str(error("email:send", 300, 200))
