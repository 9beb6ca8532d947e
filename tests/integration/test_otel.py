"""OpenTelemetry's spans of jobs, on a real server and a real worker, with an exporter in memory."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import sentry_sdk
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from rota import Client, Handle, Job, Retry, Run, State, fixed, job
from rota.app.connect import client_of
from rota.model.trace import trace_id
from rota.server import connections
from rota.server.faults import ServerError
from rota.server.target import RedisTarget
from rota.settings.load import load
from rota.telemetry.tracing import otel
from rota.wire.envelopes import decode_job
from tests.envelopes import DSN, Captured, forgotten
from tests.servers import RedisServer
from tests.silence import silent_port
from tests.spans import collected, unset
from tests.waiting import until, until_in
from tests.workers import serving

SOON = fixed(0, jitter=0)
CLIENTS: list[Client] = []


@job(max_attempts=2, backoff=SOON)
async def recover(run: Run) -> str:
    """Fail with a secret, and then do not."""
    if run.attempt == 1:
        raise LookupError("a secret")
    return baggage.get_baggage("tenant") or "none"  # type: ignore[return-value]


@job
async def nest(run: Run) -> None:
    await CLIENTS[0].enqueue(recover)


@job(max_attempts=1, timeout=0.05)
async def dawdle(run: Run) -> None:
    await asyncio.sleep(60)


@job(max_attempts=2)
async def ask_again(run: Run) -> None:
    if run.attempt == 1:
        raise Retry(0)


@job(max_attempts=1, process=True)
def fail_in_process(run: Run) -> None:
    raise BufferError("in a process")


@job
async def misfit(run: Run) -> int:
    return "no number"  # type: ignore[return-value]


@job
async def boast(run: Run) -> str:
    return "x" * 2000


@job(max_attempts=1, timeout=0.05)
def stop_early(run: Run) -> None:
    while not run.cancelled:
        time.sleep(0.01)


JOBS = (recover, nest, dawdle, ask_again, fail_in_process, misfit, boast, stop_early)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with collected() as exporter:
        yield exporter


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Client]:
    redis = connections.async_client(RedisTarget.from_url(server.url))
    async with client_of(load({}), redis) as client:
        CLIENTS[:] = [client]
        yield client


@pytest.fixture
async def at_work(server: RedisServer, spans: InMemorySpanExporter) -> AsyncIterator[None]:
    """Run a worker in this process, where a provider is set."""
    async with serving(server.url, *JOBS, RESULT_LIMIT="1000"):
        yield


def request() -> Any:
    return trace.get_tracer("a web application").start_as_current_span("POST /orders")


async def finished(spans: InMemorySpanExporter, name: str, count: int) -> list[ReadableSpan]:
    """Wait for `count` finished spans of this name, and return them."""

    def found() -> list[ReadableSpan]:
        return [one for one in spans.get_finished_spans() if one.name == name]

    await until(lambda: len(found()) >= count)
    return found()


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


async def headers_of(client: Client, handle: Handle[Any]) -> dict[str, str]:
    return decode_job(await client.redis.get(f"arq:job:{handle.id}")).headers


async def test_a_request_and_the_attempts_of_its_job_are_one_trace(
    client: Client, spans: InMemorySpanExporter, at_work: None
) -> None:
    with request() as web:
        handle = await client.enqueue(recover)
    (sent,) = await finished(spans, "send default", 1)
    first, second = await finished(spans, "process default", 2)
    assert sent.parent is not None
    assert sent.parent.span_id == web.get_span_context().span_id
    assert (sent.kind, first.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    for attempt in (first, second):
        assert attempt.parent is not None
        assert (attempt.parent.trace_id, attempt.parent.span_id) == ids(sent)
        assert [link.context.span_id for link in attempt.links] == [ids(sent)[1]]
    assert sent.attributes is not None
    assert dict(sent.attributes) | {"messaging.message.body.size": 0} == {
        "messaging.system": "rota",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "default",
        "messaging.message.id": handle.id,
        "messaging.message.body.size": 0,
        "messaging.rota.task": "recover",
    }


async def test_an_attempt_s_span_tells_of_it_by_the_conventions_and_never_the_error_s_words(
    client: Client, spans: InMemorySpanExporter, at_work: None
) -> None:
    handle = await client.enqueue(recover)
    first, second = await finished(spans, "process default", 2)
    assert first.attributes is not None
    assert second.attributes is not None
    expected = {
        "messaging.system": "rota",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": handle.id,
        "messaging.rota.task": "recover",
        "messaging.rota.attempt": 1,
        "error.type": "LookupError",
    }
    measured = {"messaging.message.body.size", "messaging.rota.waited"}
    assert {name: value for name, value in first.attributes.items() if name not in measured} == expected
    assert first.attributes.keys() >= measured
    assert second.attributes["messaging.rota.attempt"] == 2
    assert (first.status.status_code, second.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert "secret" not in first.to_json()


async def test_a_job_that_a_job_enqueues_continues_its_trace(
    client: Client, spans: InMemorySpanExporter, at_work: None
) -> None:
    with request() as web:
        await client.enqueue(nest)
    attempts = await finished(spans, "process default", 3)
    assert {ids(one)[0] for one in attempts} == {web.get_span_context().trace_id}


async def test_baggage_travels(client: Client, spans: InMemorySpanExporter, at_work: None) -> None:
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        handle = await client.enqueue(recover)
    finally:
        context.detach(token)
    assert await handle.result(10) == "acme"


async def test_jobs_of_one_round_trip_have_one_span(client: Client, spans: InMemorySpanExporter) -> None:
    handles = await client.enqueue_many([recover.call(), nest.call()])
    (sent,) = spans.get_finished_spans()
    assert sent.attributes is not None
    assert sent.attributes["messaging.batch.message_count"] == 2
    assert "messaging.message.id" not in sent.attributes
    for handle in handles:
        assert trace_id(await headers_of(client, handle)) == f"{ids(sent)[0]:032x}"


async def test_an_enqueue_that_fails_is_told_by_its_span(client: Client, spans: InMemorySpanExporter) -> None:
    await client.redis.set("arq:queue:default", "no zset")
    with pytest.raises(ServerError):
        await client.enqueue(recover)
    (sent,) = spans.get_finished_spans()
    assert sent.status.status_code is StatusCode.ERROR


async def test_a_timeout_is_an_error_and_a_signal_is_none(
    client: Client, spans: InMemorySpanExporter, at_work: None
) -> None:
    await client.enqueue(dawdle)
    (late,) = await finished(spans, "process default", 1)
    assert late.attributes is not None
    assert (late.attributes["error.type"], late.status.status_code) == ("timeout", StatusCode.ERROR)
    spans.clear()
    await client.enqueue(ask_again)
    for attempt in await finished(spans, "process default", 2):
        assert attempt.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (misfit, "rota.errors.InvalidResult"),
        (boast, "rota.errors.ResultTooLarge"),
        (stop_early, "timeout"),
    ],
    ids=["misfit", "too large", "a timeout that was noticed"],
)
async def test_a_handler_that_returned_in_vain_has_failed(
    client: Client, spans: InMemorySpanExporter, at_work: None, made: Job[[], Any], kind: str
) -> None:
    await client.enqueue(made)
    (attempt,) = await finished(spans, "process default", 1)
    assert attempt.attributes is not None
    assert (attempt.attributes["error.type"], attempt.status.status_code) == (kind, StatusCode.ERROR)


async def test_an_error_in_a_child_process_is_named_as_there(
    client: Client, spans: InMemorySpanExporter, at_work: None
) -> None:
    await client.enqueue(fail_in_process)
    (failed,) = await finished(spans, "process default", 1)
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "BufferError"


async def test_beside_sentry_each_finds_its_own_headers(client: Client, spans: InMemorySpanExporter) -> None:
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    with forgotten():
        sentry_sdk.init(DSN, transport=Captured, traces_sample_rate=1)
        with sentry_sdk.start_transaction(name="request") as transaction:
            handle = await client.enqueue(recover)
    context.detach(token)
    headers = await headers_of(client, handle)
    (sent,) = spans.get_finished_spans()
    assert headers["traceparent"].split("-")[1] == f"{ids(sent)[0]:032x}"
    assert headers["sentry-trace"].startswith(transaction.trace_id)
    assert f"sentry-trace_id={transaction.trace_id}" in headers["baggage"]
    assert headers["baggage"].endswith(",tenant=acme")


# Without a tracer


async def test_a_trace_passes_through_a_worker_without_a_tracer(client: Client, server: RedisServer) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    payload = b'{"v":1,"f":"nest","t":null,"a":[],"k":{},"et":1,"h":{"traceparent":"%b","mine":"x"}}'
    await client.redis.set("arq:job:outer", payload % parent.encode())
    await client.redis.zadd("arq:queue:default", {"outer": 1})
    with unset():
        async with serving(server.url, nest):
            handle: Handle[Any] = client.handle("default", "outer")
            await until_in(handle, State.COMPLETED)
        keys = await client.redis.keys("arq:job:*")
        (inner,) = [decode_job(await client.redis.get(key)) for key in keys]
    assert (inner.name, inner.headers) == ("recover", {"traceparent": parent, "mine": "x"})


async def test_without_a_provider_nothing_is_added_to_a_payload(client: Client) -> None:
    with unset():
        assert await headers_of(client, await client.enqueue(recover)) == {}


# Its beginning and its end


def test_an_endpoint_sets_a_provider_up_whose_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    with silent_port() as port, unset():
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_SERVICE_NAME": "mail"}
        provider = otel.start(load(settings))
        assert otel.is_on()
        assert provider.resource.attributes["service.name"] == "mail"
        with trace.get_tracer("x").start_as_current_span("one"):
            pass
        begun = time.monotonic()
        otel.close(provider)
        assert time.monotonic() - begun < 2 + 1
        (left,) = [one for one in threading.enumerate() if one.name == "rota-otel-close"]
    # It goes on by itself until its own time is up.
    left.join(30)
    assert not left.is_alive()


def test_a_collector_on_this_machine_is_reached_without_a_proxy() -> None:
    for host, is_direct in (("localhost:4318", True), ("[::1]:4318", True), ("collector:4318", False)):
        session = otel._session(f"http://{host}")
        assert (session is not None) is is_direct
        assert session is None or not session.trust_env


def test_a_provider_of_the_program_s_own_goes_first() -> None:
    with collected():
        assert otel.start(load({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})) is None


def test_without_an_endpoint_there_is_none() -> None:
    with unset():
        assert otel.start(load({})) is None
        assert not otel.is_on()
        otel.close(None)


def test_an_endpoint_without_the_package_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with unset():
        assert otel.start(load({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})) is None
    assert [record.message for record in caplog.records] == ["tracing.missing"]
