"""A burst, for real: the autoscaler takes worker processes from one to what is needed, and back to one.

BURST_JOBS says how many jobs; 2,000 of half a second each, at their full number, make it four workers more of 25 slots.
"""

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rota import connect
from rota.settings.load import load
from tests.integration import scale
from tests.integration.project import Project
from tests.servers import RedisServer
from tests.streams import events_in
from tests.waiting import wait_until

JOBS = int(os.environ.get("BURST_JOBS", "1000"))
SECONDS, OBJECTIVE, SLOTS = 0.5, 20.0, 25
CODE = f'''
"""The jobs of a test."""

import asyncio

from rota import Run, job


@job
async def nap(run: Run) -> None:
    """Sleep."""
    await asyncio.sleep({SECONDS})
'''


class Burst:
    """A project under an autoscaler, seen from outside."""

    def __init__(self, project: Project, server: RedisServer, folder: Path) -> None:
        self.project = project
        self.folder = folder
        self.redis = server.client()
        self.variables = {
            "QUEUE_CONCURRENCY": str(SLOTS),
            "QUEUE_SLO": f"{OBJECTIVE:g}s",
            "METRICS_PORT": "off",
            "AUTOSCALER_COMMAND": f"{sys.executable} {scale.__file__} {folder} {{n}}",
            "AUTOSCALER_INTERVAL": "1s",
            "AUTOSCALER_SCALE_IN_AFTER": "10s",
            "AUTOSCALER_COOLDOWN": "5s",
        }
        self.ready_at: dict[int, float] = {}

    @contextlib.contextmanager
    def scaled(self) -> Iterator[None]:
        process = self.project.process("autoscaler", **self.variables)
        try:
            yield
        finally:
            process.terminate()
            _, err = process.communicate(timeout=30)
            (self.folder / "autoscaler").write_text(err)
            scale.scale(self.folder, 0)
            assert process.returncode == 0, err

    @property
    def running(self) -> int:
        """The number of processes with a heartbeat; the time of each one's first heartbeat is remembered."""
        names = [name.decode() for name in self.redis.smembers("arq:queue:default:workers")]  # type: ignore[union-attr]
        for name in names:
            self.ready_at.setdefault(int(name.rsplit("-", 2)[1]), time.time())
        return len(names)

    def boots(self) -> list[float]:
        """Return how long each process took from its start to its first heartbeat, in seconds."""
        return [at - float((self.folder / str(pid)).read_text()) for pid, at in self.ready_at.items()]

    def events(self, kind: str) -> dict[str, list[float]]:
        """Return the times at which each job had an event of this kind, in seconds."""
        found: dict[str, list[float]] = {}
        entries: Any = self.redis.xrange("rota:events")
        for event in events_in(entries):
            if event.type == kind:
                found.setdefault(event.id, []).append(int(event.position.partition("-")[0]) / 1000)
        return found


@pytest.fixture
def burst(tmp_path: Path, capfd: pytest.CaptureFixture[str], own_server: RedisServer) -> Burst:
    project = Project(tmp_path, capfd, own_server.url)
    project.write("jobs/__init__.py", CODE)
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    return Burst(project, own_server, fleet)


async def enqueue(url: str, count: int) -> set[str]:
    async with await connect(load({"REDIS_URL": url})) as client:
        handles = [await client.enqueue_by_name("default:nap", {}) for _ in range(count)]
        return {handle.id for handle in handles}


@pytest.mark.timeout(300)
async def test_a_burst_is_worked_off_in_time_and_the_fleet_goes_back_to_one(
    burst: Burst, own_server: RedisServer, capfd: pytest.CaptureFixture[str]
) -> None:
    most = 0

    def seen(holds: Callable[[], bool]) -> Callable[[], bool]:
        def look() -> bool:
            nonlocal most
            most = max(most, burst.running)
            return holds()

        return look

    with burst.scaled():
        wait_until(seen(lambda: burst.running == 1))
        ids = await enqueue(own_server.url, JOBS)
        began = min(int(job_id[:9], 32) / 1000 for job_id in ids)
        # Not by the events, of which there are thousands to be read at each look.
        wait_until(seen(lambda: not burst.redis.exists("arq:queue:default")), seconds=120)
        wait_until(seen(lambda: burst.running == 1), seconds=120)
    started, completed = burst.events("started"), burst.events("completed")
    last = max(at for times in started.values() for at in times) - began
    boot = max(burst.boots())
    with capfd.disabled():
        print(f"\n{JOBS} jobs: {most} workers, last start after {last:.1f} s, boot {boot:.1f} s")  # noqa: T201
    assert Counter(map(len, started.values())) == Counter(map(len, completed.values())) == {1: JOBS}
    assert started.keys() == completed.keys() == ids
    assert not burst.events("lost")
    assert not burst.events("interrupted")
    assert last <= OBJECTIVE + boot
    assert most >= JOBS * SECONDS / (OBJECTIVE / 2) / SLOTS
    assert most > 1
