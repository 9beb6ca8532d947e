"""Our job semantics: one attempt, from the bytes that were claimed to the settlement that is sent.

Read, resolve, run, decide, settle. Everything that can go wrong before the handler starts is an outcome too. The
outcome is computed by `outcome.decide`, apart from any I/O.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from rota.attempts.attempt import Attempt, QueuePolicy
from rota.attempts.settling import Settling
from rota.engine.execution import Execution
from rota.errors import (
    Cancel,
    InvalidPayload,
    JobExpired,
    JobLost,
    ResultTooLarge,
    Signal,
    UnknownJob,
    UnreadablePayload,
)
from rota.model.event import Event, EventType
from rota.model.flows.batch import Batch
from rota.model.job import Job
from rota.model.options import EnqueueOptions
from rota.model.outcome import Cause, Outcome, Rules, decide
from rota.model.policies.terms import is_limited, terms_of
from rota.model.run import Run
from rota.model.state import OutcomeKind
from rota.names import full_name, printable
from rota.seams import Audience, CallNext, Middleware, Subscriber, compose, count, switched_on, tell
from rota.wire import envelopes
from rota.wire.claims import Claim, Settlement, hand_back
from rota.wire.envelopes import FROM_FLOW

logger = logging.getLogger("rota.worker")

#: How a plain function is run off the loop: (execution, run, handler, arguments) → what it returned.
InThread = Callable[[Execution, Run, Callable[..., Any], Mapping[str, Any]], Awaitable[Any]]


class Inputs(Protocol):
    """What jobs get that are part of a pipeline, or that a batch calls back. Raises signals."""

    async def input(self, job_id: str) -> bytes:
        """The JSON of what a stage's job gets."""

    async def batch(self, job_id: str) -> Batch:
        """The batch that calls a job back."""


#: The same in a child process, JSON in and out: (execution, run, job, arguments) → result.
InProcess = Callable[[Execution, Run, Job[Any, Any], bytes], Awaitable[bytes]]

_CANCELLED = Outcome(OutcomeKind.CANCELLED, reason="cancelled")


@dataclass(frozen=True, slots=True)
class Handler:
    """A job as this process runs it: its value, its rules, and the way through the middleware to its function."""

    job: Job[Any, Any]
    rules: Rules


class Runner:
    """Runs the jobs of one queue: the service's `Contract`.

    `report` takes a running job's progress: (claim, job's name, percent, message). `middleware` is around the handler;
    `tracers` are around all that can go wrong once it starts, the encoding of its result too.
    """

    def __init__(
        self,
        limits: QueuePolicy,
        handlers: Mapping[str, Handler],
        *,
        deps: Callable[[], Any],
        report: Callable[[Claim, str, float, str], None],
        in_thread: InThread,
        in_process: InProcess,
        inputs: Inputs | None = None,
        tracers: Sequence[Middleware] = (),
        middleware: Sequence[Middleware] = (),
        subscribers: Sequence[Subscriber] = (),
    ) -> None:
        self._limits = limits
        self._handlers = handlers
        self._deps = deps
        self._report = report
        self._in_thread = in_thread
        self._in_process = in_process
        self._inputs = inputs
        self._tracers = switched_on(tracers)
        self._middleware = switched_on(middleware)
        self._audience = Audience(subscribers)
        self._settling = Settling(limits, self._audience)

    # The contract with the engine

    async def execute(self, execution: Execution) -> Settlement:
        """Run one claim to its end, whatever that is."""
        claim = execution.claim
        if execution.cause in (Cause.SHUTDOWN, Cause.LEASE_LOST):
            return hand_back(claim)
        attempt = Attempt(claim, started=time.monotonic(), number=claim.attempt)
        cancelled = claim.aborted or execution.cause is Cause.CANCEL
        try:
            handler = self._read(attempt)
        except (UnreadablePayload, JobExpired, JobLost) as error:
            return self._settling.settle(attempt, _CANCELLED if cancelled else self._hopeless(error), None)
        if handler is None:
            return self._unknown(attempt, cancelled=cancelled)
        rules = handler.rules
        if not cancelled and attempt.is_told:
            try:
                await self._fetch(attempt)
            except Signal as signal:
                return self._settling.settle(
                    attempt, decide(rules, attempt.number, signal, execution.cause), rules
                )
        if not cancelled and (terms := self._missing_terms(attempt, handler.job)):
            return Settlement.again(claim, None, unspent=True, terms=terms)
        outcome, result = await self._attempt(attempt, handler.job, rules, execution)
        return self._settling.settle(attempt, outcome, rules, result)

    def settled(self, settlement: Settlement, counted: bool) -> None:
        """Tell the subscribers, now that it is true."""
        if counted:
            self._settling.settled(settlement)

    async def finished(self) -> None:
        """Subscribers leave nothing behind."""

    def reported(self, claim: Claim, task: str, percent: float, message: str) -> None:
        """A running job's progress was written."""
        listeners, _ = self._audience.of(EventType.PROGRESS, time.monotonic())
        if listeners:
            event = Event(
                EventType.PROGRESS,
                self._limits.queue,
                claim.id,
                task,
                claim.attempt,
                percent=percent,
                message=message,
            )
            tell(listeners, event)

    # Before the handler

    def _read(self, attempt: Attempt) -> Handler | None:
        claim = attempt.claim
        if claim.payload is None:
            raise JobExpired
        attempt.envelope = envelope = envelopes.open_job(claim.payload)
        attempt.number = max(claim.attempt, envelope.tries or 0)
        if claim.lost and claim.lost >= self._limits.max_lost:
            raise JobLost(claim.lost)
        handler = self._handlers.get(envelope.name)
        if handler is not None and envelope.options:
            return replace(handler, rules=override(handler.rules, envelope.options))
        return handler

    async def _fetch(self, attempt: Attempt) -> None:
        if self._inputs is None or attempt.envelope is None:
            raise Cancel("it is part of a pipeline or a batch, and this worker serves none")
        if FROM_FLOW in attempt.envelope.options:
            attempt.given = await self._inputs.input(attempt.claim.id)
        else:
            attempt.batch = await self._inputs.batch(attempt.claim.id)

    def _hopeless(self, error: Exception) -> Outcome:
        match error:
            case JobExpired():
                return Outcome(OutcomeKind.DEAD, error=error, reason="expired")
            case JobLost():
                return Outcome(OutcomeKind.DEAD, error=error, reason="lost")
        return Outcome(OutcomeKind.DEAD, error=error, reason="unreadable")

    def _unknown(self, attempt: Attempt, *, cancelled: bool) -> Settlement:
        """No function of this name here: a newer worker may have it, so the job waits, unspent."""
        claim, limits = attempt.claim, self._limits
        if cancelled:
            return self._settling.settle(attempt, _CANCELLED, None)
        since = claim.unknown_since_ms or claim.started_ms
        if claim.started_ms - since > limits.unknown_grace * 1000:
            error = UnknownJob(attempt.task, self._handlers)
            return self._settling.settle(
                attempt, Outcome(OutcomeKind.DEAD, error=error, reason="unknown"), None
            )
        logger.warning(
            "job.unknown", extra={"job_id": printable(claim.id), "job": attempt.task, "queue": limits.queue}
        )
        return Settlement.again(claim, limits.unknown_delay, unspent=True, unknown=True, task=attempt.task)

    def _missing_terms(self, attempt: Attempt, job: Job[Any, Any]) -> str:
        """What a limited job was enqueued without, by a stock client or by name: it goes back to wait in line."""
        if (job.limit is None and job.concurrency is None) or is_limited(attempt.claim.terms):
            return ""
        if attempt.claim.aborted:
            return ""
        try:
            arguments, _ = self._arguments(attempt, job)
            raw = job.payload.bind(kwargs=arguments)
            terms = terms_of(job, self._limits.queue, raw, namespace=self._limits.namespace, priority=0)
        except (InvalidPayload, UnreadablePayload):
            return ""  # it dies of that, with its own words
        return f"{attempt.claim.terms} {terms}".strip()

    # The handler

    async def _attempt(
        self, attempt: Attempt, job: Job[Any, Any], rules: Rules, execution: Execution
    ) -> tuple[Outcome, bytes]:
        claim, result = attempt.claim, b""
        error: BaseException | None = None
        timer: asyncio.TimerHandle | None = None
        try:
            if claim.aborted:
                execution.stop(Cause.CANCEL)
            run, arguments = self._prepare(attempt, job, rules, execution)
            call = compose(self._tracers, self._encoding(job, self._call(job, arguments, execution)))
            execution.enter()
            self._tell_start(attempt, run.waited)
            if rules.timeout:
                timer = asyncio.get_running_loop().call_later(rules.timeout, execution.stop, Cause.TIMEOUT)
            result = await call(run)
        except (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt) as raised:
            error = raised
        finally:
            execution.leave()
            if timer is not None:
                timer.cancel()
        return decide(rules, attempt.number, error, execution.cause), result

    def _encoding(self, job: Job[Any, Any], handler: CallNext) -> Callable[[Run], Awaitable[bytes]]:
        """Through the middleware to the handler, and what the outermost returned as JSON.

        Raises what they raise, InvalidResult, ResultTooLarge.
        """
        call, limits = compose(self._middleware, handler), self._limits

        async def encoded(run: Run) -> bytes:
            value = await call(run)
            # A child process has encoded it already; a middleware may have put something else in its place.
            done = job.kind == "process" and isinstance(value, bytes)
            result: bytes = value if done else job.result.dump(value)
            if len(result) > limits.result_limit:
                raise ResultTooLarge(full_name(limits.queue, job.name), len(result), limits.result_limit)
            return result

        return encoded

    def _prepare(
        self, attempt: Attempt, job: Job[Any, Any], rules: Rules, execution: Execution
    ) -> tuple[Run, dict[str, Any]]:
        claim = attempt.claim
        arguments, envelope = self._arguments(attempt, job)
        run = Run(
            id=claim.id,
            job=job.name,
            queue=self._limits.queue,
            attempt=attempt.number,
            max_attempts=rules.max_attempts,
            deps=self._deps(),
            enqueued_ms=envelope.enqueued_ms,
            headers=envelope.headers,
            snoozes=claim.snoozes,
            report=partial(self._report, claim, job.name),
            last_checkpoint=self._saved(execution),
            checkpoint_limit=self._limits.payload_limit,
            keep=execution.keep,
            batch=attempt.batch,
            payload=claim.payload or b"",
            waited=attempt.waited,
            stopped_by=lambda: execution.cause,
        )
        return run, arguments

    def _saved(self, execution: Execution) -> Any:
        if execution.claim.checkpoint is None:
            return None
        try:
            return execution.checkpoint.value
        except ValueError as error:
            fields = {
                "job_id": printable(execution.claim.id),
                "queue": self._limits.queue,
                "error": str(error),
            }
            logger.warning("checkpoint.unreadable", extra=fields)
            return None

    def _arguments(self, attempt: Attempt, job: Job[Any, Any]) -> tuple[dict[str, Any], envelopes.Envelope]:
        envelope = attempt.envelope
        if envelope is not None and attempt.given is not None:
            return job.payload.parse_given(attempt.given), envelope
        if envelope is not None and envelope.raw_kwargs is not None:
            try:
                return job.payload.parse_raw(envelope.raw_kwargs), envelope
            except InvalidPayload:
                # Is it the arguments, or was it never JSON? The record must not repeat what nobody can read.
                attempt.envelope = None
        attempt.envelope = envelope = attempt.envelope or envelopes.decode_job(attempt.claim.payload or b"")
        return job.payload.parse(envelope.args, envelope.kwargs), envelope

    def _call(self, job: Job[Any, Any], arguments: dict[str, Any], execution: Execution) -> CallNext:
        if job.kind == "async":
            return lambda run: job.handler(run, **arguments)
        if job.kind == "thread":
            return lambda run: self._in_thread(execution, run, job.handler, arguments)
        return lambda run: self._in_process(execution, run, job, job.payload.bind(kwargs=arguments))

    def _tell_start(self, attempt: Attempt, waited: float) -> None:
        listeners, counts = self._audience.of(EventType.STARTED, attempt.started)
        queue, task = self._limits.queue, attempt.task
        if counts:
            count(counts, queue, task, waited)
        if listeners:
            started = Event(
                EventType.STARTED,
                queue,
                attempt.claim.id,
                task,
                attempt.number,
                waited=waited,
                headers=attempt.headers,
            )
            tell(listeners, started)


def override(rules: Rules, wire: Mapping[str, Any]) -> Rules:
    """`rules`, but for what an enqueue asked for (the options in its envelope). Raises UnreadablePayload."""
    own = EnqueueOptions.from_wire(wire)
    return replace(
        rules,
        max_attempts=rules.max_attempts if own.max_attempts is None else own.max_attempts,
        backoff=own.backoff or rules.backoff,
        timeout=own.timeout or rules.timeout,
        keep_result=rules.keep_result if own.keep_result is None else own.keep_result,
    )
