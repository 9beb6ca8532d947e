"""arq's own contract: plain functions that take `ctx`, with the outcomes that arq gives them.

Exceptions and timeouts are final, `Retry` and cancellation run again until `max_tries`, an unknown function or an
unreadable payload is final. What arq's worker dies of (a hook or a payload that raises, `sys.exit()` in a job) ends
the job here, and not the worker. Log lines are arq's.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from arq.constants import keep_cronjob_progress
from arq.cron import CronJob
from arq.jobs import SerializationError, deserialize_job_raw, serialize_result
from arq.utils import args_to_string, ms_to_datetime, truncate
from arq.worker import Function, JobExecutionFailed, Retry, RetryJob

from rota.engine.execution import Execution
from rota.model.outcome import Cause
from rota.names import printable
from rota.wire.claims import Claim, Settlement, hand_back

if TYPE_CHECKING:
    from rota.worker.worker import QueueWorker

logger = logging.getLogger("arq.worker")


@dataclass
class _Call:
    """What arrived, as far as it could be read, and how far it got."""

    claim: Claim
    started: float = field(default_factory=time.monotonic)
    name: str = "<unknown>"
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    attempt: int = 1
    enqueued_ms: int = 0
    enqueued_at: datetime | None = None
    ref: str = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def age(self) -> float:
        """Seconds from enqueue to the claim, by the server's clock."""
        return (self.claim.started_ms - self.enqueued_ms) / 1000


class ArqContract:
    """What a bare `QueueWorker` runs its jobs by."""

    def __init__(self, worker: "QueueWorker") -> None:
        self._worker = worker
        self._hooks: set[asyncio.Task[None]] = set()

    def settled(self, settlement: Settlement, counted: bool) -> None:
        """The result is recorded: time for arq's `after_job_end`."""
        if settlement.context is not None:
            hook = self._hook("after_job_end", self._worker.after_job_end, settlement.context)
            task = asyncio.create_task(hook)
            self._hooks.add(task)
            task.add_done_callback(self._hooks.discard)

    def reported(self, claim: Claim, task: str, percent: float, message: str) -> None:
        """arq's functions report no progress."""

    async def finished(self) -> None:
        """Until every hook has ended."""
        await asyncio.gather(*self._hooks)

    async def execute(self, execution: Execution) -> Settlement:
        """Run one claim as arq's `run_job` would."""
        claim = execution.claim
        if execution.cause is Cause.SHUTDOWN or execution.cause is Cause.LEASE_LOST:
            return hand_back(claim)
        call = _Call(claim, ref=f"{printable(claim.id)}:<unknown>", attempt=claim.attempt)
        try:
            function = self._resolve(call, execution)
        except (Exception, asyncio.CancelledError) as error:
            self._worker.jobs_failed += 1
            return self._finish(call, None, False, error)
        return await self._run(call, function, execution)

    # Before it runs

    def _resolve(self, call: _Call, execution: Execution) -> Function | CronJob:
        worker, claim = self._worker, call.claim
        if not claim.payload:
            logger.warning("job %s expired", printable(claim.id))
            raise JobExecutionFailed("job expired")
        tries = self._read(call)
        if execution.cause is Cause.CANCEL or (claim.aborted and worker.allow_abort_jobs):
            logger.info("%6.2fs ⊘ %s:%s aborted before start", call.age(), printable(claim.id), call.name)
            raise asyncio.CancelledError
        function = worker.functions.get(call.name)
        if function is None:
            logger.warning("job %s, function %r not found", printable(claim.id), call.name)
            raise JobExecutionFailed(f"function {call.name!r} not found")
        call.ref = call.name if isinstance(function, CronJob) else f"{printable(claim.id)}:{call.name}"
        call.attempt = max(call.attempt, tries)
        max_tries = worker.max_tries if function.max_tries is None else function.max_tries
        if call.attempt > max_tries:
            logger.warning("%6.2fs ! %s max retries %d exceeded", call.age(), call.ref, max_tries)
            raise JobExecutionFailed(f"max {max_tries} retries exceeded")
        return function

    def _read(self, call: _Call) -> int:
        try:
            name, args, kwargs, tries, enqueued_ms = deserialize_job_raw(
                call.claim.payload or b"", deserializer=self._worker.job_deserializer
            )
            # arq takes these as they come, and dies of those that are something else.
            call.name, call.args, call.kwargs = str(name), tuple(args), dict(kwargs)
            call.enqueued_at = ms_to_datetime(int(enqueued_ms))
            call.enqueued_ms = int(enqueued_ms)
            return int(tries or 0)
        except SerializationError:
            logger.exception("deserializing job %s failed", printable(call.claim.id))
            raise
        except Exception as error:
            logger.exception("deserializing job %s failed", printable(call.claim.id))
            raise SerializationError("unable to deserialize job") from error

    # The run

    async def _run(self, call: _Call, function: Function | CronJob, execution: Execution) -> Settlement:
        worker, claim = self._worker, call.claim
        ctx = {
            **worker.ctx,
            "job_id": claim.id,
            "job_try": call.attempt,
            "enqueue_time": call.enqueued_at,
            "score": claim.due_ms,
        }
        try:
            if worker.on_job_start:
                await worker.on_job_start(ctx)
            self._log_start(call)
            call.started = time.monotonic()
            result = await self._call(function, ctx, call, execution)
            text = "" if result is None or not worker.log_results else truncate(repr(result))
        except (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt) as error:
            settlement = self._failed(call, function, execution, error)
        else:
            logger.info("%6.2fs ← %s ● %s", call.seconds, call.ref, text)
            worker.jobs_complete += 1
            settlement = self._finish(call, function, True, result)
        await self._hook("on_job_end", worker.on_job_end, ctx)
        return settlement._replace(context=ctx) if worker.after_job_end else settlement

    async def _call(
        self, function: Function | CronJob, ctx: dict[Any, Any], call: _Call, execution: Execution
    ) -> Any:
        limit = self._worker.job_timeout_s if function.timeout_s is None else function.timeout_s
        execution.enter()
        timer = asyncio.get_running_loop().call_later(limit, execution.stop, Cause.TIMEOUT) if limit else None
        try:
            return await function.coroutine(ctx, *call.args, **call.kwargs)
        except asyncio.CancelledError:
            if execution.cause is Cause.TIMEOUT:
                raise TimeoutError from None
            raise
        finally:
            execution.leave()
            if timer is not None:
                timer.cancel()

    def _log_start(self, call: _Call) -> None:
        if not logger.isEnabledFor(logging.INFO):
            return
        extra = f" try={call.attempt}" if call.attempt > 1 else ""
        late = call.claim.started_ms - call.claim.due_ms
        if late > 1200:  # noqa: PLR2004 - arq's threshold, ms
            extra += f" delayed={late / 1000:0.2f}s"
        logger.info("%6.2fs → %s(%s)%s", call.age(), call.ref, args_to_string(call.args, call.kwargs), extra)

    async def _hook(self, name: str, hook: Any, ctx: dict[Any, Any]) -> None:
        if hook is None:
            return
        try:
            await hook(ctx)
        except (Exception, asyncio.CancelledError, SystemExit):
            logger.exception("%s failed; the job's outcome stands", name)

    # What it came to

    def _failed(
        self, call: _Call, function: Function | CronJob, execution: Execution, error: BaseException
    ) -> Settlement:
        worker = self._worker
        cancelled = isinstance(error, asyncio.CancelledError)
        if worker.retry_jobs and isinstance(error, Retry):
            logger.info(
                "%6.2fs ↻ %s retrying job in %0.2fs", call.seconds, call.ref, (error.defer_score or 0) / 1000
            )
            worker.jobs_retried += 1
            return self._again(call, error.defer_score / 1000 if error.defer_score else None)
        if cancelled and execution.cause is Cause.CANCEL:
            logger.info("%6.2fs ⊘ %s aborted", call.seconds, call.ref)
        elif worker.retry_jobs and (cancelled or isinstance(error, RetryJob)):
            logger.info("%6.2fs ↻ %s cancelled, will be run again", call.seconds, call.ref)
            worker.jobs_retried += 1
            return self._again(call, None)
        else:
            self._log_failure(call, error)
        worker.jobs_failed += 1
        return self._finish(call, function, False, error)

    def _log_failure(self, call: _Call, error: BaseException) -> None:
        extra = getattr(error, "extra", None)
        if callable(extra):
            try:
                extra = extra()
            except Exception as raised:
                extra = f"extra() raised {type(raised).__name__}"
        logger.error(
            "%6.2fs ! %s failed, %s: %s",
            call.seconds,
            call.ref,
            type(error).__name__,
            error,
            exc_info=error,
            extra={"extra": extra},
        )

    def _again(self, call: _Call, delay: float | None) -> Settlement:
        return Settlement.again(call.claim, delay, attempt=call.attempt)

    def _finish(
        self, call: _Call, function: Function | CronJob | None, success: bool, result: Any
    ) -> Settlement:
        worker = self._worker
        for_ever, seconds = worker.keep_result_forever, worker.keep_result_s or 0
        if function is not None and function.keep_result_forever is not None:
            for_ever = function.keep_result_forever
        if function is not None and function.keep_result_s is not None:
            seconds = function.keep_result_s
        record = self._record(call, success, result) if for_ever or seconds > 0 else None
        mirror = keep_cronjob_progress * 1000 if isinstance(function, CronJob) else 0
        return Settlement.finished(
            call.claim,
            mirror_ms=mirror,
            record=record or b"",
            record_ms=0 if for_ever else round(seconds * 1000),
        )

    def _record(self, call: _Call, success: bool, result: Any) -> bytes | None:
        started_ms = call.claim.started_ms
        return serialize_result(
            call.name,
            call.args,
            call.kwargs,
            call.attempt,
            call.enqueued_ms,
            success,
            result,
            started_ms,
            started_ms + round(call.seconds * 1000),
            call.ref,
            self._worker.queue_name,
            job_id=call.claim.id,
            serializer=self._worker.job_serializer,
        )
