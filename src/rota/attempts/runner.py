"""The runner: takes one attempt from the claim to its settlement.

`Runner.execute` is the whole of it: open the payload, look up the job, fetch its input, check its limits, call the
handler, encode the result, decide the outcome, settle. The steps stand below it in the same order.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import compress
from typing import Any

from rota.attempts.announcer import Announcer
from rota.attempts.attempt import Attempt, Handler, override
from rota.attempts.parts import QueuePolicy, Resources, Stacks
from rota.attempts.refusals import Refusals
from rota.attempts.settling import Settling
from rota.attempts.strangers import Strangers
from rota.engine.execution import Execution
from rota.errors import (
    Cancel,
    InvalidPayload,
    JobExpired,
    JobLost,
    RefusedPayload,
    ResultTooLarge,
    Signal,
    UnknownJob,
    UnreadablePayload,
)
from rota.model.event import EventType
from rota.model.job import Job
from rota.model.outcome import COMPLETED, Cause, decide, decide_unstarted
from rota.model.policies.terms import is_limited, tenant_in, terms_of
from rota.model.run import Run, RunFacts
from rota.model.trace import tenant_of
from rota.names import full_name, printable
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.seams import Audience, CallNext, compose, switched_on
from rota.wire import envelopes
from rota.wire.claims import Claim, Settlement, Told, hand_back
from rota.wire.envelopes import FROM_FLOW, SWEEP
from rota.wire.sealing.sealed import unseal_job

logger = logging.getLogger("rota.worker")


# As `RunFacts._make`, which calls it through two functions more.
_facts = partial(tuple.__new__, RunFacts)


class _HandedBack(Exception):
    """Raised by a step that sends the job back to wait, unspent; `settlement` says for what."""

    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement


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
        self._strangers = Strangers(policy.queue, handlers, clock.monotonic)
        self._refusals = Refusals(policy.queue, clock.monotonic)

    async def execute(self, execution: Execution) -> Settlement:
        """Run one claim to its end. Whatever goes wrong on the way is an outcome too."""
        claim = execution.claim
        if execution.cause is not None and execution.cause in (Cause.SHUTDOWN, Cause.LEASE_LOST):
            return hand_back(claim)
        if claim.aborted:
            execution.stop(Cause.CANCEL)
        attempt = Attempt(execution, claim, self._now(), claim.attempt, self._policy.keep_result)
        try:
            self._open(attempt)
            self._look_up(attempt)
            if attempt.options and attempt.needs_input:
                await self._fetch(attempt)
            if attempt.handler.is_limited:
                self._check_limits(attempt)
            await self._call(attempt)
        except _HandedBack as back:
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
        return self._strangers.names()

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

    # Open

    def _open(self, attempt: Attempt) -> None:
        """Check the seal, and read the envelope. Raises JobExpired, UnreadablePayload, JobLost."""
        claim = attempt.claim
        # Where the job ends before its rules are known, the log of its earlier attempts goes with its record too.
        attempt.execution.keeps_log = True
        if claim.payload is None:
            raise JobExpired
        try:
            attempt.payload = claim.payload if self._sealer is None else self._unseal(claim, claim.payload)
            attempt.envelope = envelope = envelopes.open_job(attempt.payload)
            attempt.task, attempt.options, attempt.headers = envelope.name, envelope.options, envelope.headers
            if self._sealer is not None:
                self._check_tenant(attempt)
        except RefusedPayload as error:
            self._refuse(attempt, error)
            raise
        if envelope.tries is not None:
            attempt.number = max(claim.attempt, envelope.tries)
        if claim.recovered:
            self._tell_recovered(attempt)
        if claim.lost and claim.lost >= self._policy.max_lost:
            raise JobLost(claim.lost)

    def _unseal(self, claim: Claim, payload: bytes) -> bytes:
        """Return a payload without its seal. Raises RefusedPayload."""
        return unseal_job(self._sealer, payload, queue=self._policy.queue, job_id=claim.id)

    def _check_tenant(self, attempt: Attempt) -> None:
        """Raise RefusedPayload where the scripts take a job for another tenant's than its signed headers say."""
        if attempt.task == SWEEP:  # made by a script, which signs nothing, and about no tenant's data
            return
        if tenant_of(attempt.headers) != tenant_in(attempt.claim.terms):
            raise RefusedPayload("bad_signature")

    def _refuse(self, attempt: Attempt, error: RefusedPayload) -> None:
        """Log why a job is not opened; hand it back while another worker may have the key that this one lacks."""
        claim = attempt.claim
        if error.needs_key and self._is_in_grace(attempt):
            self._refusals.tell_sealed(claim, error)
            raise _HandedBack(self._to_others(claim, Told()))
        if not attempt.is_cancelled:
            self._refusals.tell_refused(claim, error)

    def _tell_recovered(self, attempt: Attempt) -> None:
        """Log that a job comes from a worker that was lost, which cannot say so itself."""
        claim = attempt.claim
        fields = {
            "job": full_name(self._policy.queue, attempt.task),
            "job_id": printable(claim.id),
            "worker": claim.lost_by,
            "lost": claim.lost,
        }
        logger.warning("job.recovered", extra=fields)

    # Look up

    def _look_up(self, attempt: Attempt) -> None:
        """Find the job and its rules. Raises UnknownJob after the grace, UnreadablePayload for impossible options."""
        home = attempt.home if attempt.options else None
        name = full_name(home, attempt.task) if home else attempt.task
        handler = self._handlers.get(name)
        if handler is None:
            self._leave_to_others(attempt)
            raise UnknownJob(name, self._handlers)
        attempt.handler, rules = handler, handler.rules
        attempt.job = job = handler.job
        if job.aliases and attempt.task in job.aliases:
            attempt.task = job.name
        attempt.rules = rules = override(rules, attempt.options) if attempt.options else rules
        attempt.keep_result = rules.keep_result
        attempt.execution.keeps_log = rules.keep_log

    def _leave_to_others(self, attempt: Attempt, error: str = "") -> None:
        """Hand back a job that a newer worker may know, while its grace lasts.

        `error` says what of it this worker does not know, if that is not its name.
        """
        if self._is_in_grace(attempt):
            self._strangers.tell(attempt.claim.id, attempt.task, error)
            raise _HandedBack(self._to_others(attempt.claim, Told(task=attempt.task)))

    def _is_in_grace(self, attempt: Attempt) -> bool:
        """Tell whether a job that this worker cannot run may wait still for one that can."""
        claim = attempt.claim
        unknown_ms = claim.started_ms - (claim.unknown_since_ms or claim.started_ms)
        return not attempt.is_cancelled and unknown_ms <= self._policy.unknown_grace * 1000

    def _to_others(self, claim: Claim, told: Told) -> Settlement:
        delay = self._policy.unknown_delay
        return Settlement.again(claim, delay, told, unspent=True, unknown=True)

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
            raise _HandedBack(Settlement.again(attempt.claim, None, unspent=True, terms=terms))

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
        except _HandedBack:
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
                self._leave_to_others(attempt, str(error))
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
