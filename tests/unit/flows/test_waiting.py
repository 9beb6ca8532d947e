"""Waiting for an end: how long it looks, and what it raises."""

import pytest

from rota import ResultTimeout
from rota.flows.waiting import wait_for
from rota.process.clock import Clock


class Watched:
    """A thing that is over at `end` by its own clock, which each look moves by a second."""

    def __init__(self, end: float) -> None:
        self.now = 0.0
        self.end = end

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now)

    async def is_over(self) -> bool:
        over = self.now >= self.end
        self.now += 1
        return over


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rota.flows.waiting._FIRST_PAUSE", 0.0)


async def test_it_returns_once_the_thing_is_over() -> None:
    watched = Watched(end=3)
    await wait_for(watched.is_over, "the job", 10, watched.clock)
    assert watched.now == 4


async def test_it_looks_once_where_the_time_is_up_from_the_start() -> None:
    over, under_way = Watched(end=0), Watched(end=1)
    await wait_for(over.is_over, "the job", 0, over.clock)
    with pytest.raises(ResultTimeout, match="the job"):
        await wait_for(under_way.is_over, "the job", 0, under_way.clock)


async def test_it_gives_up_after_the_timeout() -> None:
    watched = Watched(end=100)
    with pytest.raises(ResultTimeout):
        await wait_for(watched.is_over, "the job", 5, watched.clock)
    assert watched.now == pytest.approx(6)


async def test_without_a_timeout_it_waits_on() -> None:
    watched = Watched(end=1000)
    await wait_for(watched.is_over, "the job", None, watched.clock)
    assert watched.now == 1001
