"""At execution: a transaction that continues the enqueuer's trace, and in it a span `queue.process`."""

from typing import Any

from rota.errors import Cancel, Signal
from rota.model.run import Run
from rota.model.trace import sentry_headers, tenant
from rota.names import full_name, printable
from rota.seams import CallNext, Switched
from rota.telemetry.tracing.sentry.memory import MEMORY, Left
from rota.telemetry.tracing.sentry.scrub import PAYLOAD
from rota.telemetry.tracing.sentry.sdk import ORIGIN, is_on, prepare, sdk

_STATUS = {
    "timeout": "deadline_exceeded",
    "cancel": "cancelled",
    "shutdown": "aborted",
    "lease_lost": "aborted",
}


class AttemptTracer(Switched):
    """A middleware. It keeps the attempt's error for the `FailureReporter`, which hears whether the job goes on."""

    def is_on(self) -> bool:
        if is_on():
            prepare()
        return is_on()

    async def __call__(self, run: Run, call_next: CallNext) -> Any:
        sentry = sdk()
        if sentry is None:
            return await call_next(run)
        payload = PAYLOAD.set(run.payload)
        try:
            with sentry.isolation_scope() as isolation:
                _introduce(isolation, run)
                result, error = await _traced(sentry, isolation, run, call_next)
        finally:
            PAYLOAD.reset(payload)
        if error is None:
            return result
        try:
            raise error
        finally:
            del error  # a frame in its own traceback would hold it


def describe(
    isolation: Any, queue: str, task: str, job_id: str, attempt: int, *, tenant: str, **more: Any
) -> None:
    """Tell a Sentry scope which job its events are about."""
    isolation.set_tag("queue", queue)
    isolation.set_tag("task", task or "unknown")
    if tenant:
        isolation.set_tag("tenant", tenant)
    fields = {"id": printable(job_id), "queue": queue, "task": task, "attempt": attempt, **more}
    isolation.set_context("job", fields)


def _introduce(isolation: Any, run: Run) -> None:
    isolation.clear_breadcrumbs()
    describe(
        isolation,
        run.queue,
        run.job,
        run.id,
        run.attempt,
        tenant=tenant(run.headers),
        max_attempts=run.max_attempts,
    )
    for crumb in MEMORY.recall(run.queue, run.id):
        isolation.add_breadcrumb(crumb)


async def _traced(
    sentry: Any, isolation: Any, run: Run, call_next: CallNext
) -> tuple[Any, BaseException | None]:
    """Return the attempt's result and its error. An error raised through Sentry's spans would set their status."""
    name = full_name(run.queue, run.job)
    begun = sentry.continue_trace(
        sentry_headers(run.headers), op="queue.task.rota", name=name, source="task", origin=ORIGIN
    )
    with (
        sentry.start_transaction(begun) as transaction,
        sentry.start_span(op="queue.process", name=name, origin=ORIGIN) as span,
    ):
        _measure(span, run)
        result: Any = None
        error: BaseException | None = None
        try:
            result = await call_next(run)
        except BaseException as raised:
            error = raised
        status = _status(run, error)
        if status not in ("ok", "cancelled"):
            left = Left(error, isolation, sentry.get_current_scope().fork(), run.payload)
            MEMORY.keep(run.queue, run.id, left)
        span.set_status(status)
        transaction.set_status(status)
    return result, error


def _measure(span: Any, run: Run) -> None:
    span.set_data("messaging.message.id", printable(run.id))
    span.set_data("messaging.destination.name", run.queue)
    span.set_data("messaging.message.body.size", len(run.payload))
    span.set_data("messaging.message.receive.latency", round(run.waited * 1000))
    span.set_data("messaging.message.retry.count", run.attempt - 1)


def _status(run: Run, error: BaseException | None) -> str:
    if run.stopped_by:
        return _STATUS.get(run.stopped_by, "aborted")
    if error is None:
        return "ok"
    if isinstance(error, Signal):
        return "cancelled" if isinstance(error, Cancel) else "aborted"
    # A CancelledError too: nothing of ours stopped this attempt.
    return "internal_error"
