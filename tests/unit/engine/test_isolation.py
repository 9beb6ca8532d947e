"""Isolation: a suspect runs alone in its process."""

from rota.engine.capacity import Access, Ask, Belief
from rota.engine.isolation import Isolation
from rota.wire.claims import Claim
from rota.wire.queue import StepReply


class Engine:
    """An engine as its isolation sees it."""

    def __init__(self, isolation: Isolation, taken: int = 0, wants_slot: bool = False) -> None:
        self.taken = taken
        self.wants_slot = wants_slot
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


class Hours:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def isolated(isolation: Isolation, clock: Hours, engine: Engine, seconds: float) -> None:
    """Let a suspect of `engine` run alone for `seconds`."""
    isolation.answered(engine, asked(), replied(make_room=True))
    engine.taken = 1
    isolation.answered(engine, asked(alone=True), replied("suspect"))
    clock.now += seconds
    engine.taken = 0
    isolation.ended("suspect")


def test_after_a_suspect_the_others_have_their_turn_for_as_long_as_it_took() -> None:
    clock = Hours()
    isolation = Isolation(clock)
    engine = Engine(isolation)
    isolated(isolation, clock, engine, 3.0)
    engine.taken = 2
    isolation.answered(engine, asked(5), replied("a", "b", make_room=True))
    assert isolation.access(engine) is Access.SHARED
    clock.now += 2.9
    isolation.answered(engine, asked(5), replied(make_room=True))
    assert isolation.access(engine) is Access.SHARED
    clock.now += 0.1
    isolation.answered(engine, asked(5), replied(make_room=True))
    assert isolation.access(engine) is Access.WAITING


def test_the_time_that_a_suspect_waited_for_an_empty_process_counts_as_its_own() -> None:
    clock = Hours()
    isolation = Isolation(clock)
    engine, other = Engine(isolation), Engine(isolation, taken=1)
    isolation.answered(engine, asked(), replied(make_room=True))
    clock.now += 10.0
    other.taken = 0
    isolation.answered(engine, asked(alone=True), replied())
    other.taken = 1
    clock.now += 9.0
    isolation.answered(engine, asked(), replied(make_room=True))
    assert isolation.access(other) is Access.SHARED


def test_where_nothing_else_waits_the_next_suspect_follows_at_once() -> None:
    clock = Hours()
    isolation = Isolation(clock)
    engine = Engine(isolation)
    isolated(isolation, clock, engine, 3.0)
    isolation.answered(engine, asked(5), replied(make_room=True))
    assert isolation.access(engine) is Access.ALONE


def test_a_neighbour_that_wants_a_slot_has_its_turn_first() -> None:
    clock = Hours()
    isolation = Isolation(clock)
    engine, neighbour = Engine(isolation), Engine(isolation, wants_slot=True)
    isolated(isolation, clock, engine, 3.0)
    isolation.answered(engine, asked(5), replied(make_room=True))
    assert isolation.access(neighbour) is Access.SHARED


def test_a_suspect_that_was_put_off_has_its_turn_when_the_others_have_ended() -> None:
    clock = Hours()
    isolation = Isolation(clock)
    engine = Engine(isolation)
    isolated(isolation, clock, engine, 3.0)
    engine.taken = 1
    isolation.answered(engine, asked(5), replied("a", make_room=True))
    looks, engine.taken = engine.looks, 0
    isolation.ended("a")
    assert engine.looks == looks + 1
    isolation.answered(engine, asked(5), replied(make_room=True))
    assert isolation.access(engine) is Access.ALONE
