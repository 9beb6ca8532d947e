"""The watch on the event loop: what it says of a loop that is late, blocked, or hangs."""

import asyncio
import logging
from typing import Any

import pytest

from rota import Run
from rota.process import loop_watch
from rota.process.clock import Clock
from rota.process.loop_watch import BEAT, EXIT_BLOCKED, LoopBeat, LoopWatch
from rota.process.tasks import end
from rota.seams import compose
from tests.waiting import until


class Watched:
    """A watch on a clock of the test's."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.deaths: list[int] = []
        self.clock = Clock(monotonic=lambda: self.now)
        self.watch = LoopWatch(report_after=5.0, limit=60.0, die=self.deaths.append, clock=self.clock)


@pytest.fixture
def watched() -> Watched:
    return Watched()


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


def test_a_block_names_the_job_and_begins_with_the_user_s_frames(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(run: Run) -> None:
        watched.now += 6
        watched.watch.look()

    asyncio.run(compose([], handler)(Run(id="1", job="build", queue="reports", attempt=2)))  # type: ignore[arg-type]
    ((blocked, fields),) = said(caplog)
    assert (blocked, fields["job_id"], fields["job"]) == ("loop.blocked", "1", "reports:build")
    assert (fields["queue"], fields["attempt"]) == ("reports", 2)
    frames = [line for line in fields["stack"].splitlines() if line.startswith("  File")]
    assert not any("asyncio" in frame for frame in frames)
    assert any("in handler" in frame for frame in frames)


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


async def test_the_beat_of_a_loop_that_wakes_late_says_so(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_watch, "BEAT", 0.01)
    beating = asyncio.create_task(LoopBeat(watched.watch, clock=watched.clock).run())
    await asyncio.sleep(0)
    watched.now += BEAT + 2
    await until(lambda: watched.watch.silence() == 0)
    await end({beating})
    assert watched.watch.lag() == pytest.approx(BEAT + 2 - 0.01)
