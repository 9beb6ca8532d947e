"""Shares: which queue has the next slot of a process, and how many of the free ones."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.engine.shares import TURN, UNLIMITED, CappedShare, Share
from rota.engine.shares import Shares as RealShares
from rota.process.clock import Clock
from tests.waiting import until


class Shares(RealShares):
    """Shares by a clock that stands still until `seconds` is set."""

    def __init__(self, slots: int) -> None:
        self.seconds = 0.0
        super().__init__(slots, Clock(monotonic=lambda: self.seconds))


class Queue:
    """An engine with a backlog, as its share sees it."""

    def __init__(self, shares: Shares, weight: float = 1.0, *, backlog: int = 0, own: int = 1000) -> None:
        self.share: CappedShare = shares.share(weight)
        self.backlog = backlog
        self.own = own
        self.running = 0
        self.told = 0
        self.share.enter(self)

    @property
    def taken(self) -> int:
        return self.running

    @property
    def wants_slot(self) -> bool:
        return self.backlog > 0 and self.running < self.own

    def look(self) -> None:
        raise AssertionError("a share knows nothing of the jobs that wait")

    def resume(self) -> None:
        self.told += 1

    def start(self) -> int:
        """Ask for as many as may be, and start them; return how many."""
        count = self.ask()
        if count:
            self.share.answered(0)
        return count

    def ask(self) -> int:
        """Send a step that asks for as many as may be; return how many. It stays under way."""
        count = self.share.grant(min(self.backlog, self.own - self.running))
        if count:
            self.running += count
            self.backlog -= count
            self.share.asked(count)
        return count

    def end(self, count: int = 1) -> None:
        for _ in range(count):
            self.running -= 1
            self.share.ended()


def serve(queues: dict[str, Queue], jobs: int) -> Counter[str]:
    """Start `jobs` one by one, each after the last has ended, wherever one may start."""
    started: Counter[str] = Counter()
    while started.total() < jobs:
        (name,) = [name for name, queue in queues.items() if queue.start()]
        started[name] += 1
        queues[name].end()
    return started


def test_a_queue_alone_has_all_slots() -> None:
    shares = Shares(8)
    Queue(shares, weight=100)
    assert Queue(shares, backlog=20).start() == 8
    assert shares.free == 0


def test_free_slots_are_split_by_weight() -> None:
    shares = Shares(8)
    heavy, light = Queue(shares, 3, backlog=20), Queue(shares, 1, backlog=20)
    assert (heavy.start(), light.start() + light.start()) == (6, 2)


def test_the_lightest_is_given_one_slot_at_least() -> None:
    shares = Shares(4)
    heavy, light = Queue(shares, 100, backlog=20), Queue(shares, 1, backlog=20)
    assert (heavy.start(), light.start()) == (4, 0)
    heavy.end()
    assert (heavy.start(), light.start()) == (0, 1)


def test_starts_follow_the_weights_one_by_one() -> None:
    shares = Shares(1)
    queues = {"heavy": Queue(shares, 3, backlog=10**6), "light": Queue(shares, 1, backlog=10**6)}
    for _ in range(25):
        assert serve(queues, 4) == {"heavy": 3, "light": 1}


@given(st.lists(st.integers(1, 50), min_size=2, max_size=6))
def test_nobody_is_further_from_its_part_than_some_turns(weights: list[int]) -> None:
    shares = Shares(1)
    queues = {str(n): Queue(shares, weight, backlog=10**6) for n, weight in enumerate(weights)}
    jobs = 3 * sum(weights)
    started = serve(queues, jobs)
    for number, weight in enumerate(weights):
        assert abs(started[str(number)] - 3 * weight) <= len(weights)


def test_whoever_has_the_next_slot_is_told() -> None:
    shares = Shares(1)
    first, second = Queue(shares, backlog=9), Queue(shares, backlog=9)
    first.start()
    assert (first.told, second.told) == (0, 0)
    first.end()
    assert (first.told, second.told) == (0, 1)


def test_whoever_takes_its_part_lets_the_next_one_know() -> None:
    shares = Shares(4)
    first, second = Queue(shares, backlog=9), Queue(shares, backlog=9)
    first.ask()
    assert second.told == 1


def test_slots_that_were_asked_for_in_vain_cost_nothing() -> None:
    shares = Shares(4)
    first, second = Queue(shares, backlog=9), Queue(shares, backlog=9)
    asked = first.ask()
    first.running = 0
    first.share.answered(asked)
    assert second.share.virtual_time == first.share.virtual_time == 0


def test_a_queue_that_was_idle_begins_where_the_others_are() -> None:
    shares = Shares(1)
    busy, idle = Queue(shares, backlog=10**6), Queue(shares)
    serve({"busy": busy}, 1000)
    idle.backlog = 10**6
    assert serve({"busy": busy, "idle": idle}, 100) == {"busy": 50, "idle": 50}


def test_a_queue_that_was_alone_does_not_pay_for_it() -> None:
    shares = Shares(1)
    early, late = Queue(shares, backlog=1000), Queue(shares)
    serve({"early": early}, 1000)
    late.backlog = 10**6
    serve({"late": late}, 5)
    early.backlog = 10**6
    assert serve({"early": early, "late": late}, 100)["early"] in (49, 50, 51)


def test_a_queue_that_is_full_holds_nobody_up() -> None:
    shares = Shares(4)
    narrow, wide = Queue(shares, 100, backlog=9, own=1), Queue(shares, 1, backlog=9)
    assert (narrow.start(), wide.start()) == (1, 3)


def test_a_queue_that_believes_in_no_work_leaves_the_slots_to_those_that_have_some() -> None:
    shares = Shares(2)
    idle, busy = Queue(shares), Queue(shares, backlog=9)
    assert idle.share.grant(2) == 0
    busy.start()
    busy.end(2)
    busy.backlog = 0
    assert idle.share.grant(2) == 2


def test_whoever_leaves_frees_its_slots_and_tells() -> None:
    shares = Shares(2)
    going, staying = Queue(shares, backlog=2), Queue(shares, backlog=2)
    going.start()
    told = staying.told
    going.share.leave()
    assert staying.told == told + 1
    assert shares.free == 2
    assert (going.share.taken, going.share.contends) == (0, False)


@pytest.mark.parametrize(("weights", "slots"), [((0.3, 0.1), 4), ((0.6, 0.2), 400), ((1.1, 3.3), 8)])
def test_rounding_gives_nobody_a_slot_more(weights: tuple[float, float], slots: int) -> None:
    shares = Shares(slots)
    first = Queue(shares, weights[0], backlog=10**6)
    Queue(shares, weights[1], backlog=10**6)
    assert first.start() == round(slots * weights[0] / sum(weights))


def test_a_queue_whose_step_is_slow_loses_its_turn_until_the_reply_is_there() -> None:
    shares = Shares(4)
    slow, other = Queue(shares, backlog=9), Queue(shares, backlog=9)
    assert slow.ask() == 2
    other.running = 9
    shares.seconds = TURN * 0.9
    assert slow.share.contends
    shares.seconds = TURN * 1.1
    assert not slow.share.contends
    slow.share.answered(0)
    assert slow.share.contends


def test_some_steps_claim_at_a_time_and_the_next_one_is_told_when_one_comes_back() -> None:
    shares = Shares(60)
    first, second, third = (Queue(shares, backlog=99) for _ in range(3))
    assert (first.ask(), second.ask(), third.ask()) == (20, 14, 0)
    told = third.told
    first.end()
    assert third.told == told
    first.share.answered(0)
    assert third.told == told + 1
    assert third.ask() > 0


def test_slow_steps_hold_up_no_other_queue() -> None:
    shares = Shares(60)
    queues = [Queue(shares, backlog=99) for _ in range(4)]
    assert [queue.ask() > 0 for queue in queues] == [True, True, False, False]
    shares.seconds = TURN * 1.1
    assert [queue.ask() > 0 for queue in queues[2:]] == [True, True]


def test_who_leaves_holds_up_nobody_with_what_it_sent() -> None:
    shares = Shares(60)
    queues = [Queue(shares, backlog=99) for _ in range(3)]
    assert [queue.ask() > 0 for queue in queues] == [True, True, False]
    queues[0].share.leave()
    assert queues[2].ask() > 0


def take_turn(queues: list[Queue], *, short: bool) -> int:
    """Let the queue whose turn it is start what it may, and return how much; short jobs end before the step does."""
    for queue in queues:
        if count := queue.ask():
            queue.end(count if short else 0)
            queue.share.answered(0)
            return count
    return 0


def test_of_slots_that_become_free_at_once_a_queue_is_given_more_than_its_part() -> None:
    shares = Shares(100)
    queues = [Queue(shares, backlog=10**6) for _ in range(50)]
    granted = [take_turn(queues, short=True) for _ in range(500)]
    assert granted[0] == 2
    assert min(granted[100:]) > 90
    # And each has had as many turns: they differ by one at most.
    started = [10**6 - queue.backlog for queue in queues]
    assert max(started) - min(started) <= 100


def test_of_slots_that_long_jobs_take_a_queue_is_given_its_part_again() -> None:
    shares = Shares(100)
    queues = [Queue(shares, backlog=10**6) for _ in range(50)]
    for _ in range(100):
        take_turn(queues, short=True)
    assert take_turn(queues, short=False) > 90
    for queue in queues:
        queue.end(queue.running)
    granted = [take_turn(queues, short=False) for _ in range(8)]
    assert max(granted[4:]) <= 2


def test_the_ends_of_many_jobs_are_told_once_until_the_next_step() -> None:
    shares = Shares(10)
    first, second = Queue(shares, backlog=99), Queue(shares, backlog=99)
    while first.start() or second.start():
        pass
    told = first.told + second.told
    for _ in range(first.running):
        first.end()
    assert first.told + second.told == told + 1
    assert first.start() + second.start() > 0
    second.end()
    assert first.told + second.told > told + 1


async def test_a_queue_whose_turn_does_not_come_looks_again_by_itself() -> None:
    shares = Shares(4)
    first, second = Queue(shares, backlog=9), Queue(shares, backlog=9)
    first.share.asked(1)
    told = second.told
    second.share.rest()
    second.share.rest()
    await until(lambda: second.told > told, seconds=5)
    assert second.told == told + 1


async def test_a_queue_without_work_or_without_a_slot_does_not_look_again() -> None:
    shares = Shares(1)
    idle, full = Queue(shares), Queue(shares, backlog=9)
    idle.share.rest()
    full.start()
    full.share.rest()
    await asyncio.sleep(TURN * 1.5)
    assert (idle.told, full.told) == (0, 0)


def test_where_slots_are_not_capped_all_that_is_startable_is_granted() -> None:
    share: Share = UNLIMITED.share(weight=0.1)
    assert (share.grant(1000), share.held_back) == (1000, False)
