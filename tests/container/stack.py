"""The production compose file as one project of its own: brought up, looked at, hurt, and removed."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rota.wire.events import RawEvent
from tests import waiting
from tests.container.engine import Engine
from tests.streams import events_in

PROBE = (Path(__file__).parent / "probe.py").read_text("utf-8")

#: The longest that anything here takes on a machine that is not overloaded, in seconds.
PATIENCE = 90.0

wait_until = partial(waiting.wait_until, seconds=PATIENCE)


def autoscaler_command(folder: Path) -> str:
    """Return the command by which the autoscaler of a checkout makes it `{n}` workers, as its unit has it."""
    unit = (folder / "deploy/systemd/rota-autoscaler.service").read_text("utf-8")
    (command,) = re.findall(r'^Environment="AUTOSCALER_COMMAND=(.*)"$', unit, re.MULTILINE)
    return str(command)


@dataclass(frozen=True)
class Event:
    """One entry of the stream: server time in seconds, what happened to which job, and the container that did it."""

    at: float
    type: str
    id: str
    container: str


def _event(raw: RawEvent) -> Event:
    container = raw.extras.get("worker", "").split("-")[0]
    return Event(int(raw.position.split("-", maxsplit=1)[0]) / 1000, raw.type, raw.id, container)


@dataclass(frozen=True)
class Stack:
    """A project named `name`, made from the compose file in `folder`."""

    engine: Engine
    folder: Path
    name: str
    file: str = "docker-compose.prod.worker.yml"

    def compose(self, *command: str, stdin: str = "", timeout: float = 300.0) -> str:
        """Run `docker compose` with these arguments, and return its output. Raises CommandFailed."""
        project = ("compose", "--project-name", self.name, "--file", self.file)
        return self.engine.docker(*project, *command, cwd=self.folder, stdin=stdin, timeout=timeout)

    def up(self, workers: int) -> None:
        """Bring up Redis and this number of workers."""
        self.compose("up", "--detach", "--scale", f"worker={workers}")

    def remove(self) -> None:
        """Remove the project's containers, networks and volumes, and the image that it built."""
        self.compose("down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "5")

    def ids(self, service: str, *, stopped: bool = False) -> list[str]:
        """List the running containers of a service; with `stopped`, the others too."""
        every = ("--all",) if stopped else ()
        return self.compose("ps", "--quiet", "--no-trunc", *every, service).split()

    def inspect(self, container: str) -> Mapping[str, Any]:
        """Return what the engine knows of a container."""
        (found,) = json.loads(self.engine.docker("inspect", container))
        return dict(found)

    def state(self, container: str) -> Mapping[str, Any]:
        """Return a container's state: whether it runs, since when, how healthy it is, how it ended."""
        return dict(self.inspect(container)["State"])

    def health(self, container: str) -> str:
        return str(self.state(container)["Health"]["Status"])

    def probe(self, *args: str, container: str | None = None) -> str:
        """Run the probe in a container, or in the first worker's if none is named."""
        chosen = container or self.ids("worker")[0]
        return self.engine.docker("exec", "--interactive", chosen, "python", "-", *args, stdin=PROBE)

    def crash(self, container: str) -> None:
        """Kill the worker in a container as the kernel does when memory is short; the probe goes down with it."""
        self.engine.ran("exec", "--interactive", container, "python", "-", "crash", stdin=PROBE)

    def redis_cli(self, *command: str, user: str = "rota") -> str:
        """Run a command on Redis as this user, and return the answer."""
        login = 'REDISCLI_AUTH=$(cat /run/redis/password) exec redis-cli --no-auth-warning --user "$0" "$@"'
        return self.compose("exec", "-T", "redis", "sh", "-c", login, user, *command)

    def enqueue(self, count: int, seconds: float) -> set[str]:
        """Enqueue `count` jobs that sleep for `seconds`, and return their ids."""
        ids = set(self.probe("enqueue", str(count), str(seconds)).split())
        assert len(ids) == count
        return ids

    def events(self, ids: Iterable[str]) -> list[Event]:
        """Return the events of these jobs, in order."""
        wanted = set(ids)
        entries = json.loads(self.redis_cli("--json", "xrange", "rota:events", "-", "+"))
        raw = ((entry.encode(), {b"e": flat[1].encode()}) for entry, flat in entries)
        return [_event(event) for event in events_in(raw) if event.id in wanted]

    def counted(self, ids: Iterable[str], kind: str) -> Counter[str]:
        """Count the events of one kind (started, completed, lost, …) of each of these jobs."""
        return Counter(event.id for event in self.events(ids) if event.type == kind)

    def finish(self, ids: set[str], within: float = PATIENCE) -> None:
        """Wait until each of these jobs is completed."""
        wait_until(lambda: self.counted(ids, "completed").keys() == ids, "all jobs completed", seconds=within)
