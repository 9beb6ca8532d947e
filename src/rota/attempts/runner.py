"""The runner: takes one attempt from the claim to its settlement.

`Runner.execute` is the whole of it: open the payload, look up the job, fetch its input, check its limits, call the
handler, encode the result, decide the outcome, settle. The steps stand below it in the same order, but for the
first two, which are in `opening`.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import compress
from typing import Any

from rota.attempts.announcer import Announcer
from rota.attempts.attempt import Attempt, Handler
from rota.attempts.opening import HandedBack, Opening
from rota.attempts.parts import QueuePolicy, Resources, Stacks
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
from rota.model.event import EventType
from rota.model.job import Job
from rota.model.outcome import COMPLETED, Cause, decide, decide_unstarted
from rota.model.policies.terms import is_limited, terms_of
from rota.model.run import Run, RunFacts
from rota.names import full_name, printable
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.seams import Audience, CallNext, compose, switched_on
from rota.wire import envelopes
from rota.wire.claims import Claim, Settlement, hand_back
from rota.wire.envelopes import FROM_FLOW

logger = logging.getLogger("rota.worker")


# As `RunFacts._make`, which calls it through two functions more.
_facts = partial(tuple.__new__, RunFacts)


class Runner:
    """Runs the jobs of one queue: the service's `Contract` with the engine.

    :param policy: the queue's names, and what it allows of its jobs.
    :param handlers: the queue's jobs with their rules, by short name.
    :param resources: what the worker gives to its jobs.
    :param stacks: tracers, middleware and subscribers.
    :param clock: measures how long attempts take.
    :param rand: draws the jitter of back-offs, from 0 to 1.
    """

    def __init__(
        self,
        policy: QueuePolicy,
        handlers: Mapping[str, Handler],
        resources: Resources,
        stacks: Stacks,
        *,
        clock: Clock = SYSTEM_CLOCK,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._handlers = handlers
        self._resources = resources
        self._entries = stacks.entries
        self._tracers = switched_on(stacks.tracers)
        self._middleware = switched_on(stacks.middleware)
        self._announcer = Announcer(policy.queue, Audience(stacks.subscribers), clock)
        self._sealer = policy.sealer
        self._settling = Settling(policy.queue, policy.queue_key, self._announcer, clock, policy.sealer)
        self._now = clock.monotonic
        self._rand = rand
        self._opening = Opening(policy, handlers, clock)

    async def execute(self, execution: Execution) -> Settlement:
        """Run one claim to its end. Whatever goes wrong on the way is an outcome too."""
        claim = execution.claim
        if execution.cause is not None and execution.cause in (Cause.SHUTDOWN, Cause.LEASE_LOST):
            return hand_back(claim)
        if claim.aborted:
            execution.stop(Cause.CANCEL)
        attempt = Attempt(execution, claim, self._now(), claim.attempt, self._policy.keep_result)
        try:
            self._opening.open(attempt)
            self._opening.look_up(attempt)
            if attempt.options and attempt.needs_input:
                await self._fetch(attempt)
            if attempt.handler.is_limited:
                self._check_limits(attempt)
            await self._call(attempt)
        except HandedBack as back:
            return back.settlement
        except (JobExpired, JobLost, UnknownJob, UnreadablePayload) as error:
            return self._settling.settle(attempt, decide_unstarted(error, execution.cause))
        except Signal as signal:  # what the fetch raised
            attempt.error = signal
        return hand_back(claim) if execution.left else self._close(attempt)

    # The rest of the contract

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Do nothing: what there is to note of a claim is noted when it runs."""

    def strangers(self) -> Collection[str]:
        """Return the names of jobs that this worker has lately found not to know."""
        return self._opening.strangers.names()

    def settled(self, settlements: Sequence[Settlement], counted: Sequence[bool]) -> None:
        """Tell the subscribers of the ends of attempts whose settlements counted; log those stopped as lost."""
        self._announcer.settled(compress(settlements, counted))
        if all(counted):
            return
        for settlement, counts in zip(settlements, counted, strict=True):
            if not counts and settlement.event == EventType.LOST:
                job, job_id = full_name(self._policy.queue, settlement.task), printable(settlement.id)
                fields = {"job": job, "job_id": job_id, "attempt": settlement.attempt}
                logger.warning("job.lost", extra=fields)

    def reported(self, claim: Claim, task: str, percent: float, message: str) -> None:
        """Tell the subscribers that a running job's progress was written."""
        self._announcer.progressed(claim, task, percent, message)

    async def finished(self) -> None:
        """Return at once: subscribers leave no work behind."""

    # Fetch

    async def _fetch(self, attempt: Attempt) -> None:
        """Get what the job's flow gives to it. Raises signals: they end the attempt as the handler's own do."""
        if attempt.is_cancelled:
            return
        inputs, job_id = self._resources.inputs, attempt.claim.id
        if inputs is None or attempt.envelope is None:
            raise Cancel("it is part of a pipeline or a batch, and this worker serves none")
        if FROM_FLOW in attempt.options:
            attempt.given = await inputs.input(job_id)
        else:
            attempt.batch = await inputs.batch(job_id)

    # Check the limits

    def _check_limits(self, attempt: Attempt) -> None:
        """Hand back a limited job that was enqueued without its terms, by a stock client or by name alone.

        It goes back to wait in the line of its limit, with the terms.
        """
        job, known = attempt.job, attempt.claim.terms
        if is_limited(known) or attempt.is_cancelled:
            return
        try:
            raw = job.payload.bind(kwargs=self._arguments(attempt))
            queue, namespace = self._policy.queue, self._policy.namespace
            terms = terms_of(job, queue, raw, namespace=namespace, priority=0, home=attempt.home)
        except (InvalidPayload, UnreadablePayload):
            return  # The call fails of the same, and the job dies with that error.
        if terms:
            terms = f"{known} {terms}".strip()
            raise HandedBack(Settlement.again(attempt.claim, None, unspent=True, terms=terms))

    # Call

    async def _call(self, attempt: Attempt) -> None:
        """Run the handler within the middleware and the tracers. Leaves its result or its error on the attempt."""
        execution, timeout = attempt.execution, attempt.rules.timeout
        try:
            call, run = self._prepare(attempt), self._run(attempt)
            execution.enter()
            execution.close = partial(self._close, attempt)
            self._announcer.started(attempt, run.facts.waited)
            if timeout:
                execution.limit(timeout)
            for enter in self._entries:
                enter(run)
            if self._tracers:
                encoded = partial(self._call_encoded, attempt, call)
                attempt.result = await compose(self._tracers, encoded)(run)
            else:
                attempt.result = self._encoded(attempt.job, await call(run))
        except HandedBack:
            raise
        except BaseException as error:  # whatever a handler raises ends its attempt, and nothing else
            attempt.error = error
        finally:
            execution.leave()

    def _prepare(self, attempt: Attempt) -> CallNext:
        """Return the call that goes through the middleware to the handler, with its arguments."""
        try:
            arguments = self._arguments(attempt)
        except InvalidPayload as error:
            if attempt.job.payload.lacks(error):
                self._opening.leave_to_others(attempt, str(error))
            raise
        job = attempt.job
        handler: CallNext
        if job.kind == "async":
            handler = partial(job.handler, **arguments)
        else:
            handler = partial(self._off_loop, attempt, arguments)
        return compose(self._middleware, handler) if self._middleware else handler

    def _off_loop(self, attempt: Attempt, arguments: dict[str, Any], run: Run) -> Awaitable[Any]:
        return self._resources.off_loop(attempt.execution, run, attempt.job, arguments)

    def _arguments(self, attempt: Attempt) -> dict[str, Any]:
        """Return the handler's arguments. Raises InvalidPayload, UnreadablePayload."""
        payload, envelope = attempt.job.payload, attempt.envelope
        if attempt.given is not None:
            return payload.parse_given(attempt.given)
        if envelope is not None and envelope.raw_kwargs is not None:
            try:
                return payload.parse_raw(envelope.raw_kwargs)
            except InvalidPayload:
                # Are the arguments wrong, or is this not JSON at all? Then the record must not repeat it.
                attempt.envelope = None
        attempt.envelope = envelope = attempt.envelope or envelopes.decode_job(attempt.payload)
        return payload.parse(envelope.args, envelope.kwargs)

    def _run(self, attempt: Attempt) -> Run:
        claim, policy, execution = attempt.claim, self._policy, attempt.execution
        envelope = attempt.envelope
        facts = (
            claim.id,
            attempt.job.name,
            policy.queue,
            attempt.number,
            attempt.rules.max_attempts,
            0 if envelope is None else envelope.enqueued_ms,
            attempt.headers,
            claim.snoozes,
            attempt.waited,
            None if claim.checkpoint is None else self._last_checkpoint(execution),
            policy.payload_limit,
        )
        return Run(
            _facts(facts),
            deps=self._resources.deps,
            batch=attempt.batch,
            payload=attempt.payload,
            report=partial(self._resources.report, claim, attempt.job.name),
            keep=execution.keep,
            stopped_by=lambda: execution.cause,
            clients=self._resources.clients(),
        )

    def _last_checkpoint(self, execution: Execution) -> Any:
        try:
            return execution.checkpoint.value
        except ValueError as error:
            job_id = printable(execution.claim.id)
            fields = {"job_id": job_id, "queue": self._policy.queue, "error": str(error)}
            logger.warning("checkpoint.unreadable", extra=fields)
            return None

    # Encode

    async def _call_encoded(self, attempt: Attempt, call: CallNext, run: Run) -> bytes:
        """Return the result of `call` as JSON. Raises what the handler raises, InvalidResult, ResultTooLarge."""
        return self._encoded(attempt.job, await call(run))

    def _encoded(self, job: Job[Any, Any], value: Any) -> bytes:
        """Return a result as JSON. Raises InvalidResult, ResultTooLarge."""
        limit = self._policy.result_limit
        # A child process has encoded its result already, unless a middleware has put another one in its place.
        encoded = job.kind == "process" and isinstance(value, bytes)
        result: bytes = value if encoded else job.result.dump(value)
        if len(result) > limit:
            raise ResultTooLarge(full_name(self._policy.queue, job.name), len(result), limit)
        return result

    # Decide

    def _close(self, attempt: Attempt) -> Settlement:
        """Return the settlement of an attempt as far as it has come."""
        error, cause = attempt.error, attempt.execution.cause
        if error is None and cause is None:
            return self._settling.settle(attempt, COMPLETED)  # most are; `decide` would say the same
        outcome = decide(attempt.rules, attempt.number, error, cause, rand=self._rand)
        return self._settling.settle(attempt, outcome)
