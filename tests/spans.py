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
    """Collect the spans of a block from the process's own provider."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with unset():
        trace.set_tracer_provider(provider)
        yield exporter


@contextlib.contextmanager
def unset() -> Iterator[None]:
    """Begin a block without a provider, and remove its provider at the end: a process may set one only once."""
    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()
    try:
        yield
    finally:
        trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()
