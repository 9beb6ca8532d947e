"""Reports each failure once: when a job is dead, with the error of its last attempt; before that it is a breadcrumb.

Timeouts, and jobs that died without running (lost, unknown, expired, unreadable, invalid), are reported too. A `Retry`,
`Snooze` or `Cancel` is not a failure and never reported; where a job died of a `Retry` that was raised from an error,
the error is.
"""

from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, ClassVar

from rota.errors import JobTimeout, RemoteError
from rota.errors.signals import culprit
from rota.model.event import Event, EventType
from rota.model.trace import sentry_headers, tenant
from rota.names import full_name, printable
from rota.seams import Selective
from rota.telemetry.tracing.sentry import remote
from rota.telemetry.tracing.sentry.attempt import describe
from rota.telemetry.tracing.sentry.memory import MEMORY, Left
from rota.telemetry.tracing.sentry.scrub import PAYLOAD
from rota.telemetry.tracing.sentry.sdk import is_on, sdk

_HEARD = frozenset(EventType) - {EventType.ENQUEUED, EventType.STARTED, EventType.PROGRESS}
_MECHANISM = {"type": "rota", "handled": False}


class FailureReporter(Selective):
    """A subscriber, which hears of every end of an attempt."""

    #: Whether attempts that will be repeated are reported too, as warnings; set with Sentry, for the whole process.
    reports_retries: ClassVar[bool] = False

    def wants(self, event_type: EventType) -> bool:
        return event_type in _HEARD and is_on()

    def __call__(self, event: Event) -> None:
        if not is_on():
            return
        left = MEMORY.take(event.queue, event.id)
        match event.type:
            case EventType.RETRIED:
                error = culprit(event.error)
                if error is not None:
                    _again(event, error, left)
            case EventType.DEAD:
                MEMORY.forget(event.queue, event.id)
                error = culprit(event.error)
                if error is not None:
                    _send(event, error, left, "error")
            case EventType.COMPLETED | EventType.CANCELLED:
                MEMORY.forget(event.queue, event.id)


def _again(event: Event, error: BaseException, left: Left | None) -> None:
    if FailureReporter.reports_retries:
        _send(event, error, left, "warning")
    crumb = {
        "type": "error",
        "category": "rota.retried",
        "level": "warning",
        "timestamp": datetime.now(UTC),
        "message": f"attempt {event.attempt}: {type(error).__name__}: {error}",
    }
    MEMORY.remember(event.queue, event.id, crumb)


def _send(event: Event, error: BaseException, left: Left | None, level: str) -> None:
    if isinstance(error, RemoteError) and remote.was_sent(printable(event.id), event.attempt, error):
        return
    sentry = sdk()
    body, hint = _body(sentry, error, left)
    body["level"] = level
    if event.reason != "failed" and event.type is EventType.DEAD:
        # The engine raised this error: it has no frames of the handler, by which Sentry would tell jobs apart.
        body["fingerprint"] = ["{{ default }}", event.reason, full_name(event.queue, event.task)]
    with ExitStack() as stack:
        isolation = _scopes(sentry, event, left, stack)
        if event.reason:
            isolation.set_tag("reason", event.reason)
        payload = PAYLOAD.set(left.payload if left else b"")
        stack.callback(PAYLOAD.reset, payload)
        sentry.capture_event(body, hint=hint)


def _scopes(sentry: Any, event: Event, left: Left | None, stack: ExitStack) -> Any:
    """Enter the scopes that were around the attempt; for a job that never ran, new ones in its enqueuer's trace."""
    if left is None:
        isolation = stack.enter_context(sentry.isolation_scope())
        isolation.clear_breadcrumbs()
        describe(isolation, event.queue, event.task, event.id, event.attempt, tenant=tenant(event.headers))
        current = sentry.get_current_scope()
        # The current scope may hold a span of the engine's, such as a call to Redis that is under way.
        current.span = None
        current.set_transaction_name(full_name(event.queue, event.task), source="task")
        current.generate_propagation_context(sentry_headers(event.headers))
        return isolation
    from sentry_sdk.scope import use_isolation_scope, use_scope  # noqa: PLC0415 - an extra

    stack.enter_context(use_isolation_scope(left.isolation))
    stack.enter_context(use_scope(left.current))
    return left.isolation


def _body(sentry: Any, error: BaseException, left: Left | None) -> tuple[dict[str, Any], dict[str, Any]]:
    if isinstance(error, RemoteError):
        return remote.event_of(error, _MECHANISM), {}
    from sentry_sdk.utils import event_from_exception  # noqa: PLC0415 - an extra

    # A timeout is shown at the place where the handler was stopped.
    stopped = left.error if left and isinstance(error, JobTimeout) else None
    trace = (stopped or error).__traceback__
    options = sentry.get_client().options
    body, hint = event_from_exception(
        (type(error), error, trace), client_options=options, mechanism=_MECHANISM
    )
    return dict(body), hint
