"""Isolation: a job that may be killing its workers runs alone in its process.

Such a suspect was lost so often that it would take its neighbours with it again. The engine that is to run it waits
until nothing runs in the process, in any queue, and nothing else is claimed while the suspect runs.
"""

from rota.engine.capacity import Access, Ask, Contender
from rota.wire.queue import StepReply


class Isolation:
    """Shared by the engines of one process: at most one of them, the holder, has a suspect or waits for one."""

    def __init__(self) -> None:
        self._contenders: list[Contender] = []
        self._holder: Contender | None = None
        self._suspect = ""

    def enter(self, contender: Contender) -> None:
        """Count the slots of `contender` from now on."""
        self._contenders.append(contender)

    def leave(self, contender: Contender) -> None:
        """Forget `contender`, which has ended."""
        self._contenders.remove(contender)
        self._give_up(contender)

    def access(self, contender: Contender) -> Access:
        """Tell whether `contender` may claim now."""
        if self._holder is None:
            return Access.SHARED
        if self._holder is not contender:
            return Access.CLOSED
        return Access.ALONE if self._is_empty() else Access.WAITING

    def ask(self, contender: Contender) -> None:
        """Isolate `contender`; does nothing while another engine is isolated."""
        if self._holder is None:
            self._holder = contender
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
        if self._holder is None:
            return
        if token == self._suspect:
            self._give_up(self._holder)
        self._look_if_empty()

    def _give_up(self, contender: Contender) -> None:
        if self._holder is contender:
            self._holder, self._suspect = None, ""
            for other in self._contenders:
                other.look()

    def _look_if_empty(self) -> None:
        if self._holder is not None and self._is_empty():
            self._holder.look()

    def _is_empty(self) -> bool:
        return not any(contender.taken for contender in self._contenders)
