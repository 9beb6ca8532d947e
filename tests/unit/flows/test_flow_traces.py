"""Traces of pipelines and batches: a request, and every job that comes of it, however late, are one trace."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import sentry_sdk
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from rota import Client, Job, JobFailed, JobNotFound, PayloadTooLarge, Run, each, job, pipeline
from rota.app import compose
from rota.model.trace import trace_id
from rota.seams import CallNext, Outgoing
from rota.telemetry.tracing.senders import SENDERS
from rota.testing import Bench
from tests.envelopes import DSN, Captured, forgotten
from tests.spans import collected, unset
from tests.unit.flows.flow_jobs import double, note, split, total

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

#: The headers of every attempt, by job, in the order of the attempts.
Seen = list[tuple[str, Mapping[str, str]]]


@job
async def begin(run: Run) -> None:
    """Start a pipeline and a batch from within a job."""
    await begin_both(CLIENTS[0])


CLIENTS: list[Client] = []
JOBS: list[Job[Any, Any]] = [split, double, total, note, begin]
WHOLE = pipeline(split, each(double), each(pipeline(split, each(double), total)), total)
#: How many attempts each job has of the pipeline with 3: two fan-outs of three items, and one in each of the latter.
OF_WHOLE = {"split": 1 + 3, "double": 3 + 6, "total": 1 + 3, "_each": 2 + 3}


async def begin_both(client: Client) -> None:
    await client.enqueue(WHOLE, 3)
    calls = [double.call(1), total.call([1]), double.call(-1)]
    await client.batch(calls, on_finished=note.call("over"), on_died=note.call("dead"))


@pytest.fixture
def seen() -> Seen:
    return []


@pytest.fixture
def deadly() -> set[int]:
    """Return the numbers that `double` dies of; a test changes them."""
    return {-1}


@pytest.fixture
def bench(seen: Seen, deadly: set[int]) -> Iterator[Bench]:
    def look(run: Run, call_next: CallNext) -> Any:
        seen.append((run.job, run.headers))
        return call_next(run)

    with Bench(JOBS, deps=deadly, middleware=(*compose.MIDDLEWARE, look)) as bench:
        CLIENTS[:] = [bench.client]
        yield bench


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with collected() as exporter:
        yield exporter


@contextlib.contextmanager
def otel() -> Iterator[str]:
    """Make a request that OpenTelemetry traces; yield the trace's id."""
    with collected(), request() as span:
        yield f"{span.get_span_context().trace_id:032x}"


@contextlib.contextmanager
def sentry() -> Iterator[str]:
    """Make a request that Sentry traces; yield the trace's id."""
    with forgotten():
        sentry_sdk.init(DSN, transport=Captured, traces_sample_rate=1)
        with sentry_sdk.start_transaction(name="request") as transaction:
            yield transaction.trace_id


def request() -> Any:
    return trace.get_tracer("a web application").start_as_current_span("POST /orders")


def traces(seen: Seen) -> set[str]:
    return {trace_id(headers) for _, headers in seen}


def attempts(seen: Seen) -> dict[str, int]:
    return {name: sum(one == name for one, _ in seen) for name, _ in seen}


# One trace


@pytest.mark.parametrize("tracer", [otel, sentry])
async def test_a_request_and_every_job_of_what_it_starts_are_one_trace(
    bench: Bench, seen: Seen, tracer: Any
) -> None:
    with tracer() as trace_of_request:
        await begin_both(bench.client)
        await bench.drain()
    of_batch = {"double": 2, "total": 1, "note": 2}
    assert attempts(seen) == {
        name: OF_WHOLE.get(name, 0) + of_batch.get(name, 0) for name in OF_WHOLE | of_batch
    }
    assert traces(seen) == {trace_of_request}


@pytest.mark.parametrize("tracer", [otel, sentry])
async def test_what_a_job_starts_continues_its_trace(bench: Bench, seen: Seen, tracer: Any) -> None:
    with tracer() as trace_of_request:
        await bench.client.enqueue(begin)
        await bench.drain()
    assert attempts(seen).keys() == {*OF_WHOLE, "begin", "note"}
    assert traces(seen) == {trace_of_request}


async def test_without_a_tracer_all_that_a_job_starts_has_the_headers_that_it_came_with(
    bench: Bench, seen: Seen
) -> None:
    payload = b'{"v":1,"f":"begin","t":null,"a":[],"k":{},"et":1,"h":{"traceparent":"%b","mine":"x"}}'
    await bench.redis.set("arq:job:outer", payload % PARENT.encode())
    await bench.redis.zadd("arq:queue:default", {"outer": 1})
    with unset():
        await bench.drain()
    (_, outer), *inner = seen
    assert outer == {"traceparent": PARENT, "mine": "x"}
    assert attempts(inner).keys() == {*OF_WHOLE, "note"}
    assert [headers for _, headers in inner if headers != outer] == []


async def test_without_a_tracer_and_headers_nothing_is_added_to_a_payload(bench: Bench, seen: Seen) -> None:
    with unset():
        await begin_both(bench.client)
        redis: Any = bench.client.redis
        plans = [await redis.hkeys(key) for key in await redis.keys("*:plan")]
        assert len(plans) == 2
        assert not [fields for fields in plans if b"headers" in fields]
        await bench.drain()
    assert {tuple(headers) for _, headers in seen} == {()}


@contextlib.contextmanager
def of_tenant(jobs: Sequence[Outgoing]) -> Iterator[None]:
    """Give each job a header of the application's: a sender."""
    for one in jobs:
        one.headers["tenant"] = "acme"
    yield


@pytest.mark.parametrize("tracer", [otel, contextlib.nullcontext])
async def test_a_header_of_the_application_s_own_reaches_the_last_job(
    bench: Bench, seen: Seen, tracer: Any
) -> None:
    """Items have the header too, although the worker that makes their payloads has no such sender."""
    client = Client(bench.client.redis, senders=(of_tenant, *SENDERS))
    with tracer():
        await begin_both(client)
        await bench.drain()
    assert attempts(seen).keys() == {*OF_WHOLE, "note"}
    assert {headers.get("tenant") for _, headers in seen} == {"acme"}


# Spans


def sent(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.kind is SpanKind.PRODUCER]


def attribute(span: ReadableSpan, name: str) -> Any:
    return (span.attributes or {}).get(f"messaging.{name}")


def id_of(span: ReadableSpan) -> int:
    found: int = span.get_span_context().span_id  # type: ignore[union-attr]
    return found


async def test_the_start_is_a_span_and_so_is_each_portion_of_items_in_the_fan_out_s_attempt(
    bench: Bench, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.flows.plan.PORTION", 2)
    with request():
        handle = await bench.client.enqueue(pipeline(split, each(double), total), 3)
        await bench.drain()
    start, *portions = sent(spans)
    assert (start.name, attribute(start, "message.id"), attribute(start, "rota.task")) == (
        *("send default", f"{handle.id}.0.0"),
        "split",
    )
    assert attribute(start, "message.body.size") > 0
    assert [attribute(span, "batch.message_count") for span in portions] == [2, None]
    assert attribute(portions[1], "message.id") == f"{handle.id}.1.2"
    parents = {
        attribute(span, "message.id"): span.parent.span_id
        for span in spans.get_finished_spans()
        if span.kind is SpanKind.CONSUMER and span.parent
    }
    by_start = {f"{handle.id}.0.0", f"{handle.id}.1.each", f"{handle.id}.2.0"}
    assert {name for name, parent in parents.items() if parent == id_of(start)} == by_start
    assert [parents[f"{handle.id}.1.{item}"] for item in range(3)] == [
        *(id_of(portions[0]), id_of(portions[0])),
        id_of(portions[1]),
    ]


async def test_a_portion_of_a_batch_has_a_span_for_each_of_its_queues(
    bench: Bench, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.flows.plan.PORTION", 3)
    await bench.client.batch([double.call(1), total.call([1]), double.call(2), total.call([2])])
    told = {(span.name, attribute(span, "batch.message_count") or 1) for span in sent(spans)}
    assert told == {("send other", 2), ("send default", 1)}
    assert len(sent(spans)) == 3


async def test_an_empty_batch_sends_its_callback(bench: Bench, spans: InMemorySpanExporter) -> None:
    batch = await bench.client.batch([], on_finished=note.call("over"), on_died=note.call("dead"))
    (span,) = sent(spans)
    assert attribute(span, "message.id") == f"{batch.id}.0.finished"
    await bench.client.batch([])
    assert len(sent(spans)) == 1


async def test_sentry_has_a_span_for_each_job_that_is_put(bench: Bench) -> None:
    with forgotten():
        sentry_sdk.init(DSN, transport=Captured, traces_sample_rate=1)
        with sentry_sdk.start_transaction(name="request"):
            handle = await bench.client.enqueue(pipeline(split, each(double)), 2)
            await bench.client.batch([double.call(1)], on_finished=note.call("over"))
        await bench.drain()
        transport = sentry_sdk.get_client().transport
        assert isinstance(transport, Captured)
        spans = {
            one["transaction"]: [
                span["description"] for span in one["spans"] if span["op"] == "queue.publish"
            ]
            for one in transport.transactions
        }
    assert spans["request"] == ["default:split", "other:double"]
    assert spans["other:_each"] == ["other:double"] * 2
    assert handle.created


# Going on


async def dead(bench: Bench) -> Any:
    handle = await bench.client.enqueue(pipeline(split, each(double), total), 3)
    await bench.drain()
    with pytest.raises(JobFailed):
        await handle.result(timeout=0)
    return handle


@pytest.mark.parametrize("value", ["the items", "a job"])
async def test_what_is_retried_goes_on_in_the_trace_of_the_retry(
    bench: Bench, seen: Seen, deadly: set[int], spans: InMemorySpanExporter, value: str
) -> None:
    deadly.add(1)
    client = Client(bench.client.redis, senders=(of_tenant, *SENDERS))
    whole = pipeline(split, each(double), total) if value == "the items" else pipeline(double, double)
    with request():
        handle: Any = await client.enqueue(whole, 3 if value == "the items" else 1)
        await bench.drain()
    deadly.clear()
    del seen[:]
    with request() as again:
        assert await bench.client.flow(handle.id).retry() == "retried"
        await bench.drain()
    assert {trace_id(headers) for _, headers in seen} == {f"{again.get_span_context().trace_id:032x}"}
    assert {headers["tenant"] for _, headers in seen} == {"acme"}, (
        "a header that the retry does not change stays"
    )
    retried = next(
        span
        for span in sent(spans)
        if span.parent and span.parent.span_id == again.get_span_context().span_id
    )
    expected = f"{handle.id}.1.each" if value == "the items" else f"{handle.id}.0.0"
    assert attribute(retried, "message.id") == expected
    assert await handle.result(timeout=0) == (6 if value == "the items" else 4)


async def test_what_is_retried_outside_of_any_trace_goes_on_in_its_own(
    bench: Bench, seen: Seen, deadly: set[int]
) -> None:
    deadly.add(1)
    with otel() as first:
        handle = await dead(bench)
    deadly.clear()
    with unset():
        assert await handle.retry() == "retried"
        await bench.drain()
    assert attempts(seen)["total"] == 1
    assert traces(seen) == {first}


async def test_a_batch_is_not_retried_as_a_whole(bench: Bench, spans: InMemorySpanExporter) -> None:
    batch = await bench.client.batch([double.call(1)])
    await bench.drain()
    assert len(sent(spans)) == 1
    with pytest.raises(JobNotFound):
        await bench.client.flow(batch.id).retry()
    assert len(sent(spans)) == 1


# Limits


@contextlib.contextmanager
def heavy(jobs: Sequence[Outgoing]) -> Iterator[None]:
    """Give each job 950 bytes of baggage: a sender."""
    for one in jobs:
        one.headers["baggage"] = "b" * 950
    yield


async def test_a_payload_counts_with_its_headers() -> None:
    with Bench(JOBS, deps=set(), settings={"payload_limit": 1000}) as small:
        client = Client(small.client.redis, small.settings, senders=[heavy])
        with pytest.raises(PayloadTooLarge, match="default:split"):
            await client.enqueue(pipeline(split, total), 1)
        with pytest.raises(PayloadTooLarge, match="default:note"):
            await client.batch([], on_finished=note.call("over"))
        with pytest.raises(PayloadTooLarge, match="other:double"):
            await client.batch([double.call(1)])
        assert small.enqueued() == []


async def test_an_item_counts_with_its_headers() -> None:
    with Bench(JOBS, deps=set(), settings={"payload_limit": 1000}) as small:
        client = Client(small.client.redis, small.settings, senders=[heavy])
        handle = await client.enqueue(each(double), [1])
        await small.drain()
        with pytest.raises(JobFailed, match=r"item 0: has \d+ bytes and the limit is 1000") as failed:
            await handle.result(timeout=0)
        assert failed.value.id == f"{handle.id}.0.each"
