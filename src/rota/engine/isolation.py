"""Isolation: a job that may be killing its workers runs alone in its process.

Such a suspect was lost so often that it would take its neighbours with it again. The engine that is to run it waits
until nothing runs in the process, in any queue, and nothing else is claimed while the suspect runs. Afterwards the
other jobs have their turn for at least as long as all this took, unless none of them waits: however many suspects there
are, they take at most half of the process' time.
"""

import math
import time
from collections.abc import Callable

from rota.engine.capacity import Access, Ask, Contender
from rota.wire.queue import StepReply


class Isolation:
    """Shared by the engines of one process: at most one of them, the holder, has a suspect or waits for one.

    :param now: a monotonic clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._contenders: list[Contender] = []
        self._holder: Contender | None = None
        self._put_off: Contender | None = None
        self._suspect = ""
        self._since = 0.0
        self._others_until = -math.inf

    def enter(self, contender: Contender) -> None:
        """Count the slots of `contender` from now on."""
        self._contenders.append(contender)

    def leave(self, contender: Contender) -> None:
        """Forget `contender`, which has ended."""
        self._contenders.remove(contender)
        if self._put_off is contender:
            self._put_off = None
        self._give_up(contender)

    def access(self, contender: Contender) -> Access:
        """Tell whether `contender` may claim now."""
        if self._holder is None:
            return Access.SHARED
        if self._holder is not contender:
            return Access.CLOSED
        return Access.ALONE if self._is_empty() else Access.WAITING

    def ask(self, contender: Contender) -> None:
        """Isolate `contender`, unless another engine is isolated, or it is the turn of the other jobs."""
        if self._holder is not None:
            return
        if self._now() < self._others_until and not self._is_idle():
            self._put_off = contender
            return
        self._holder, self._put_off, self._since = contender, None, self._now()
        contender.look()

    def answered(self, contender: Contender, ask: Ask, reply: StepReply) -> None:
        """Take note of what a step of `contender` brought: its suspect, none, or the request to make room for one."""
        if self._holder is None and not reply.make_room:
            return
        if ask.alone and contender.taken:
            self._suspect = reply.claims[0].token
        elif ask.alone:
            self._give_up(contender)
        elif reply.make_room:
            self.ask(contender)
        # The slots that the step had asked for may have been the last that were taken.
        self._look_if_empty()

    def ended(self, token: str) -> None:
        """Take note that the job with the claim `token` has ended, in any engine of the process."""
        if self._put_off is not None and self._is_empty():
            put_off, self._put_off = self._put_off, None
            put_off.look()
        if self._holder is None:
            return
        if token == self._suspect:
            self._give_up(self._holder)
        self._look_if_empty()

    def _give_up(self, contender: Contender) -> None:
        if self._holder is contender:
            self._holder, self._suspect = None, ""
            now = self._now()
            self._others_until = now + (now - self._since)
            for other in self._contenders:
                other.look()

    def _look_if_empty(self) -> None:
        if self._holder is not None and self._is_empty():
            self._holder.look()

    def _is_idle(self) -> bool:
        return not any(contender.taken or contender.wants_slot for contender in self._contenders)

    def _is_empty(self) -> bool:
        return not any(contender.taken for contender in self._contenders)
