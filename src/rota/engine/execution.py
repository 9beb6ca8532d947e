"""A claim while it runs: what may stop it, and why it was stopped."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from rota.model.outcome import Cause
from rota.wire.claims import Checkpoint, Claim, Settlement, SettlementKind

#: What a handler that was told to stop has to clean up, seconds.
PATIENCE = 5.0


class Execution:
    """One running attempt, as the engine and the contract share it.

    The first cause wins, and is set before anything is interrupted, so that whoever judges the attempt reads why it
    ended instead of guessing from an exception. Only the handler is interrupted, between `enter` and `leave`: what
    is done before and after it, for the record, runs to its end. How to interrupt depends on the handler: a task is
    cancelled; a handler in a thread or a process replaces `interrupt`.

    `checkpoint` is what the handler saved last, or an attempt before it.
    """

    __slots__ = (
        "_cancels",
        "_stopped_at",
        "_written",
        "cause",
        "checkpoint",
        "claim",
        "interrupt",
        "live",
        "task",
    )

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.cause: Cause | None = None
        self.live = False
        self.task: asyncio.Task[Any] | None = None
        self.interrupt: Callable[[], object] = self.cancel_task
        self.checkpoint = Checkpoint.read(claim.checkpoint)
        self._written = self.checkpoint.number
        self._stopped_at = 0.0
        self._cancels = 0

    def stop(self, cause: Cause) -> None:
        """Tell the attempt to end, for `cause`."""
        if self.cause is None:
            self.cause = cause
            self._stopped_at = time.monotonic()
            if self.live:
                self.interrupt()

    def insist(self) -> None:
        """Interrupt again a handler that was told to stop and goes on.

        It may have swallowed the first cancellation without knowing: Python 3.11's `wait_for` does. In between it has
        time to clean up.
        """
        if self.live and self.cause is not None and time.monotonic() - self._stopped_at >= PATIENCE:
            self._stopped_at = time.monotonic()
            self.interrupt()

    def enter(self) -> None:
        """The handler starts. Raises CancelledError if the attempt was stopped before it could."""
        if self.cause is not None:
            raise asyncio.CancelledError
        self.live = True

    def leave(self) -> None:
        """The handler has ended, however it did. What runs after it is not cancelled by what was meant for it."""
        self.live = False
        while self.task is not None and self._cancels:
            self._cancels -= 1
            self.task.uncancel()

    def cancel_task(self) -> None:
        """The ordinary way: cancel the task that runs the handler."""
        if self.task is not None:
            self._cancels += 1
            self.task.cancel()

    # What the handler saves

    def keep(self, state: bytes) -> None:
        """The handler has come to `state` (JSON). May be called from its thread."""
        self.checkpoint = Checkpoint(self.checkpoint.number + 1, state)

    @property
    def unwritten(self) -> Checkpoint | None:
        """What the handler saved last, unless Redis has it."""
        return self.checkpoint if self.checkpoint.number > self._written else None

    def wrote(self, checkpoint: Checkpoint) -> None:
        """Redis has `checkpoint`."""
        self._written = max(self._written, checkpoint.number)

    def closed_by(self, settlement: Settlement) -> Settlement:
        """`settlement`, with what the handler saved last: it rides in the same step, or nobody needs it."""
        unwritten = self.unwritten
        if unwritten is None or settlement.kind is SettlementKind.FINISHED:
            return settlement
        return settlement._replace(checkpoint=unwritten.wire())
