"""A lane: under which number each of its steps goes out."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as Cut
from redis.exceptions import ResponseError

from rota.engine.lane import Lane
from rota.engine.link import QueueLink
from rota.wire.claims import Claim, Settlement
from rota.wire.queue import StepReply

_SETTLEMENT = cast(Settlement, object())


class Link:
    """A link to a queue whose steps fail as `faults` says, one after the other; None = answered."""

    def __init__(self, *faults: Exception | None) -> None:
        self.scripts = self.outage = self
        self.redis = None
        self.faults = list(faults)
        self.claims: list[Claim] = []
        self.settled: list[Settlement] = []
        self.sent: list[tuple[int, bool, bool]] = []

    async def step(
        self,
        redis: object,
        *,
        seq: int,
        settlements: Sequence[Settlement],
        resend: bool,
        refused: bool,
        **_: Any,
    ) -> StepReply:
        self.sent.append((seq, resend, refused))
        fault = self.faults.pop(0) if self.faults else None
        if fault:
            raise fault
        self.settled += settlements
        claims, self.claims = self.claims, []
        return StepReply(0, None, False, [], claims)

    async def pause(self, error: Exception, redis: object) -> None:
        pass

    def over(self) -> None:
        pass


@pytest.fixture
def refusal() -> ResponseError:
    return ResponseError("WRONGTYPE")


def _lane(link: Link) -> Lane:
    return Lane(cast(QueueLink, link), 0)


async def test_each_step_has_a_number_of_its_own() -> None:
    link = Link()
    lane = _lane(link)
    await lane.step([], 1)
    await lane.step([_SETTLEMENT], 0)
    assert link.sent == [(1, False, False), (2, False, False)]


async def test_a_step_whose_reply_is_lost_is_sent_again_under_its_number() -> None:
    link = Link(Cut())
    await _lane(link).step([], 1)
    assert link.sent == [(1, False, False), (1, True, False)]


async def test_the_step_after_a_refused_one_has_its_number_and_asks_for_its_claims(
    refusal: ResponseError,
) -> None:
    link = Link(refusal)
    lane = _lane(link)
    await lane.step([], 1)
    await lane.step([_SETTLEMENT], 0)
    await lane.step([], 1)
    assert link.sent == [(1, False, False), (1, False, True), (2, False, False)]


async def test_of_its_claims_those_for_which_there_is_no_slot_any_more_are_handed_back(
    refusal: ResponseError,
) -> None:
    link = Link(refusal)
    lane = _lane(link)
    await lane.step([], 3)
    link.claims = [Claim(name, f"t:{name}", b"{}", 1, 0, 0) for name in "abc"]
    reply = await lane.step([], 1)
    assert [claim.id for claim in reply.claims] == ["a"]
    assert [(one.id, one.token, one.unspent) for one in link.settled] == [
        ("b", "t:b", True),
        ("c", "t:c", True),
    ]


async def test_a_refused_step_that_settles_is_sent_until_it_is_answered(refusal: ResponseError) -> None:
    link = Link(refusal, refusal)
    await _lane(link).step([_SETTLEMENT], 1)
    assert link.sent == [(1, False, False), (1, True, False), (1, True, False)]
