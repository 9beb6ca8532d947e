"""Sentry, from the request that enqueues to the job's error: a real server and worker, and a transport that keeps."""

import asyncio
import logging
import os
import signal as signals
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from secrets import token_hex
from typing import Any

import pytest
import sentry_sdk
from pydantic import TypeAdapter

from rota import Cancel, Client, Handle, Job, Retry, Run, Snooze, State, fixed, job
from rota.app.connect import client_of
from rota.errors.secrets import SECRETS
from rota.server import connections
from rota.server.faults import ServerError
from rota.server.target import RedisTarget
from rota.settings.load import load
from rota.telemetry.tracing.sentry import sentry
from tests.envelopes import DSN, Captured, forgotten
from tests.servers import RedisServer
from tests.waiting import until, until_in
from tests.workers import serving

SOON = fixed(0, jitter=0)


@job(max_attempts=1)
async def fail(run: Run, word: str = "no") -> None:
    raise ValueError(word)


@job(max_attempts=3, backoff=SOON)
async def fail_thrice(run: Run) -> None:
    """Fail until the attempts are spent."""
    raise LookupError(f"attempt {run.attempt}")


@job(max_attempts=2, backoff=SOON)
async def recover(run: Run) -> str:
    if run.attempt == 1:
        raise OSError("a passing cloud")
    return "fine"


@job(max_attempts=1)
async def nest(run: Run) -> None:
    client: Client = NESTING[0]
    await client.enqueue(fail, "nested")


@job(max_attempts=2, backoff=SOON)
async def signal(run: Run, which: str) -> None:
    if run.attempt == 1 and not run.snoozes:
        raise {"retry": Retry(0), "snooze": Snooze(0), "cancel": Cancel("unwanted")}[which]


@job(max_attempts=2)
async def retry_until_dead(run: Run) -> None:
    """Ask for another attempt each time, for a reason."""
    try:
        raise ConnectionError("the other side is down")
    except ConnectionError as error:
        raise Retry(0) from error


@job(max_attempts=1, timeout=0.05)
async def dawdle(run: Run) -> None:
    await asyncio.sleep(60)


@job(max_attempts=1, timeout=0.05)
def stop_early(run: Run) -> None:
    sentry_sdk.set_tag("noticed", "yes")
    while not run.cancelled:
        time.sleep(0.01)


LINGERS = threading.Event()


@job
async def linger(run: Run) -> None:
    LINGERS.set()
    await asyncio.sleep(60)


@job(max_attempts=1, timeout=0.5, process=True)
def dawdle_in_process(run: Run) -> None:
    time.sleep(60)


@job(max_attempts=1, process=True)
def crash(run: Run) -> None:
    os.kill(os.getpid(), signals.SIGKILL)


@job(max_attempts=1)
async def cancel_itself(run: Run) -> None:
    raise asyncio.CancelledError("from within")


@job
async def misfit(run: Run, secret: str) -> int:
    """Return what does not fit, and tell Sentry of it before."""
    sentry_sdk.add_breadcrumb(message="the last thing that it did")
    return secret  # type: ignore[return-value]


@job
async def boast(run: Run) -> str:
    sentry_sdk.add_breadcrumb(message="the last thing that it did")
    return "x" * 2000


@job(max_attempts=1)
def fail_in_thread(run: Run) -> None:
    sentry_sdk.set_tag("thread", threading.current_thread().name.partition("_")[0])
    raise ArithmeticError("in a thread")


@job(max_attempts=1, process=True)
def fail_in_process(run: Run) -> None:
    raise BufferError("in a process")


@job(max_attempts=1)
async def log_and_fail(run: Run) -> None:
    try:
        raise ValueError("once is enough")
    except ValueError:
        run.log.exception("it.failed")
        raise


@job(max_attempts=1, process=True)
def log_and_fail_in_process(run: Run) -> None:
    try:
        raise ValueError("once is enough")
    except ValueError:
        run.log.exception("it.failed")
        raise


@job(max_attempts=1, process=True)
def log_one_and_fail_of_another(run: Run) -> None:
    try:
        raise ValueError("was handled")
    except ValueError:
        run.log.exception("it.failed")
    raise LookupError("was not")


@job(max_attempts=2, backoff=SOON)
async def capture_and_fail(run: Run) -> None:
    """Tell Sentry of the error of the last attempt, and raise it."""
    try:
        raise ValueError(f"attempt {run.attempt}")
    except ValueError as error:
        if run.attempt == run.max_attempts:
            sentry_sdk.capture_exception(error)
        raise


JOBS = (
    *(fail, fail_thrice, recover, nest, signal, retry_until_dead, dawdle, fail_in_thread, fail_in_process),
    *(
        log_and_fail,
        log_and_fail_in_process,
        log_one_and_fail_of_another,
        capture_and_fail,
        stop_early,
        cancel_itself,
        misfit,
        boast,
        linger,
        dawdle_in_process,
        crash,
    ),
)
NESTING: list[Client] = []
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
#: What a stranger's payload ends in.
GIVEN = f'"k":{{"wrod":"CANARY"}},"et":1,"h":{{"sentry-trace":"{TRACE}-00f067aa0ba902b7-1"}}'
#: Not in the source, of which an event shows lines.
CANARY = token_hex(12)
NUMBER = 10**11 + int(token_hex(4), 16)

Start = Callable[..., Captured]


@pytest.fixture
def start() -> Iterator[Start]:
    """Set Sentry up as a worker does, with a transport that keeps what it is given."""

    def started(**variables: str) -> Captured:
        given = {"SENTRY_DSN": DSN, "SENTRY_TRACES_SAMPLE_RATE": "1", **variables}
        assert sentry.start(load(given), transport=Captured)
        transport = sentry_sdk.get_client().transport
        assert isinstance(transport, Captured)
        return transport

    with forgotten():
        yield started


@pytest.fixture
def sent(start: Start) -> Captured:
    return start()


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Client]:
    redis = connections.async_client(RedisTarget.from_url(server.url))
    async with client_of(load({}), redis) as client:
        NESTING[:] = [client]
        yield client


@pytest.fixture
async def at_work(server: RedisServer, sent: Captured) -> AsyncIterator[None]:
    """Run a worker in this process, where Sentry is set up."""
    async with serving(server.url, *JOBS):
        yield


async def over(handle: Handle[Any]) -> State:
    """Wait until a job has ended and its worker's subscribers have been told, and return its state."""
    info = await until_in(handle, State.DEAD, State.COMPLETED, State.CANCELLED)
    await asyncio.sleep(0.05)  # subscribers are told right after Redis has answered
    return info.state


async def dead(handle: Handle[Any], sent: Captured, errors: int = 1) -> list[dict[str, Any]]:
    """Wait until a job is dead and its errors are reported, and return them."""
    assert await over(handle) is State.DEAD
    await until(lambda: len(sent.errors) >= errors)
    assert len(sent.errors) == errors
    return sent.errors


async def transactions(sent: Captured, count: int) -> list[dict[str, Any]]:
    await until(lambda: len(sent.transactions) >= count)
    return sent.transactions


def spans(transaction: dict[str, Any], op: str) -> list[dict[str, Any]]:
    return [span for span in transaction["spans"] if span["op"] == op]


def words(event: dict[str, Any]) -> str:
    last = event["exception"]["values"][-1]
    return f"{last['type']}: {last['value']}"


# One trace


async def test_a_request_its_job_and_the_job_s_error_are_one_trace(
    client: Client, sent: Captured, at_work: None
) -> None:
    with sentry_sdk.start_transaction(op="http.server", name="POST /orders") as request:
        handle = await client.enqueue(fail)
    (error,) = await dead(handle, sent)
    by_name = {one["transaction"]: one for one in await transactions(sent, 2)}
    (published,) = spans(by_name["POST /orders"], "queue.publish")
    consumed = by_name["default:fail"]
    (processed,) = spans(consumed, "queue.process")
    assert consumed["contexts"]["trace"]["op"] == "queue.task.rota"
    assert consumed["contexts"]["trace"]["parent_span_id"] == published["span_id"]
    assert processed["parent_span_id"] == consumed["contexts"]["trace"]["span_id"]
    assert error["contexts"]["trace"]["span_id"] == processed["span_id"]
    assert {
        request.trace_id,
        consumed["contexts"]["trace"]["trace_id"],
        error["contexts"]["trace"]["trace_id"],
    } == {request.trace_id}
    assert (error["transaction"], words(error)) == ("default:fail", "ValueError: no")


async def test_the_spans_have_the_attributes_of_queues(client: Client, sent: Captured, at_work: None) -> None:
    with sentry_sdk.start_transaction(name="request"):
        handle = await client.enqueue(recover)
    assert await over(handle) is State.COMPLETED
    request, first, second = await transactions(sent, 3)
    (published,) = spans(request, "queue.publish")
    assert published["data"]["messaging.message.id"] == handle.id
    assert published["data"]["messaging.destination.name"] == "default"
    assert published["data"]["messaging.message.body.size"] > 20
    for count, transaction in enumerate((first, second)):
        (processed,) = spans(transaction, "queue.process")
        data = processed["data"]
        assert (data["messaging.message.id"], data["messaging.destination.name"]) == (handle.id, "default")
        assert data["messaging.message.body.size"] > published["data"]["messaging.message.body.size"]
        assert 0 <= data["messaging.message.receive.latency"] < 20_000
        assert data["messaging.message.retry.count"] == count
    assert [one["contexts"]["trace"]["status"] for one in (first, second)] == ["internal_error", "ok"]


async def test_a_job_that_a_job_enqueues_continues_its_trace(
    client: Client, sent: Captured, at_work: None
) -> None:
    with sentry_sdk.start_transaction(name="request") as request:
        await client.enqueue(nest)
    by_name = {one["transaction"]: one for one in await transactions(sent, 3)}
    (published,) = spans(by_name["default:nest"], "queue.publish")
    assert by_name["default:fail"]["contexts"]["trace"]["parent_span_id"] == published["span_id"]
    assert {one["contexts"]["trace"]["trace_id"] for one in by_name.values()} == {request.trace_id}


async def test_jobs_of_one_round_trip_are_siblings(client: Client, sent: Captured) -> None:
    with sentry_sdk.start_transaction(name="request") as request:
        await client.enqueue_many([fail.call(), fail.call()])
    (transaction,) = sent.transactions
    assert [span["parent_span_id"] for span in spans(transaction, "queue.publish")] == [request.span_id] * 2


async def test_an_enqueue_that_fails_is_told_by_its_span(client: Client, sent: Captured) -> None:
    await client.redis.set("arq:queue:default", "no zset")
    with sentry_sdk.start_transaction(name="request"), pytest.raises(ServerError):
        await client.enqueue(fail)
    assert [span["status"] for span in spans(sent.transactions[0], "queue.publish")] == ["internal_error"]


async def test_a_web_application_s_own_sentry_is_enough_for_its_trace_to_travel(client: Client) -> None:
    with forgotten():
        sentry_sdk.init(DSN, transport=Captured)
        handle = await client.enqueue(fail)
        payload = await client.redis.get(f"arq:job:{handle.id}")
        trace = (sentry_sdk.get_traceparent() or "").partition("-")[0]
    assert b'"sentry-trace":"%b-' % trace.encode() in payload
    assert b'"traceparent":"00-%b-' % trace.encode() in payload


async def test_without_sentry_nothing_is_added_to_a_payload(client: Client) -> None:
    handle = await client.enqueue(fail)
    assert b'"h"' not in await client.redis.get(f"arq:job:{handle.id}")


async def test_a_trace_that_another_tracer_began_is_continued(
    client: Client, sent: Captured, at_work: None
) -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    payload = b'{"v":1,"f":"fail","t":null,"a":[],"k":{},"et":1,"h":{"traceparent":"00-%b-%b-01"}}'
    await client.redis.set("arq:job:w3c", payload % (trace.encode(), span.encode()))
    await client.redis.zadd("arq:queue:default", {"w3c": 1})
    (error,) = await dead(client.handle("default", "w3c"), sent)
    (transaction,) = await transactions(sent, 1)
    assert transaction["contexts"]["trace"]["trace_id"] == error["contexts"]["trace"]["trace_id"] == trace
    assert transaction["contexts"]["trace"]["parent_span_id"] == span


# Once, when attempts are spent


async def test_a_failure_is_reported_when_its_attempts_are_spent_and_the_earlier_ones_are_breadcrumbs(
    client: Client, sent: Captured, at_work: None
) -> None:
    (error,) = await dead(await client.enqueue(fail_thrice), sent)
    assert (error["level"], words(error)) == ("error", "LookupError: attempt 3")
    crumbs = [one for one in error["breadcrumbs"]["values"] if one["category"] == "rota.retried"]
    assert [one["message"] for one in crumbs] == [
        "attempt 1: LookupError: attempt 1",
        "attempt 2: LookupError: attempt 2",
    ]
    assert error["contexts"]["job"] | {"id": ""} == {
        "id": "",
        "queue": "default",
        "task": "fail_thrice",
        "attempt": 3,
        "max_attempts": 3,
    }
    assert (error["tags"]["task"], error["tags"]["reason"]) == ("fail_thrice", "failed")


async def test_what_recovers_is_not_reported(client: Client, sent: Captured, at_work: None) -> None:
    assert await over(await client.enqueue(recover)) is State.COMPLETED
    assert sent.errors == []


async def test_retries_are_warnings_where_that_is_wanted(
    client: Client, start: Start, server: RedisServer
) -> None:
    sent = start(SENTRY_REPORT_RETRIES="true")
    async with serving(server.url, *JOBS):
        errors = await dead(await client.enqueue(fail_thrice), sent, 3)
    assert [error["level"] for error in errors] == ["warning", "warning", "error"]


@pytest.mark.parametrize("which", ["retry", "snooze", "cancel"])
async def test_signals_are_no_failures(client: Client, sent: Captured, at_work: None, which: str) -> None:
    handle = await client.enqueue(signal, which)
    assert await over(handle) is (State.CANCELLED if which == "cancel" else State.COMPLETED)
    (first, *_) = await transactions(sent, 1)
    assert first["contexts"]["trace"]["status"] == ("cancelled" if which == "cancel" else "aborted")
    assert sent.errors == []


async def test_of_a_job_that_died_asking_for_a_retry_the_fault_behind_it_is_reported(
    client: Client, sent: Captured, at_work: None
) -> None:
    (error,) = await dead(await client.enqueue(retry_until_dead), sent)
    assert words(error) == "ConnectionError: the other side is down"


async def test_a_timeout_is_reported_with_the_place_where_the_handler_was(
    client: Client, sent: Captured, at_work: None
) -> None:
    (error,) = await dead(await client.enqueue(dawdle), sent)
    assert words(error) == "JobTimeout: the attempt ran longer than 0.05 s"
    frames = error["exception"]["values"][-1]["stacktrace"]["frames"]
    assert "dawdle" in [frame["function"] for frame in frames]
    assert error["fingerprint"] == ["{{ default }}", "timeout", "default:dawdle"]
    (transaction,) = await transactions(sent, 1)
    assert transaction["contexts"]["trace"]["status"] == "deadline_exceeded"


async def test_a_handler_that_returned_at_its_timeout_is_reported_in_its_attempt_s_trace(
    client: Client, sent: Captured, at_work: None
) -> None:
    (error,) = await dead(await client.enqueue(stop_early), sent)
    assert (words(error).partition(":")[0], error["tags"]["noticed"]) == ("JobTimeout", "yes")
    (transaction,) = await transactions(sent, 1)
    assert transaction["contexts"]["trace"]["status"] == "deadline_exceeded"
    assert error["contexts"]["trace"]["trace_id"] == transaction["contexts"]["trace"]["trace_id"]


async def test_a_cancellation_without_a_request_is_a_failure(
    client: Client, sent: Captured, at_work: None
) -> None:
    (error,) = await dead(await client.enqueue(cancel_itself), sent)
    assert words(error) == "CancelledError: from within"
    (transaction,) = await transactions(sent, 1)
    assert transaction["contexts"]["trace"]["status"] == "internal_error"


@pytest.mark.parametrize(
    ("call", "reason", "kind"),
    [
        (misfit.call("no number"), "invalid_result", "InvalidResult"),
        (boast.call(), "result_too_large", "ResultTooLarge"),
    ],
)
async def test_a_result_that_cannot_be_kept_is_a_failure_of_its_attempt(  # noqa: PLR0917 - fixtures and a table
    client: Client, server: RedisServer, sent: Captured, call: Any, reason: str, kind: str
) -> None:
    async with serving(server.url, *JOBS, RESULT_LIMIT="1000"):
        with sentry_sdk.start_transaction(name="request") as request:
            (handle,) = await client.enqueue_many([call])
        (error,) = await dead(handle, sent)
    assert (words(error).partition(":")[0], error["tags"]["reason"]) == (kind, reason)
    assert error["breadcrumbs"]["values"][-1]["message"] == "the last thing that it did"
    (attempt,) = [one for one in await transactions(sent, 2) if one["transaction"] != "request"]
    (processed,) = spans(attempt, "queue.process")
    assert (attempt["contexts"]["trace"]["status"], processed["status"]) == ("internal_error",) * 2
    trace = error["contexts"]["trace"]
    assert (trace["trace_id"], trace["span_id"]) == (request.trace_id, processed["span_id"])
    assert "no number" not in sent.raw


@pytest.mark.parametrize(
    ("payload", "reason", "kind"),
    [
        (f"\x80\x04pickled CANARY {TRACE}", "unreadable", "UnreadablePayload"),
        (f'{{"v":1,"f":"nobody","t":null,"a":[],{GIVEN}}}', "unknown", "UnknownJob"),
        (f'{{"v":1,"f":"fail","t":null,"a":[],{GIVEN}}}', "invalid", "InvalidPayload"),
        (None, "expired", "JobExpired"),
    ],
    ids=["unreadable", "unknown", "invalid", "expired"],
)
async def test_what_died_unrun_is_reported_once_without_what_it_was_given(  # noqa: PLR0917 - fixtures and a table
    client: Client, server: RedisServer, sent: Captured, payload: str | None, reason: str, kind: str
) -> None:
    if payload is not None:
        await client.redis.set("arq:job:odd", payload.replace("CANARY", CANARY).encode("latin-1"))
    await client.redis.zadd("arq:queue:default", {"odd": 1})
    async with serving(server.url, *JOBS, UNKNOWN_GRACE="0", UNKNOWN_DELAY="0.1"):
        (error,) = await dead(client.handle("default", "odd"), sent)
        # Nothing more comes of it, nor of what its worker does next.
        assert await over(await client.enqueue(recover)) is State.COMPLETED
    assert len(sent.errors) == 1
    task = {"unknown": "nobody", "invalid": "fail"}.get(reason, "")
    assert words(error).startswith(f"{kind}: ")
    tags = {"queue": "default", "task": task or "unknown", "reason": reason}
    assert {name: error["tags"][name] for name in tags} == tags
    told = error["contexts"]["job"]
    assert (told["id"], told["queue"], told["task"]) == ("odd", "default", task)
    assert (error["contexts"]["trace"]["trace_id"] == TRACE) is bool(task), (
        "the enqueuer's, if that can be read"
    )
    assert CANARY not in sent.raw


async def test_a_lost_job_is_reported_in_its_enqueuer_s_trace(
    client: Client, server: RedisServer, sent: Captured
) -> None:
    with sentry_sdk.start_transaction(name="request") as request:
        handle = await client.enqueue(fail)
    entry = "- 1 0 3 0"
    await client.redis.hset("arq:queue:default:runs", handle.id, entry)
    async with serving(server.url, *JOBS):
        (error,) = await dead(handle, sent)
    assert (words(error).partition(":")[0], error["tags"]["reason"]) == ("JobLost", "lost")
    assert error["contexts"]["trace"]["trace_id"] == request.trace_id
    assert (error["tags"]["queue"], error["tags"]["task"]) == ("default", "fail")
    assert (error["contexts"]["job"]["id"], error["transaction"]) == (handle.id, "default:fail")
    assert error["fingerprint"] == ["{{ default }}", "lost", "default:fail"]


async def test_what_a_worker_puts_back_when_it_ends_is_not_reported(
    client: Client, server: RedisServer, sent: Captured
) -> None:
    async with serving(server.url, *JOBS):
        handle = await client.enqueue(linger)
        # A job is active as soon as it is claimed. Before its handler began, the worker would just hand it back.
        await until(LINGERS.is_set)
    (attempt,) = await transactions(sent, 1)
    assert attempt["contexts"]["trace"]["status"] == "aborted"
    assert (await handle.status()).state is State.WAITING
    assert sent.errors == []


@pytest.mark.parametrize(
    ("made", "reason", "said", "status"),
    [
        (dawdle_in_process, "timeout", "JobTimeout: the attempt ran longer than 0.5 s", "deadline_exceeded"),
        (crash, "failed", "ChildDied: the process of this job ended by signal 9", "internal_error"),
    ],
    ids=["timeout", "crash"],
)
async def test_a_child_process_that_had_to_be_ended_or_ended_itself_is_reported(  # noqa: PLR0917 - a table
    client: Client, sent: Captured, at_work: None, made: Job[[], None], reason: str, said: str, status: str
) -> None:
    (error,) = await dead(await client.enqueue(made), sent)
    assert (words(error), error["tags"]["reason"]) == (said, reason)
    (attempt,) = await transactions(sent, 1)
    assert attempt["contexts"]["trace"]["status"] == status


async def test_what_a_thread_tells_sentry_is_on_its_error(
    client: Client, sent: Captured, at_work: None
) -> None:
    (error,) = await dead(await client.enqueue(fail_in_thread), sent)
    assert words(error) == "ArithmeticError: in a thread"
    assert error["tags"]["thread"] == "rota-job"


async def test_the_error_of_a_child_process_carries_its_traceback(
    client: Client, sent: Captured, at_work: None
) -> None:
    (error,) = await dead(await client.enqueue(fail_in_process), sent)
    assert words(error) == "BufferError: in a process"
    frames = error["exception"]["values"][0]["stacktrace"]["frames"]
    assert (frames[-1]["function"], frames[-1]["in_app"]) == ("fail_in_process", True)
    assert 'raise BufferError("in a process")' in error["extra"]["traceback"]


async def test_an_error_that_its_handler_logs_and_raises_is_reported_once(
    client: Client, sent: Captured, at_work: None
) -> None:
    (error,) = await dead(await client.enqueue(log_and_fail), sent)
    assert words(error) == "ValueError: once is enough"


async def test_so_it_is_in_a_child_process(client: Client, sent: Captured, at_work: None) -> None:
    (error,) = await dead(await client.enqueue(log_and_fail_in_process), sent)
    assert words(error) == "ValueError: once is enough"
    frame = error["exception"]["values"][0]["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["in_app"]) == ("log_and_fail_in_process", True)
    assert error["logentry"]["message"] == "it.failed"


async def test_an_error_that_is_logged_and_another_that_is_raised_are_two(
    client: Client, sent: Captured, at_work: None
) -> None:
    errors = await dead(await client.enqueue(log_one_and_fail_of_another), sent, 2)
    assert [words(error) for error in errors] == ["ValueError: was handled", "LookupError: was not"]


@pytest.mark.parametrize("failing", [log_and_fail, capture_and_fail], ids=lambda job: job.name)
async def test_so_it_is_where_the_jobs_package_has_set_sentry_up_itself(
    client: Client, server: RedisServer, failing: Any
) -> None:
    SECRETS.keep("open-sesame")
    with forgotten():
        sentry_sdk.init(DSN, transport=Captured)
        sent: Any = sentry_sdk.get_client().transport
        async with serving(server.url, *JOBS):
            (error,) = await dead(await client.enqueue(failing), sent)
            assert words(error).startswith("ValueError: ")
            # Subscribers were told; the error comes a second time if it comes at all.
            logging.getLogger("elsewhere").error("got open-sesame")
        assert [one.get("logentry", {}).get("message") for one in sent.errors] == [
            error.get("logentry", {}).get("message"),
            "got ***",
        ]


async def test_our_own_log_lines_about_failures_are_not_events(sent: Captured) -> None:
    assert sentry.AttemptTracer().is_on()
    logging.getLogger("rota.jobs").error("job.dead")
    logging.getLogger("arq.worker").error("failed")
    logging.getLogger("elsewhere").error("real")
    assert [error["logentry"]["message"] for error in sent.errors] == ["real"]


# What must not be sent


@job(max_attempts=2, backoff=SOON)
async def leak(run: Run, card: str, order: dict[str, Any]) -> str:
    """Put what it was given, and secrets, wherever an error may carry them."""
    note = order["note"]
    run.log.warning("order.refused", extra={"note": note, "password": CANARY})
    sentry_sdk.add_breadcrumb(message=f"GET https://ann:{CANARY}@api.example.com/?key={CANARY}")
    with sentry_sdk.start_span(op="http.client", name=f"GET https://api.example.com/?q={CANARY}") as span:
        span.set_data("http.query", CANARY)
        span.set_data("request.note", note)
    if run.attempt == 1:
        raise ValueError(f"cannot charge {card!r}: {order}")
    try:
        raise OSError(f"refused: Authorization: Bearer {CANARY}, api_key={CANARY}")
    except OSError as error:
        raise RuntimeError(f"redis://:{CANARY}@host/0 and {note}") from error


@job
async def give(run: Run) -> str:
    return CANARY


@job(max_attempts=1, process=True)
def leak_in_process(run: Run, card: str) -> None:
    """Raise the same error in a child process."""
    raise ValueError(f"cannot charge {card}, token={CANARY}")


@job(max_attempts=1)
async def count_to(run: Run, number: int) -> None:
    TypeAdapter(int).validate_python(f"no number {CANARY}")


async def test_neither_arguments_results_nor_secrets_are_sent(
    client: Client, start: Start, server: RedisServer
) -> None:
    sent = start(REDIS_URL=f"redis://:{CANARY}-redis@127.0.0.1:1/0", SENTRY_REPORT_RETRIES="true")
    async with serving(server.url, leak, give, leak_in_process, count_to):
        with sentry_sdk.start_transaction(name="request"):
            handles: list[Handle[Any]] = [
                await client.enqueue(
                    leak, card=CANARY, order={"note": f"Line\none's {CANARY}", "sum": NUMBER}
                ),
                await client.enqueue(leak_in_process, CANARY),
                await client.enqueue(count_to, 12345678),
            ]
            assert await (await client.enqueue(give)).result(10) == CANARY
        logging.getLogger("elsewhere").error("cannot reach redis://:%s-redis@127.0.0.1", CANARY)
        for handle in handles:
            assert await over(handle) is State.DEAD
        await transactions(sent, 6)
    assert len(sent.errors) == 5
    assert CANARY not in sent.raw
    assert str(NUMBER) not in sent.raw
    assert "[Filtered]" in sent.raw
    assert {words(error).partition(":")[0] for error in sent.errors if "exception" in error} == {
        "RuntimeError",
        "ValueError",
        "ValidationError",
    }
