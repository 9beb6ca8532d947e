"""At enqueue: a span `queue.publish` for each job, and the headers by which its attempts continue the trace."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rota.names import full_name, printable
from rota.seams import Outgoing, Switched
from rota.telemetry.tracing.sentry.sdk import ORIGIN, is_on, sdk


class EnqueueTracer(Switched):
    """A sender. Where the caller has no span it makes none either, but the headers carry the caller's trace."""

    is_on = staticmethod(is_on)

    @contextmanager
    def __call__(self, jobs: Sequence[Outgoing]) -> Iterator[None]:
        spans = [span for job in jobs if (span := _span(job)) is not None]
        try:
            yield
        except BaseException:
            for span in spans:
                span.set_status("internal_error")
            raise
        finally:
            for span in spans:
                span.finish()


def _span(job: Outgoing) -> Any:
    scope = sdk().get_current_scope()
    if scope.span is None:
        job.headers.update(_headers(scope.get_traceparent(), scope.get_baggage()))
        return None
    name = full_name(job.queue, job.task)
    # Not entered: the jobs of one round trip are siblings.
    span = scope.span.start_child(op="queue.publish", name=name, origin=ORIGIN)
    span.set_data("messaging.message.id", printable(job.id))
    span.set_data("messaging.destination.name", job.queue)
    span.set_data("messaging.message.body.size", len(job.payload))
    job.headers.update(_headers(span.to_traceparent(), span.to_baggage()))
    return span


def _headers(trace: str | None, baggage: Any) -> dict[str, str]:
    if not trace:
        return {}
    trace_id, span_id, *sampled = trace.split("-")
    headers = {
        "sentry-trace": trace,
        "traceparent": f"00-{trace_id}-{span_id}-{'01' if sampled == ['1'] else '00'}",
    }
    if baggage is not None and (members := baggage.serialize()):
        headers["baggage"] = members
    return headers
