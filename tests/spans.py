"""OpenTelemetry without a collector: a provider whose spans stay in memory."""

import contextlib
from collections.abc import Iterator

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once


@contextlib.contextmanager
def collected() -> Iterator[InMemorySpanExporter]:
    """Where the spans of a block go, whose provider is the process's own."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with unset():
        trace.set_tracer_provider(provider)
        yield exporter


@contextlib.contextmanager
def unset() -> Iterator[None]:
    """No provider at first, and none afterwards: the package itself lets one be set once only."""
    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()
    try:
        yield
    finally:
        trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()
