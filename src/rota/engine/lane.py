"""A lane: one step in flight at a time, numbered, and sent again until its reply arrives."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from redis.exceptions import ResponseError

from rota.engine.link import QueueLink
from rota.server.outage import FAULTS
from rota.wire.claims import Settlement, hand_back
from rota.wire.queue import StepReply


class Lane:
    """Steps of one worker, in order.

    After a fault the same step goes out under the same number: settlements count once by their tokens, and the claims
    that the lost reply carried come back by the number. A straggler of an older number claims nothing.
    """

    def __init__(self, link: QueueLink, number: int) -> None:
        self._scripts = link.scripts
        self._redis = link.redis
        self._outage = link.outage
        self._number = number
        self._seq = 0
        self._refused = False

    async def step(
        self,
        settlements: Sequence[Settlement],
        want: int,
        *,
        alone: bool = False,
        strangers: Collection[str] = (),
    ) -> StepReply:
        """Settle `settlements` and claim up to `want` jobs; returns when Redis has answered, however long it takes."""
        if not self._refused:
            self._seq += 1
        resend = False
        while True:
            try:
                reply = await self._scripts.step(
                    self._redis,
                    lane=self._number,
                    seq=self._seq,
                    want=want,
                    settlements=settlements,
                    resend=resend,
                    refused=self._refused,
                    alone=alone,
                    strangers=strangers,
                )
            except FAULTS as error:
                await self._outage.pause(error, self._redis)
                if isinstance(error, ResponseError) and not settlements and not resend:
                    # Redis refused. To insist would keep the jobs that end meanwhile from being settled. What
                    # was claimed before the command that failed is handed over by the next step: it has this one's
                    # number.
                    self._refused = True
                    return StepReply(0, None, True, [], [])
                resend = True
            else:
                self._outage.over()
                self._refused = False
                return await self._within(reply, want)

    async def _within(self, reply: StepReply, want: int) -> StepReply:
        """Hand back what came from a refused step beside what was wanted, which nobody has a slot for."""
        surplus = reply.claims[want:]
        if not surplus:
            return reply
        await self.step([hand_back(claim) for claim in surplus], 0)
        return replace(reply, claims=reply.claims[:want])
