"""arq's own contract: plain functions that take `ctx`, with the outcomes that arq gives them.

Exceptions and timeouts are final, and so are an unknown function and an unreadable payload. `Retry` and a cancellation
make the job run again, until `max_tries`. What would end arq's worker (a hook or a payload that raises, `sys.exit()` in
a job) ends only the job here. Log lines are arq's.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Collection, Sequence
from functools import partial
from typing import Any

from arq.constants import keep_cronjob_progress
from arq.cron import CronJob
from arq.utils import truncate
from arq.worker import Function, JobExecutionFailed, Retry, RetryJob, Worker

from rota.engine.execution import PATIENCE, Execution
from rota.model.outcome import Cause
from rota.names import printable
from rota.wire.claims import Claim, Settlement, Told, hand_back
from rota.worker.arq_job import ArqJob

logger = logging.getLogger("arq.worker")


class ArqContract:
    """The contract of a bare `QueueWorker`: arq's semantics, with the functions and options of `worker`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._hooks: set[asyncio.Task[None]] = set()

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Do nothing: arq notes nothing of a job before it runs."""

    def settled(self, settlements: Sequence[Settlement], counted: Sequence[bool]) -> None:
        """Run arq's `after_job_end`, now that the results are recorded."""
        for settlement in settlements:
            if settlement.context is not None:
                hook = self._hook("after_job_end", self._worker.after_job_end, settlement.context)
                task = asyncio.create_task(hook)
                self._hooks.add(task)
                task.add_done_callback(self._hooks.discard)

    def reported(self, claim: Claim, task: str, percent: float, message: str) -> None:
        """Do nothing: arq's functions report no progress."""

    def strangers(self) -> Collection[str]:
        """Return none: a function that arq does not know fails its job."""
        return ()

    async def finished(self) -> None:
        """Wait until every `after_job_end` has ended."""
        await asyncio.gather(*self._hooks)

    async def execute(self, execution: Execution) -> Settlement:
        """Run one claim as arq's `run_job` would."""
        claim = execution.claim
        if execution.cause is Cause.SHUTDOWN or execution.cause is Cause.LEASE_LOST:
            return hand_back(claim)
        job = ArqJob(claim, ref=f"{printable(claim.id)}:<unknown>", attempt=claim.attempt)
        try:
            function = self._resolve(job, execution)
        except BaseException as error:
            self._worker.jobs_failed += 1
            return self._finish(job, None, False, error)
        return await self._run(job, function, execution)

    # Before it runs

    def _resolve(self, job: ArqJob, execution: Execution) -> Function | CronJob:
        worker, claim = self._worker, job.claim
        if not claim.payload:
            logger.warning("job %s expired", printable(claim.id))
            raise JobExecutionFailed("job expired")
        tries = job.read(worker.job_deserializer)
        if execution.cause is Cause.CANCEL or (claim.aborted and worker.allow_abort_jobs):
            logger.info("%6.2fs ⊘ %s:%s aborted before start", job.age(), printable(claim.id), job.name)
            raise asyncio.CancelledError
        function = worker.functions.get(job.name)
        if function is None:
            logger.warning("job %s, function %r not found", printable(claim.id), job.name)
            raise JobExecutionFailed(f"function {job.name!r} not found")
        job.ref = job.name if isinstance(function, CronJob) else f"{printable(claim.id)}:{job.name}"
        job.attempt = max(job.attempt, tries)
        max_tries = worker.max_tries if function.max_tries is None else function.max_tries
        if job.attempt > max_tries:
            logger.warning("%6.2fs ! %s max retries %d exceeded", job.age(), job.ref, max_tries)
            raise JobExecutionFailed(f"max {max_tries} retries exceeded")
        return function

    # The run

    async def _run(self, job: ArqJob, function: Function | CronJob, execution: Execution) -> Settlement:
        worker, claim = self._worker, job.claim
        ctx = {
            **worker.ctx,
            "job_id": claim.id,
            "job_try": job.attempt,
            "enqueue_time": job.enqueued_at,
            "score": claim.due_ms,
        }
        limit = worker.job_timeout_s if function.timeout_s is None else function.timeout_s
        try:
            execution.enter()
            execution.close = partial(self._close, job, function, execution)
            if worker.on_job_start:
                await self._within(limit, worker.on_job_start(ctx), execution)
            job.log_start()
            job.started = time.monotonic()
            result = await self._within(limit, function.coroutine(ctx, *job.args, **job.kwargs), execution)
            text = "" if result is None or not worker.log_results else truncate(repr(result))
        except BaseException as error:  # whatever a function raises ends its job, and nothing else
            if execution.left:
                return hand_back(claim)
            settlement = self._failed(job, function, execution, error)
        else:
            if execution.left:
                return hand_back(claim)
            logger.info("%6.2fs ← %s ● %s", job.seconds, job.ref, text)
            worker.jobs_complete += 1
            settlement = self._finish(job, function, True, result)
        finally:
            execution.leave()
        if worker.on_job_end:
            await self._end(ctx, limit, execution, settlement)
        return settlement._replace(context=ctx) if worker.after_job_end else settlement

    async def _within(self, limit: float | None, work: Awaitable[Any], execution: Execution) -> Any:
        """Await a function, or the hook before it, for `limit` seconds at most. Raises what it raises, TimeoutError."""
        if limit:
            execution.limit(limit)
        try:
            return await work
        except asyncio.CancelledError:
            if execution.cause is Cause.TIMEOUT:
                raise TimeoutError from None
            raise

    async def _end(
        self, ctx: dict[Any, Any], limit: float | None, execution: Execution, settlement: Settlement
    ) -> None:
        """Run arq's `on_job_end`, which keeps the slot for `limit` seconds at most, and less when told to stop."""
        execution.close = lambda: settlement
        hook = self._hook("on_job_end", self._worker.on_job_end, ctx)
        if execution.cause is not None:
            # Its function was interrupted by then, and the hook is not: it has time to clean up.
            async with asyncio.timeout(PATIENCE):
                await hook
            return
        execution.enter()
        try:
            await self._within(limit, hook, execution)
        finally:
            execution.leave()

    async def _hook(self, name: str, hook: Any, ctx: dict[Any, Any]) -> None:
        try:
            await hook(ctx)
        except BaseException:
            logger.exception("%s failed; the job's outcome stands", name)

    # After it has run

    def _failed(
        self, job: ArqJob, function: Function | CronJob, execution: Execution, error: BaseException
    ) -> Settlement:
        worker = self._worker
        cancelled = isinstance(error, asyncio.CancelledError)
        if worker.retry_jobs and isinstance(error, Retry):
            logger.info(
                "%6.2fs ↻ %s retrying job in %0.2fs", job.seconds, job.ref, (error.defer_score or 0) / 1000
            )
            worker.jobs_retried += 1
            return self._again(job, error.defer_score / 1000 if error.defer_score else None)
        if cancelled and execution.cause is Cause.CANCEL:
            logger.info("%6.2fs ⊘ %s aborted", job.seconds, job.ref)
        elif worker.retry_jobs and (cancelled or isinstance(error, RetryJob)):
            logger.info("%6.2fs ↻ %s cancelled, will be run again", job.seconds, job.ref)
            worker.jobs_retried += 1
            return self._again(job, None)
        else:
            self._log_failure(job, error)
        worker.jobs_failed += 1
        return self._finish(job, function, False, error)

    def _close(self, job: ArqJob, function: Function | CronJob, execution: Execution) -> Settlement:
        """Return the settlement of a job whose function ignores that it was stopped."""
        timed_out = execution.cause is Cause.TIMEOUT
        return self._failed(
            job, function, execution, TimeoutError() if timed_out else asyncio.CancelledError()
        )

    def _log_failure(self, job: ArqJob, error: BaseException) -> None:
        extra = getattr(error, "extra", None)
        if callable(extra):
            try:
                extra = extra()
            except BaseException as raised:
                extra = f"extra() raised {type(raised).__name__}"
        logger.error(
            "%6.2fs ! %s failed, %s: %s",
            job.seconds,
            job.ref,
            type(error).__name__,
            error,
            exc_info=error,
            extra={"extra": extra},
        )

    def _again(self, job: ArqJob, delay: float | None) -> Settlement:
        return Settlement.again(job.claim, delay, Told(attempt=job.attempt))

    def _finish(
        self, job: ArqJob, function: Function | CronJob | None, success: bool, result: Any
    ) -> Settlement:
        worker = self._worker
        for_ever, seconds = worker.keep_result_forever, worker.keep_result_s or 0
        if function is not None and function.keep_result_forever is not None:
            for_ever = function.keep_result_forever
        if function is not None and function.keep_result_s is not None:
            seconds = function.keep_result_s
        record = None
        if for_ever or seconds > 0:
            record = job.record(success, result, worker.queue_name, worker.job_serializer)
        mirror = keep_cronjob_progress * 1000 if isinstance(function, CronJob) else 0
        return Settlement.finished(
            job.claim,
            Told(record=record or b"", record_ms=0 if for_ever else round(seconds * 1000)),
            mirror_ms=mirror,
        )
