"""At execution: a transaction that continues the enqueuer's trace, and in it a span `queue.process`."""

from typing import Any

from rota.errors import Cancel, Signal
from rota.model.run import Run
from rota.model.trace import sentry_headers, tenant
from rota.names import full_name, printable
from rota.seams import Call
from rota.telemetry.tracing.sentry.memory import MEMORY, Left
from rota.telemetry.tracing.sentry.scrub import PAYLOAD
from rota.telemetry.tracing.sentry.sdk import ORIGIN, is_on, quieten, sdk

_STATUS = {
    "timeout": "deadline_exceeded",
    "cancel": "cancelled",
    "shutdown": "aborted",
    "lease_lost": "aborted",
}


async def process(run: Run, call_next: Call) -> Any:
    """Around every attempt. What it raises is kept for `report`, which hears what becomes of it."""
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


def _on() -> bool:
    if is_on():
        quieten()
    return is_on()


process.on = _on  # type: ignore[attr-defined]


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


def describe(
    isolation: Any, queue: str, task: str, job_id: str, attempt: int, *, tenant: str, **more: Any
) -> None:
    """Tell a scope which job it is about."""
    isolation.set_tag("queue", queue)
    isolation.set_tag("task", task or "unknown")
    if tenant:
        isolation.set_tag("tenant", tenant)
    fields = {"id": printable(job_id), "queue": queue, "task": task, "attempt": attempt, **more}
    isolation.set_context("job", fields)


async def _traced(sentry: Any, isolation: Any, run: Run, call_next: Call) -> tuple[Any, BaseException | None]:
    """What the attempt returned, or what it raised: raised through Sentry's spans, it would set their status."""
    name = full_name(run.queue, run.job)
    begun = sentry.continue_trace(
        sentry_headers(run.headers), op="queue.task.rota", name=name, source="task", origin=ORIGIN
    )
    with (
        sentry.start_transaction(begun) as transaction,
        sentry.start_span(op="queue.process", name=name, origin=ORIGIN) as span,
    ):
        span.set_data("messaging.message.id", printable(run.id))
        span.set_data("messaging.destination.name", run.queue)
        span.set_data("messaging.message.body.size", len(run.payload))
        span.set_data("messaging.message.receive.latency", round(run.waited * 1000))
        span.set_data("messaging.message.retry.count", run.attempt - 1)
        status, result, error = "ok", None, None
        try:
            result = await call_next(run)
        except BaseException as raised:
            error, status = raised, _status(raised)
        if run.stopped_by:
            status = _STATUS.get(run.stopped_by, "aborted")
        if status not in ("ok", "cancelled"):
            left = Left(error, isolation, sentry.get_current_scope().fork(), run.payload)
            MEMORY.keep(run.queue, run.id, left)
        span.set_status(status)
        transaction.set_status(status)
    return result, error


def _status(error: BaseException) -> str:
    """Of an attempt that nobody stopped: a CancelledError is then an error like any other."""
    if isinstance(error, Signal):
        return "cancelled" if isinstance(error, Cancel) else "aborted"
    return "internal_error"
