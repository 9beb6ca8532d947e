"""Isolation: a suspect runs alone in its process."""

from rota.engine.capacity import Access, Ask, Belief
from rota.engine.isolation import Isolation
from rota.wire.claims import Claim
from rota.wire.queue import StepReply


class Engine:
    """An engine as its isolation sees it."""

    wants_slot = True

    def __init__(self, isolation: Isolation, taken: int = 0) -> None:
        self.taken = taken
        self.looks = 0
        isolation.enter(self)

    def look(self) -> None:
        self.looks += 1

    def resume(self) -> None:
        raise AssertionError("isolation is no matter of turns")


def asked(want: int = 1, *, alone: bool = False) -> Ask:
    return Ask([], want, alone, Belief.TOLD)


def replied(*tokens: str, make_room: bool = False) -> StepReply:
    claims = [
        Claim(id=token, token=token, payload=b"{}", attempt=1, due_ms=0, started_ms=0) for token in tokens
    ]
    return StepReply(0, None, False, [], claims, make_room)


def test_without_a_suspect_every_engine_may_claim() -> None:
    isolation = Isolation()
    engine = Engine(isolation, taken=1)
    isolation.answered(engine, asked(), replied("a"))
    assert isolation.access(engine) is Access.SHARED
    assert engine.looks == 0


def test_an_engine_that_is_to_make_room_waits_until_the_process_is_empty() -> None:
    isolation = Isolation()
    first, second = Engine(isolation), Engine(isolation, taken=1)
    isolation.answered(first, asked(), replied(make_room=True))
    assert (isolation.access(first), isolation.access(second)) == (Access.WAITING, Access.CLOSED)
    looks, second.taken = first.looks, 0
    isolation.ended("b")
    assert isolation.access(first) is Access.ALONE
    assert first.looks == looks + 1


def test_a_step_that_came_back_with_nothing_may_have_been_the_last_to_take_slots() -> None:
    isolation = Isolation()
    first, second = Engine(isolation), Engine(isolation, taken=1)
    isolation.ask(first)
    looks, second.taken = first.looks, 0
    isolation.answered(second, asked(), replied())
    assert first.looks == looks + 1


def test_nothing_else_is_claimed_until_the_suspect_has_ended_and_then_all_look() -> None:
    isolation = Isolation()
    first, second = Engine(isolation), Engine(isolation)
    isolation.ask(first)
    first.taken = 1
    isolation.answered(first, asked(alone=True), replied("suspect"))
    assert (isolation.access(first), isolation.access(second)) == (Access.WAITING, Access.CLOSED)
    isolation.ended("another, which had been lost")
    assert isolation.access(second) is Access.CLOSED
    first.taken = 0
    isolation.ended("suspect")
    assert isolation.access(second) is Access.SHARED
    assert second.looks == 1


def test_where_another_worker_took_the_suspect_isolation_ends() -> None:
    isolation = Isolation()
    first, second = Engine(isolation), Engine(isolation)
    isolation.ask(first)
    isolation.answered(first, asked(alone=True), replied())
    assert isolation.access(second) is Access.SHARED


def test_a_suspect_that_was_handed_back_at_once_keeps_nobody_out() -> None:
    isolation = Isolation()
    first, second = Engine(isolation), Engine(isolation)
    isolation.ask(first)
    isolation.answered(first, asked(alone=True), replied("suspect"))
    assert isolation.access(second) is Access.SHARED


def test_one_engine_is_isolated_at_a_time() -> None:
    isolation = Isolation()
    first, second = Engine(isolation), Engine(isolation)
    isolation.ask(first)
    isolation.ask(second)
    assert (isolation.access(first), isolation.access(second)) == (Access.ALONE, Access.CLOSED)
    isolation.leave(first)
    assert isolation.access(second) is Access.SHARED
