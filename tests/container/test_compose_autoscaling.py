"""A burst on Compose: the autoscaler on the host takes the workers from one to what is needed, and back to one.

BURST_JOBS says how many jobs; 2,000 of half a second each, at an objective of 20 s, make it four workers of 25 slots.
"""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.container.checkout import copy_checkout, with_a_job
from tests.container.engine import Engine
from tests.container.stack import Stack, autoscaler_command, wait_until

JOBS = int(os.environ.get("BURST_JOBS", "2000"))
SECONDS, OBJECTIVE, SLOTS = 0.5, 20.0, 25
#: As an operator writes it. The last three make the way back short; a line a job would be most of a worker's work.
VARIABLES = f"""
QUEUE_CONCURRENCY={SLOTS}
QUEUE_SLO={OBJECTIVE:g}s
LOG_LEVEL=warning
AUTOSCALER_INTERVAL=1s
AUTOSCALER_MAX=6
AUTOSCALER_SCALE_IN_AFTER=15s
AUTOSCALER_COOLDOWN=5s
"""


@dataclass(frozen=True)
class Scaled:
    """A stack with an exporter, and where this answers."""

    stack: Stack
    address: str

    def need(self) -> Any:
        """Return the answer of `/scaling`; None when there is none."""
        try:
            with urllib.request.urlopen(f"{self.address}/scaling", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return None

    def workers(self) -> int:
        need = self.need()
        return -1 if need is None else int(need["workers"])

    @contextlib.contextmanager
    def autoscaler(self, log: Path) -> Iterator[None]:
        """Run `rota autoscaler` on this host, with Compose as its command, while a block lasts."""
        project = f"docker compose --project-name {self.stack.name}"
        environment = {
            **self.stack.engine.environment,
            "PYTHONPATH": str(self.stack.folder / "src"),
            "LOG_LEVEL": "info",
            "LOG_FORMAT": "json",
            "AUTOSCALER_URL": self.address,
            "AUTOSCALER_COMMAND": autoscaler_command(self.stack.folder).replace("docker compose", project),
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "rota", "autoscaler"],
                cwd=self.stack.folder,
                env=environment,
                stdout=out,
                stderr=out,
            )
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(60) == 0, log.read_text()


@pytest.fixture
def scaled(engine: Engine, tmp_path: Path, image: str) -> Iterator[Scaled]:
    folder = with_a_job(copy_checkout(tmp_path / "checkout"))
    (folder / ".env").write_text(VARIABLES)
    stack = Stack(engine, folder, f"rota-test-{secrets.token_hex(4)}")
    try:
        stack.up(1)
        yield Scaled(stack, f"http://{stack.compose('port', 'exporter', '9464')}")
    finally:
        stack.remove()


class Watched:
    """Record when each number of workers was first seen by their heartbeats, in seconds of the autoscaler's clock."""

    def __init__(self, scaled: Scaled) -> None:
        self._scaled = scaled
        self._seen: dict[int, float] = {}

    def look(self) -> None:
        for number in range(1, self._scaled.workers() + 1):
            self._seen.setdefault(number, time.time())

    @property
    def most(self) -> int:
        """Workers at once."""
        return max(self._seen, default=0)

    def boot(self, log: Path) -> float:
        """Return the longest time from a decision to the heartbeats of that number of workers, in seconds."""
        said = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        wanted = {
            line["to"]: datetime.fromisoformat(line["timestamp"]).timestamp()
            for line in reversed(said)
            if line["event"] == "autoscaler.scales" and line["why"] == "out"
        }
        return max(seen - wanted[number] for number, seen in self._seen.items() if number in wanted)


def test_a_burst_is_worked_off_in_time_and_the_fleet_goes_back_to_one(
    scaled: Scaled, tmp_path: Path, facts: list[str]
) -> None:
    stack, watched, log = scaled.stack, Watched(scaled), tmp_path / "autoscaler.log"
    wait_until(lambda: scaled.workers() == 1, "one worker runs")

    def done() -> bool:
        watched.look()
        return stack.redis_cli("zcard", "arq:queue:default") == "0"

    with scaled.autoscaler(log):
        ids = stack.enqueue(JOBS, SECONDS)
        wait_until(done, "all jobs are done", seconds=180)
        wait_until(lambda: len(stack.ids("worker")) == 1, "one worker is left", seconds=180)
    boot = watched.boot(log)
    events = stack.events(ids)
    came = {event.id: event.at for event in events if event.type == "enqueued"}
    wait = max(event.at - came[event.id] for event in events if event.type == "started")
    facts.append(f"burst of {JOBS}: {watched.most} workers, longest wait {wait:.1f} s, boot {boot:.1f} s")
    every = Counter(dict.fromkeys(ids, 1))
    for kind in ("started", "completed"):
        assert Counter(event.id for event in events if event.type == kind) == every
    assert {event.type for event in events} <= {"enqueued", "started", "progress", "completed"}
    assert wait <= OBJECTIVE + boot
    assert watched.most > 1
