"""The parent that starts a worker again; the workers here are one line of Python each."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from rota.app import respawn
from rota.app.respawn import Respawn
from rota.model.policies.backoff import exponential, fixed
from tests.waiting import until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(respawn, "PAUSES", fixed(0.01))


@pytest.fixture
def lives(tmp_path: Path) -> Path:
    """Return the file to which each life of the worker adds a line."""
    file = tmp_path / "lives"
    file.touch()
    return file


def worker(lives: Path, *statuses: int, then: str = "sys.exit(0)") -> Respawn:
    """Return a parent whose workers end with `statuses` in turn (-9: by signal 9), and whose last one runs `then`."""
    program = f"""
import os, signal, sys, time
with open({str(lives)!r}, "a+") as lives:
    print(os.getpid(), file=lives)
    lives.seek(0)
    life = len(lives.readlines())
statuses = {statuses!r}
if life <= len(statuses):
    status = statuses[life - 1]
    if status < 0:
        os.kill(os.getpid(), -status)
    sys.exit(status)
{then}
"""
    return Respawn((sys.executable, "-c", program))


def count(lives: Path) -> int:
    return len(lives.read_text().splitlines())


async def test_a_worker_that_ends_well_is_not_started_again(lives: Path) -> None:
    assert await worker(lives).run() == 0
    assert count(lives) == 1


async def test_one_that_asks_for_it_is_started_again_at_once(
    lives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(respawn, "PAUSES", fixed(60))
    assert await worker(lives, 75, 75, 75).run() == 0
    assert count(lives) == 4


@pytest.mark.parametrize("status", [1, 70, -signal.SIGKILL])
async def test_one_that_crashes_is_started_again(lives: Path, status: int) -> None:
    assert await worker(lives, status, status).run() == 0
    assert count(lives) == 3


async def test_pauses_grow_with_crashes_in_a_row(
    lives: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(respawn, "PAUSES", exponential(0.1, 2.0, jitter=0.0))
    assert await worker(lives, 1, 1, 75, 1).run() == 0
    waits = [vars(one)["again_in"] for one in caplog.records if one.getMessage() == "worker.crashed"]
    assert waits == [0.1, 0.2, 0.1]


async def test_settings_that_cannot_work_end_it(lives: Path) -> None:
    assert await worker(lives, 2, 75).run() == 2
    assert count(lives) == 1


async def test_from_the_second_on_a_worker_is_told_that_it_is_not_the_first(lives: Path) -> None:
    program = f"""
import sys
with open({str(lives)!r}, "a+") as lives:
    print(sys.argv[1:], file=lives)
    lives.seek(0)
    sys.exit(0 if len(lives.readlines()) == 3 else 75)
"""
    assert await Respawn((sys.executable, "-c", program, "--own"), again=["--again"]).run() == 0
    assert lives.read_text().splitlines() == ["['--own']", *["['--own', '--again']"] * 2]


async def test_a_server_that_is_away_later_does_not(lives: Path) -> None:
    assert await worker(lives, 75, 2, 2).run() == 0
    assert count(lives) == 4


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_is_passed_on_and_the_worker_s_status_is_the_end(
    lives: Path, signum: signal.Signals
) -> None:
    listens = (
        f"signal.signal({int(signum)}, lambda *_: sys.exit(7)); "
        f"open({str(lives)!r}, 'a').write('ready\\n'); time.sleep(60)"
    )
    running = asyncio.create_task(worker(lives, then=listens).run())
    await until(lambda: "ready" in lives.read_text())
    os.kill(os.getpid(), signum)
    assert await asyncio.wait_for(running, 20) == 7


async def test_one_that_the_signal_kills_ends_with_its_status(lives: Path) -> None:
    running = asyncio.create_task(worker(lives, then="time.sleep(60)").run())
    await until(lambda: count(lives))
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 20) == 128 + signal.SIGTERM


async def test_one_that_asks_to_be_started_again_when_it_was_told_to_stop_is_not(lives: Path) -> None:
    listens = (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); "
        f"open({str(lives)!r}, 'a').write('ready\\n'); time.sleep(60)"
    )
    running = asyncio.create_task(worker(lives, then=listens).run())
    await until(lambda: "ready" in lives.read_text())
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 20) == 0


async def test_a_signal_during_a_pause_ends_it_at_once(lives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(respawn, "PAUSES", fixed(60))
    parent = worker(lives, 1)
    running = asyncio.create_task(parent.run())
    await until(lambda: parent._crashes)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 20) == 0
    assert count(lives) == 1
