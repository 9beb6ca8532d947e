"""The watch on the event loop: what it says of a loop that is late, blocked, or hangs."""

import logging
from typing import Any

import pytest

from rota.process import loop_watch
from rota.process.loop_watch import EXIT_BLOCKED, LoopWatch


class Watched:
    """A watch whose time we make."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.deaths: list[int] = []
        monkeypatch.setattr(loop_watch, "monotonic", lambda: self.now)
        self.watch = LoopWatch(report_after=5.0, limit=60.0, die=self.deaths.append)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    return [(record.getMessage(), vars(record)) for record in caplog.records if record.name == "rota.loop"]


def test_a_loop_that_beats_is_not_late(watched: Watched) -> None:
    for _ in range(3):
        watched.now += 0.5
        watched.watch.beat(0.0)
    watched.now += 0.4
    assert watched.watch.lag() == 0
    assert watched.watch.silence() == pytest.approx(0.4)


def test_the_lag_is_the_worst_of_the_last_beats_and_is_forgotten(watched: Watched) -> None:
    watched.watch.beat(0.2)
    watched.watch.beat(1.5)
    watched.watch.beat(0.1)
    assert watched.watch.lag() == 1.5
    for _ in range(loop_watch.REMEMBERED):
        watched.watch.beat(0.0)
    assert watched.watch.lag() == 0


def test_a_loop_that_is_blocked_now_is_late_before_it_can_say_so(watched: Watched) -> None:
    watched.now += 4
    assert watched.watch.lag() == pytest.approx(3.5)


def test_a_block_is_reported_once_and_with_its_length_when_it_ends(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(12):
        watched.now += 1
        assert watched.watch.look()
    watched.watch.beat()
    watched.now += 0.3
    watched.watch.beat()
    watched.watch.look()
    watched.watch.look()
    (blocked, fields), (free, after) = said(caplog)
    assert (blocked, free) == ("loop.blocked", "loop.free")
    assert fields["seconds"] == 6.0
    assert "test_a_block_is_reported_once" in fields["stack"]
    assert after["blocked"] == 12.0


def test_each_block_is_reported_with_its_own_length(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    for seconds in (20, 8):
        watched.now += seconds
        watched.watch.look()
        watched.watch.beat()
        watched.watch.look()
    assert [fields["blocked"] for name, fields in said(caplog) if name == "loop.free"] == [20.0, 8.0]


def test_a_short_block_is_not_reported(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.now += 4.9
    watched.watch.look()
    watched.watch.beat()
    watched.watch.look()
    assert said(caplog) == []


def test_a_loop_that_hangs_ends_the_process(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.now += 61
    with caplog.at_level(logging.CRITICAL):
        assert not watched.watch.look()
    assert watched.deaths == [EXIT_BLOCKED]
    assert said(caplog)[-1][0] == "loop.hung"
