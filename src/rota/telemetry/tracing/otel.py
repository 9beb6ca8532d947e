"""OpenTelemetry: a span for each enqueue and one for each attempt, by its conventions for messaging.

The enqueue's span is the parent of the attempt's, so that a request and its jobs are one trace; the attempt's span also
links to it, as the conventions ask. Spans are made only where a tracer provider was set: by the program itself, or by a
worker with an OTEL_EXPORTER_OTLP_ENDPOINT. In all other processes `opentelemetry` is never imported.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from threading import Thread
from typing import Any

from rota.errors import RemoteError, Signal
from rota.model.run import Run
from rota.model.trace import tenant
from rota.names import printable
from rota.process.ports import is_loopback
from rota.seams import CallNext, Outgoing, Switched
from rota.settings.settings import Settings

logger = logging.getLogger("rota.worker")

#: Spans that are unsent when the process ends are given up after this, in seconds.
FLUSH = 1.5


def is_on() -> bool:
    """Tell whether a tracer provider was set in this process. Imports nothing."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return False
    proxy = getattr(trace, "ProxyTracerProvider", None)
    return proxy is not None and not isinstance(trace.get_tracer_provider(), proxy)


def start(settings: Settings) -> Any:
    """Set a provider that sends to OTEL_EXPORTER_OTLP_ENDPOINT, and return it for `close`.

    Return None, and set nothing, where that variable is not set or the program has set a provider already. A missing
    package is a warning: the variable is often set for a whole cluster.
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
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", session=_session(endpoint))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


def _session(endpoint: str) -> Any:
    """Return a session without a proxy for a collector on this machine; None, the exporter's own, for any other."""
    with suppress(ValueError):
        if is_loopback(endpoint):
            import requests  # noqa: PLC0415 - the exporter's own dependency

            session = requests.Session()
            session.trust_env = False
            return session
    return None


def close(provider: Any) -> None:
    """Send the spans that are left, for at most `FLUSH` seconds; `provider` is what `start` returned."""
    if provider is not None:
        # The provider's own timeouts hold for one export, and there may be several.
        thread = Thread(target=provider.shutdown, name="rota-otel-close", daemon=True)
        thread.start()
        thread.join(FLUSH)


class EnqueueTracer(Switched):
    """A sender: one span for the round trip, whatever the number of its jobs, and its context in each job's headers."""

    is_on = staticmethod(is_on)

    @contextmanager
    def __call__(self, jobs: Sequence[Outgoing]) -> Iterator[None]:
        from opentelemetry import propagate  # noqa: PLC0415 - an extra
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - an extra

        name = f"send {jobs[0].queue}"
        with _span(name, kind=SpanKind.PRODUCER, attributes=_enqueue_attributes(jobs)) as span:
            carrier: dict[str, str] = {}
            propagate.inject(carrier)
            for job in jobs:
                job.headers.update(_joined(job.headers, carrier))
            try:
                yield
            except BaseException as error:
                _fail(span, _type_of(error))
                raise


class AttemptTracer(Switched):
    """A middleware: one span for the attempt, which continues the enqueuer's trace."""

    def is_on(self) -> bool:
        return is_on()

    async def __call__(self, run: Run, call_next: CallNext) -> Any:
        from opentelemetry import context, propagate, trace  # noqa: PLC0415 - an extra

        enqueued_in = propagate.extract(run.headers, context=context.Context())
        sender = trace.get_current_span(enqueued_in).get_span_context()
        kind, links = trace.SpanKind.CONSUMER, [trace.Link(sender)] if sender.is_valid else []
        token = context.attach(enqueued_in)
        try:
            with _span(
                f"process {run.queue}", kind=kind, attributes=_attempt_attributes(run), links=links
            ) as span:
                return await _judged(span, run, call_next)
        finally:
            context.detach(token)


async def _judged(span: Any, run: Run, call_next: CallNext) -> Any:
    """Go on with the attempt, and write into `span` how it ended."""
    error: BaseException | None = None
    try:
        return await call_next(run)
    except BaseException as raised:
        error = raised
        raise
    finally:
        _judge(span, error, run)
        del error  # a frame in its own traceback would hold it


def _enqueue_attributes(jobs: Sequence[Outgoing]) -> dict[str, Any]:
    size = sum(len(job.payload) for job in jobs)
    attributes = _attributes(jobs[0].queue, "send") | {"messaging.message.body.size": size}
    if len(jobs) == 1:
        return attributes | _message(jobs[0].id, jobs[0].task)
    return attributes | {"messaging.batch.message_count": len(jobs)}


def _attempt_attributes(run: Run) -> dict[str, Any]:
    attributes = _attributes(run.queue, "process") | _message(run.id, run.job)
    attributes |= {
        "messaging.message.body.size": len(run.payload),
        "messaging.rota.attempt": run.attempt,
        "messaging.rota.waited": round(run.waited, 3),
    }
    if name := tenant(run.headers):
        attributes["messaging.rota.tenant"] = name
    return attributes


def _attributes(queue: str, operation: str) -> dict[str, Any]:
    return {
        "messaging.system": "rota",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
    }


def _message(job_id: str, task: str) -> dict[str, Any]:
    return {"messaging.message.id": printable(job_id), "messaging.rota.task": task}


def _span(name: str, **options: Any) -> Any:
    from opentelemetry import trace  # noqa: PLC0415 - an extra

    # Of an exception the span shows the type alone: the message may repeat the job's arguments.
    return _tracer(trace.get_tracer_provider()).start_as_current_span(
        name, record_exception=False, set_status_on_exception=False, **options
    )


@lru_cache(maxsize=2)
def _tracer(provider: Any) -> Any:
    return provider.get_tracer("rota")


def _joined(headers: dict[str, str], carrier: dict[str, str]) -> dict[str, str]:
    """Return what to add to `headers`: the carrier, its baggage behind the baggage of another tracer."""
    others, ours = headers.get("baggage"), carrier.get("baggage")
    return carrier | {"baggage": f"{others},{ours}"} if others and ours else carrier


def _judge(span: Any, error: BaseException | None, run: Run) -> None:
    """Mark the span of a failure. Signals are no failures, and of stopped attempts only those that timed out are."""
    if run.stopped_by:
        # The cause counts even if the handler returned when it was told to stop.
        span.set_attribute("messaging.rota.stopped_by", run.stopped_by)
        if run.stopped_by == "timeout":
            _fail(span, "timeout")
    elif error is not None and not isinstance(error, Signal):
        _fail(span, _type_of(error))


def _fail(span: Any, error_type: str) -> None:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 - an extra

    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def _type_of(error: BaseException) -> str:
    if isinstance(error, RemoteError):
        return error.type
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
