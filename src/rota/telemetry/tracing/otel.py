"""OpenTelemetry: a span where jobs are sent, and one for each attempt, by its conventions for messaging.

An attempt's span has the sender's as its parent, so that a request and its jobs are one trace, and a link to it, as
the conventions ask. It does something only where a tracer provider was set: by the program itself, or by a worker with
an OTEL_EXPORTER_OTLP_ENDPOINT. In all other processes `opentelemetry` is never imported.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from threading import Thread
from typing import Any

from rota.errors import RemoteError, Signal
from rota.model.run import Run
from rota.model.trace import tenant
from rota.names import printable
from rota.seams import Call, Outgoing
from rota.settings.settings import Settings

logger = logging.getLogger("rota.worker")

#: What could not be sent when the process ends is given up after this, seconds.
FLUSH = 1.5


def is_on() -> bool:
    """Whether a tracer provider was set in this process. Imports nothing."""
    trace = sys.modules.get("opentelemetry.trace")
    proxy = getattr(trace, "ProxyTracerProvider", None)
    return trace is not None and proxy is not None and not isinstance(trace.get_tracer_provider(), proxy)


def start(settings: Settings) -> Any:
    """Set up a provider that sends to OTEL_EXPORTER_OTLP_ENDPOINT, if that is set and nobody did before; what to close.

    A missing package is a warning: the variable is often set for a whole cluster.
    """
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None or is_on():
        return None
    try:
        from opentelemetry import trace  # noqa: PLC0415 - an extra
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        advice = "OTEL_EXPORTER_OTLP_ENDPOINT is set; to trace jobs, install rota[otel]"
        logger.warning("tracing.missing", extra={"advice": advice, "missing": error.name})
        return None
    resource = Resource.create({"service.name": settings.otel_service_name})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


def close(provider: Any) -> None:
    """Send what is left, for at most `FLUSH` seconds; `provider` is what `start` returned."""
    if provider is not None:
        # Its own timeouts are those of one export, and there may be several.
        thread = Thread(target=provider.shutdown, name="rota-otel-close", daemon=True)
        thread.start()
        thread.join(FLUSH)


@contextmanager
def send(jobs: Sequence[Outgoing]) -> Iterator[None]:
    """Around one enqueue: a span for the round trip, whatever the number of its jobs, and its context in each."""
    from opentelemetry import propagate  # noqa: PLC0415 - an extra
    from opentelemetry.trace import SpanKind  # noqa: PLC0415

    queue = jobs[0].queue
    attributes = _attributes(queue, "send") | {
        "messaging.message.body.size": sum(len(job.payload) for job in jobs)
    }
    if len(jobs) == 1:
        attributes |= _message(jobs[0].id, jobs[0].task)
    else:
        attributes["messaging.batch.message_count"] = len(jobs)
    with _span(f"send {queue}", kind=SpanKind.PRODUCER, attributes=attributes) as span:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        for job in jobs:
            job.headers.update(_joined(job.headers, carrier))
        try:
            yield
        except BaseException as error:
            _failed(span, _type_of(error))
            raise


async def process(run: Run, call_next: Call) -> Any:
    """Around every attempt."""
    from opentelemetry import context, propagate, trace  # noqa: PLC0415 - an extra

    came_with = propagate.extract(run.headers, context=context.Context())
    sender = trace.get_current_span(came_with).get_span_context()
    attributes = _attributes(run.queue, "process") | _message(run.id, run.job)
    attributes |= {
        "messaging.message.body.size": len(run.payload),
        "messaging.rota.attempt": run.attempt,
        "messaging.rota.waited": round(run.waited, 3),
    }
    if for_whom := tenant(run.headers):
        attributes["messaging.rota.tenant"] = for_whom
    links = [trace.Link(sender)] if sender.is_valid else []
    token = context.attach(came_with)
    try:
        with _span(
            f"process {run.queue}", kind=trace.SpanKind.CONSUMER, attributes=attributes, links=links
        ) as span:
            error: BaseException | None = None
            try:
                return await call_next(run)
            except BaseException as raised:
                error = raised
                raise
            finally:
                _judge(span, error, run)
                del error  # a frame in its own traceback would hold it
    finally:
        context.detach(token)


send.on = is_on  # type: ignore[attr-defined]
process.on = is_on  # type: ignore[attr-defined]


def _attributes(queue: str, operation: str) -> dict[str, Any]:
    return {
        "messaging.system": "rota",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
    }


def _message(job_id: str, task: str) -> dict[str, Any]:
    return {"messaging.message.id": printable(job_id), "messaging.rota.task": task}


def _span(name: str, **given: Any) -> Any:
    from opentelemetry import trace  # noqa: PLC0415 - an extra

    # Exceptions are told by their type alone: their words may repeat what a job was given.
    return _tracer(trace.get_tracer_provider()).start_as_current_span(
        name, record_exception=False, set_status_on_exception=False, **given
    )


@lru_cache(maxsize=2)
def _tracer(provider: Any) -> Any:
    return provider.get_tracer("rota")


def _joined(headers: dict[str, str], carrier: dict[str, str]) -> dict[str, str]:
    """What to add to `headers`: another tracer's baggage stays, beside ours."""
    others, ours = headers.get("baggage"), carrier.get("baggage")
    return carrier | {"baggage": f"{others},{ours}"} if others and ours else carrier


def _judge(span: Any, error: BaseException | None, run: Run) -> None:
    """A signal is no error, nor is an attempt that was stopped, but for its timeout: even if it returned then."""
    if run.stopped_by:
        span.set_attribute("messaging.rota.stopped_by", run.stopped_by)
        if run.stopped_by == "timeout":
            _failed(span, "timeout")
    elif error is not None and not isinstance(error, Signal):
        _failed(span, _type_of(error))


def _failed(span: Any, error_type: str) -> None:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 - an extra

    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def _type_of(error: BaseException) -> str:
    if isinstance(error, RemoteError):
        return error.type
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
