"""A claim while it runs: what may stop it, and why it was stopped."""

import asyncio
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import Context, ContextVar
from functools import cached_property
from traceback import FrameSummary
from typing import Any, Protocol

from rota.model.outcome import Cause
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.wire.claims import Checkpoint, Claim, Settlement, SettlementKind
from rota.wire.log.pieces import NOTHING_NEW

#: How long a handler that was told to stop may take to clean up before it is interrupted again, in seconds.
PATIENCE = 5.0
#: How long a handler may take to end that was interrupted again, before it is left behind, in seconds.
LAST_CHANCE = 0.4


class Log(Protocol):
    """The log of one attempt: what its handler logs, and what of it Redis has yet to be told."""

    def add(self, line: bytes, /) -> None:
        """Add a line, as JSON; several threads may."""

    def unwritten(self) -> bytes:
        """Return what Redis has yet to be told, as the scripts take it; empty for nothing."""

    def answered(self, is_written: bool, /) -> None:
        """Take note whether Redis has what `unwritten` returned last. Without an answer it may have it or not."""

    def close(self) -> bytes:
        """Take no more lines, and return what the settlement is to tell Redis."""


class Deadlines:
    """The one timer behind the timeouts of all that runs in an engine.

    It is set to the earliest deadline that was noted, `next`. A handler that ends before its own has nothing to take
    back: when the timer goes off, it looks at what runs then. Setting and cancelling a timer for each handler took a
    twelfth of a busy worker's time.

    :param running: the executions under way.
    """

    #: Event loops round the times of timers, in seconds: one that goes off by so much too early is in time.
    ROUNDED = 0.001

    def __init__(self, running: Mapping[str, "Execution"], clock: Clock = SYSTEM_CLOCK) -> None:
        self._running = running
        self._now = clock.monotonic
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.next = math.inf

    def close(self) -> None:
        """Take the timer back: from now on no handler is stopped by it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.next = None, math.inf

    def set(self, deadline: float) -> None:
        """Set the timer to a deadline, which is the next of all; without bound, to none."""
        self.close()
        if deadline < math.inf:
            self.next = deadline
            # In a context of its own: that of the handler's task would be kept with all that is in it.
            delay = max(0.0, deadline - self._now())
            self._timer = self._loop.call_later(delay, self._look, context=Context())

    def _look(self) -> None:
        now = self._now() + self.ROUNDED
        going_on = [one for one in self._running.values() if one.live and one.cause is None]
        self.set(min((one.deadline for one in going_on if one.deadline > now), default=math.inf))
        for execution in going_on:
            if execution.deadline <= now:
                execution.stop(Cause.TIMEOUT)


class Execution:
    """One running attempt, as the engine and the contract share it.

    The first cause wins, and is set before the handler is interrupted, so that the contract reads why the attempt
    ended instead of guessing from an exception. Only the handler is interrupted, between `enter` and `leave`: what is
    done before and after it, for the record, runs to its end. How to interrupt depends on the handler: a task is
    cancelled; a handler in a thread or a process sets `interrupt`.

    `close` is set once the handler runs: it returns the settlement of the attempt without waiting for the handler.
    `left` says that the attempt was settled in this way.

    `deadline` is when a handler is stopped that still runs then, by a monotonic clock; one in an engine shares the
    timer of its `deadlines`, one alone has its own.

    `elsewhere` returns the stack of a handler that runs in another process. It is there while one does.

    `checkpoint` is what the handler saved last, in this attempt or in an earlier one. `log` is what it has logged, None
    while that is nothing; `keeps_log` says whether it is kept.
    """

    # What holds of most executions for as long as they last is not set in each.

    cause: Cause | None = None
    live = False
    left = False
    task: asyncio.Task[Any] | None = None
    close: Callable[[], Settlement] | None = None
    interrupt: Callable[[], object] | None = None
    elsewhere: Callable[[], list[FrameSummary]] | None = None
    deadline = math.inf
    keeps_log = False
    log: Log | None = None
    checkpoint = Checkpoint()
    _written = 0
    _timer: asyncio.TimerHandle | None = None
    _stopped_at = 0.0
    _told_at = 0.0
    _cancels = 0

    def __init__(self, claim: Claim, clock: Clock = SYSTEM_CLOCK, deadlines: Deadlines | None = None) -> None:
        self.claim = claim
        self._now = clock.monotonic
        self.began = self._now()
        self._deadlines = deadlines
        if claim.checkpoint is not None:
            self.checkpoint = Checkpoint.read(claim.checkpoint)
            self._written = self.checkpoint.number

    def stop(self, cause: Cause) -> None:
        """Tell the attempt to end, for `cause`."""
        if self.cause is None:
            self.cause = cause
            self._stopped_at = self._told_at = self._now()
            if self.live:
                self._interrupt()

    def insist(self) -> None:
        """Interrupt again a handler that was told to stop PATIENCE seconds ago and goes on.

        The handler may have swallowed the first cancellation unknowingly, as Python 3.11's `wait_for` does. Between two
        interruptions it has time to clean up.
        """
        if self.live and self.cause is not None and self._now() - self._stopped_at >= PATIENCE:
            self._stopped_at = self._now()
            self._interrupt()

    @cached_property
    def threads(self) -> set[Future[Any]]:
        """The work of asyncio's own threads for the handler. Few handlers have any."""
        return set()

    @property
    def age(self) -> float:
        """The time since the attempt began, in seconds."""
        return self._now() - self.began

    @property
    def patience(self) -> float:
        """How long the handler may still take, in seconds; without bound, if it was not told to stop."""
        return math.inf if self.cause is None else self._told_at + PATIENCE - self._now()

    @property
    def is_overdue(self) -> bool:
        """Whether the handler was told to stop, and again, and goes on."""
        return self.live and self.patience <= -LAST_CHANCE

    def enter(self) -> None:
        """Let the handler be interrupted from now on. Raises CancelledError if the attempt was stopped already."""
        if self.cause is not None:
            raise asyncio.CancelledError
        self.live = True

    def limit(self, seconds: float) -> None:
        """Let the handler run for this long from now on, in seconds."""
        if self._deadlines is not None:
            self.deadline = deadline = self._now() + seconds
            if deadline < self._deadlines.next:
                self._deadlines.set(deadline)
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.stop, Cause.TIMEOUT)

    def leave(self) -> None:
        """Interrupt no longer: the handler has ended. Cancellations meant for it do not reach what follows."""
        self.live = False
        if self._timer is not None:
            self._timer.cancel()
        while self._cancels and self.task is not None:
            self._cancels -= 1
            self.task.uncancel()

    def _interrupt(self) -> None:
        (self.interrupt or self.cancel_task)()

    def cancel_task(self) -> None:
        """Interrupt the handler in the ordinary way, by cancelling the task that runs it."""
        if self.task is not None:
            self._cancels += 1
            self.task.cancel()

    # What the handler saves

    def keep(self, state: bytes) -> None:
        """Save `state` (JSON), to which the handler has come. May be called from the handler's thread."""
        self.checkpoint = Checkpoint(self.checkpoint.number + 1, state)

    @property
    def unwritten(self) -> Checkpoint | None:
        """The checkpoint that the handler saved last; None if Redis has it already."""
        return self.checkpoint if self.checkpoint.number > self._written else None

    def wrote(self, checkpoint: Checkpoint) -> None:
        """Take note that `checkpoint` is in Redis."""
        self._written = max(self._written, checkpoint.number)

    def closed_by(self, settlement: Settlement) -> Settlement:
        """Return `settlement` with what is not written yet: the log, and the checkpoint if the job has not finished."""
        if self.log is not None:
            settlement = settlement._replace(log=self.log.close())
        elif self.keeps_log and (self.claim.attempt > 1 or self.claim.snoozes or self.claim.lost):
            # An earlier attempt may have logged something, which is to expire with the record.
            settlement = settlement._replace(log=NOTHING_NEW)
        if self.checkpoint.number <= self._written or settlement.kind is SettlementKind.FINISHED:
            return settlement
        return settlement._replace(checkpoint=self.checkpoint.wire())


#: The execution whose handler runs in this context.
CURRENT: ContextVar[Execution | None] = ContextVar("execution", default=None)
