"""The autoscaler: when it runs its command, with which number, and what it says; on a clock of the test's."""

import asyncio
import logging
import sys
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as NotConnected

from rota.fleet.autoscaler import INSIST, Autoscaler, serve
from rota.fleet.fleet import FleetNeed
from rota.fleet.sight import Unseen
from rota.model.registry import Registry
from rota.process.clock import Clock
from rota.settings.load import ConfigError, load
from tests.unit.fleet.needs import need


class Scene:
    """An autoscaler, its clock, what it sees, and the numbers that its command was run with."""

    def __init__(self, tmp_path: Path, **variables: str) -> None:
        self.now = 1000.0
        self.sight: FleetNeed | BaseException = need(1, 1)
        self.file = tmp_path / "made"
        script = f"import sys; open({str(self.file)!r}, 'a').write(sys.argv[1] + ' ')"
        defaults = {"AUTOSCALER_COMMAND": f'{sys.executable} -c "{script}" {{n}}'}
        self.scaler = Autoscaler(
            load(defaults | variables), self.ask, clock=Clock(monotonic=lambda: self.now)
        )

    async def ask(self) -> FleetNeed:
        if isinstance(self.sight, BaseException):
            raise self.sight
        return self.sight

    async def turn(self, sight: FleetNeed | BaseException, after: float = 5.0) -> None:
        self.now += after
        self.sight = sight
        await self.scaler.turn()

    @property
    def made(self) -> list[int]:
        return [int(one) for one in self.file.read_text().split()] if self.file.exists() else []


async def test_it_makes_as_many_as_are_needed_and_lets_them_go_later(tmp_path: Path) -> None:
    scene = Scene(tmp_path, AUTOSCALER_SCALE_IN_AFTER="60s")
    await scene.turn(need(1, 1))
    assert scene.made == []
    await scene.turn(need(4, 1))
    await scene.turn(need(6, 4))
    assert scene.made == [4, 6]
    await scene.turn(need(1, 6))
    await scene.turn(need(1, 6), after=50)
    assert scene.made == [4, 6]
    await scene.turn(need(1, 6), after=15)
    assert scene.made == [4, 6, 1]


async def test_it_stays_within_its_limits(tmp_path: Path) -> None:
    scene = Scene(tmp_path, AUTOSCALER_MIN="2", AUTOSCALER_MAX="5", AUTOSCALER_SCALE_IN_AFTER="0")
    await scene.turn(need(50, 1))
    await scene.turn(need(0, 5), after=100)
    assert scene.made == [5, 2]


async def test_by_threshold_it_goes_one_by_one_and_cools_down_between(tmp_path: Path) -> None:
    scene = Scene(tmp_path, AUTOSCALER_POLICY="threshold", AUTOSCALER_COOLDOWN="30s")
    await scene.turn(need(50, 1, ready=500))
    await scene.turn(need(50, 2, ready=500))
    await scene.turn(need(50, 2, ready=5, latency=90), after=30)
    assert scene.made == [2, 3]


async def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path, AUTOSCALER_DRY_RUN="true")
    with caplog.at_level(logging.INFO, "rota.autoscaler"):
        await scene.turn(need(7, 2))
        await scene.turn(need(7, 2))
    seen, said = caplog.records
    assert scene.made == []
    assert (seen.getMessage(), said.getMessage()) == ("autoscaler.sees", "autoscaler.would_scale")
    assert (vars(said)["workers"], vars(said)["to"], vars(said)["dry_run"]) == (2, 7, True)


async def test_a_fleet_that_is_as_it_should_be_is_said_to_be_seen_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path, AUTOSCALER_DRY_RUN="true")
    with caplog.at_level(logging.INFO, "rota.autoscaler"):
        for _ in range(3):
            await scene.turn(need(2, 2, ready=3))
    (seen,) = caplog.records
    assert seen.getMessage() == "autoscaler.sees"
    assert (vars(seen)["workers"], vars(seen)["to"], vars(seen)["ready"]) == (2, 2, 3)


async def test_a_line_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(tmp_path)
    with caplog.at_level(logging.INFO, "rota.autoscaler"):
        await scene.turn(need(3, 1, ready=40, latency=12.34))
    _, first, second = caplog.records
    said = vars(first)
    assert (said["why"], said["desired"], said["to"], said["queue"]) == ("out", 3, 3, "email")
    assert (said["ready"], said["latency"], said["arrivals"], said["job_seconds"]) == (40, 12.3, 30, 1)
    assert second.getMessage() == "autoscaler.done"


async def test_what_it_cannot_see_it_does_not_scale(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(tmp_path, AUTOSCALER_SCALE_IN_AFTER="0", AUTOSCALER_COOLDOWN="0")
    await scene.turn(need(4, 1))
    for fault in (NotConnected("gone"), Unseen("503"), TimeoutError()):
        await scene.turn(fault, after=100)
    await scene.turn(need(4, 4))
    assert scene.made == [4]
    events = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert events == ["autoscaler.blind"]


async def test_an_answer_that_never_comes_is_none() -> None:
    async def never() -> FleetNeed:
        await asyncio.sleep(3600)
        raise AssertionError

    scaler = Autoscaler(load({"AUTOSCALER_DRY_RUN": "true"}), never, deadline=0.05)
    assert await scaler.turn() is None


async def test_a_command_that_failed_is_run_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flag = tmp_path / "flag"
    script = f"import os, sys; os.path.exists({str(flag)!r}) or sys.exit('no engine')"
    scene = Scene(tmp_path, AUTOSCALER_COMMAND=f'{sys.executable} -c "{script}" {{n}}')
    await scene.turn(need(4, 1))
    (failed,) = [record for record in caplog.records if record.getMessage() == "autoscaler.failed"]
    assert (vars(failed)["status"], vars(failed)["said"]) == (1, "no engine")
    flag.touch()
    with caplog.at_level(logging.INFO, "rota.autoscaler"):
        await scene.turn(need(4, 1))
    assert caplog.records[-1].getMessage() == "autoscaler.done"


async def test_a_fleet_that_is_not_as_it_was_made_is_made_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.turn(need(4, 1))
    await scene.turn(need(4, 2), after=INSIST - 1)
    assert scene.made == [4]
    await scene.turn(need(4, 2), after=2)
    assert scene.made == [4, 4]
    await scene.turn(need(4, 4))
    await scene.turn(need(4, 4), after=INSIST * 2)
    await scene.turn(need(4, 3))
    assert scene.made == [4, 4]


async def test_a_fleet_that_is_down_is_brought_up(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.turn(need(0, 0))
    assert scene.made == [1]


def test_limits_that_cross_are_refused() -> None:
    with pytest.raises(ConfigError, match="AUTOSCALER_MIN is 5, above AUTOSCALER_MAX, 3"):
        load({"AUTOSCALER_MIN": "5", "AUTOSCALER_MAX": "3"})


async def test_a_missing_command_is_said_before_anything_is_asked() -> None:
    with pytest.raises(ConfigError, match="AUTOSCALER_COMMAND"):
        await serve(load({"AUTOSCALER_URL": "http://127.0.0.1:1"}), Registry((), "default", None, {}))
