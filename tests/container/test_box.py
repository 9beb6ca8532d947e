"""The box as an operator has it: an untouched folder, the commands of README, and a line of `.env` now and then."""

import json
import secrets
import shlex
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.container.checkout import copy_checkout, with_a_job
from tests.container.engine import Engine
from tests.container.stack import PATIENCE, Stack, autoscaler_command, wait_until
from tests.servers import free_port

WORKERS = 5
#: A job that still runs when a busy machine has seen that all were started, and told all containers to stop, seconds.
LONG = 15.0
#: The ports that `make dev` takes, and those of the compose file.
DEVELOPMENT = (8000, 9464)
OWN = {"API_PORT": 18000, "EXPORTER_PORT": 19464}


@dataclass(frozen=True)
class Box(Stack):
    """A project that is named after its folder, as it is without `--project-name`; `ports` are lines of its `.env`."""

    ports: tuple[str, ...] = ()

    def compose(self, *command: str, stdin: str = "", timeout: float = 300.0) -> str:
        """Run `docker compose` with these arguments, and return its output. Raises CommandFailed."""
        words = ("compose", "--file", self.file, *command)
        return self.engine.docker(*words, cwd=self.folder, stdin=stdin, timeout=timeout)

    def say(self, *lines: str) -> None:
        """Write these lines to `.env`, in place of what it had, after one for each port that another stack has."""
        (self.folder / ".env").write_text("".join(f"{line}\n" for line in (*self.ports, *lines)), "utf-8")

    def born(self) -> dict[str, str]:
        """Return when each running container was made, by its name."""
        ids = self.compose("--profile", "*", "ps", "--quiet").split()
        shown = json.loads(self.engine.docker("inspect", *ids))
        return {container["Name"].removeprefix("/"): container["Created"] for container in shown}

    def workers(self, made: Mapping[str, str]) -> int:
        return len([name for name in made if name.startswith(f"{self.name}-worker-")])


def is_taken(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False


def new_box(engine: Engine, folder: Path) -> Box:
    """Return the box of a fresh clone in `folder`, with a line of `.env` for each port that another stack has."""
    folder = with_a_job(copy_checkout(folder / f"rota-box-{secrets.token_hex(4)}"))
    ports = tuple(f"{name}={free_port()}" for name, port in OWN.items() if is_taken(port))
    box = Box(engine.with_usual_ports(), folder, folder.name, ports=ports)
    if ports:
        box.say()
    return box


@pytest.fixture(scope="module")
def box(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Yield an untouched clone that was brought up as README says, while `make dev` has its ports."""
    box = new_box(engine, tmp_path_factory.mktemp("box"))
    with ExitStack() as taken:
        for port in DEVELOPMENT:
            # Where it is taken already, all is as it should be.
            with suppress(OSError):
                taken.enter_context(socket.create_server(("127.0.0.1", port)))
        try:
            box.compose("up", "--detach", "--wait", "--scale", f"worker={WORKERS}", timeout=900)
            yield box
        finally:
            box.compose("--profile", "*", "down", "--volumes", "--rmi", "local", "--timeout", "5")


def test_one_command_brings_up_all_of_it_and_returns_when_it_is_healthy(box: Box) -> None:
    services = [json.loads(line) for line in box.compose("ps", "--format", "json").splitlines()]
    assert Counter(one["Service"] for one in services) == {
        "worker": WORKERS,
        "redis": 1,
        "api": 1,
        "exporter": 1,
    }
    assert {one["Health"] for one in services} == {"healthy"}
    images = {
        box.inspect(container)["Image"]
        for name in ("worker", "api", "exporter")
        for container in box.ids(name)
    }
    assert len(images) == 1


def test_what_env_says_to_compose_and_a_profile_leave_the_workers_as_they_are(box: Box) -> None:
    before = box.born()
    box.say(f"WORKERS={WORKERS}", "COMPOSE_PROFILES=postgres")
    box.compose("up", "--detach", "--wait")
    after = box.born()
    assert after.keys() - before.keys() == {f"{box.name}-postgres-1"}
    assert before.items() <= after.items()


def test_after_the_autoscaler_the_next_up_replaces_nothing(box: Box) -> None:
    command = autoscaler_command(box.folder)
    for number in (WORKERS + 1, WORKERS):
        scaling = shlex.split(command.replace("{n}", str(number)))
        subprocess.run(scaling, env=dict(box.engine.environment), cwd=box.folder, check=True)
        before = box.born()
        assert box.workers(before) == number
        box.compose("up", "--detach", "--scale", f"worker={number}")
        assert box.born() == before


def test_no_container_has_the_swap_of_the_host_beside_its_memory(box: Box) -> None:
    for service in ("redis", "worker", "api", "exporter", "postgres"):
        for container in box.ids(service):
            host: dict[str, Any] = box.inspect(container)["HostConfig"]
            assert host["MemorySwap"] == host["Memory"] > 0


def test_a_checkout_beside_it_has_nothing_of_it(box: Box, engine: Engine, tmp_path: Path) -> None:
    before = box.born()
    ids = box.enqueue(3, 0.1)
    box.finish(ids)
    other = new_box(engine, tmp_path)
    try:
        other.compose("up", "--detach", "--wait", timeout=900)
        assert other.workers(other.born()) == 1
        assert other.redis_cli("zcard", "arq:queue:default") == "0"
        assert not other.events(ids)
    finally:
        other.compose("down", "--volumes", "--rmi", "local", "--timeout", "5")
    assert box.born() == before
    assert len(box.events(ids)) >= 3 * len(ids)
    box.compose("up", "--detach", "--no-build")
    assert box.born() == before


def test_the_engine_stops_while_jobs_run_and_none_of_them_runs_again(box: Box, facts: list[str]) -> None:
    """An engine that stops tells all containers at once, and gives each its own grace period."""
    ids = box.enqueue(WORKERS * 10, LONG)
    once = Counter(dict.fromkeys(ids, 1))
    wait_until(lambda: box.counted(ids, "started") == once, "each of them runs")
    containers = box.compose("ps", "--quiet").split()
    box.engine.docker("stop", *containers)
    ended = {box.inspect(one)["Name"]: box.state(one)["ExitCode"] for one in containers}
    assert set(ended.values()) == {0}, ended
    (redis,) = box.ids("redis", stopped=True)
    assert "redis: was told to stop, and serves on" in box.engine.docker("logs", redis)
    box.compose("up", "--detach", "--wait")
    box.finish(ids)
    for kind in ("started", "completed"):
        assert box.counted(ids, kind) == once
    kinds = Counter(event.type for event in box.events(ids))
    facts.append(f"an engine's stop with {len(ids)} jobs of {LONG:g} s under way: {dict(kinds)}")
    assert not {"lost", "interrupted", "retried"} & kinds.keys()


def test_redis_waits_for_nobody_who_does_not_leave(box: Box) -> None:
    """A restart of Redis alone stops no worker: all of them stay connected, and Redis goes in their midst."""
    before = box.born()
    box.compose("restart", "redis", timeout=PATIENCE)
    (redis,) = box.ids("redis")
    wait_until(lambda: box.health(redis) == "healthy", "Redis is back")
    assert box.born() == before
