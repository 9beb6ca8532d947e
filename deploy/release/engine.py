"""Talks to the container engine of this host: `docker` and `docker compose`, as the files of the project say."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.release.environment import stated

#: What Compose reads, unless COMPOSE_FILE names others.
FILE = "docker-compose.prod.worker.yml"
#: The number of last lines that are shown of what failed.
_LINES = 15


class Failed(Exception):
    """Raised when a deploy cannot go on; says why, for the operator."""


def attempt(*command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command, and return its status and what it says. Raises Failed where there is none of that name."""
    try:
        return subprocess.run(  # noqa: S603 - the commands of this package
            command, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise Failed(f"{command[0]} is not installed") from error


def said(ran: subprocess.CompletedProcess[str]) -> str:
    """Return the last lines of what a command said, of its errors if it said any."""
    lines = (ran.stderr.strip() or ran.stdout.strip()).splitlines()
    return "\n".join(lines[-_LINES:]) or f"{ran.args[0]} ended with {ran.returncode}"


def run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it prints. Raises Failed with what it said last."""
    ran = attempt(*command, environment=environment)
    if ran.returncode:
        raise Failed(said(ran))
    return ran.stdout.strip()


@dataclass(frozen=True)
class Service:
    """A service of the project, and what a deploy has to know of it.

    :param serves: it goes on; any other runs to its end before others start, and has no restart policy.
    :param needs: the services that start before it.
    """

    name: str
    image: str
    replicas: int = 1
    serves: bool = True
    has_port: bool = False
    needs: tuple[str, ...] = ()


def _service(name: str, config: Mapping[str, Any]) -> Service:
    """Read a service as `docker compose config` states it."""
    return Service(
        name,
        config["image"],
        int(config.get("deploy", {}).get("replicas", 1)),
        "restart" in config,
        bool(config.get("ports")),
        tuple(config.get("depends_on", ())),
    )


@dataclass(frozen=True)
class Container:
    """A container as it was when it was looked at."""

    id: str
    name: str
    image: str
    runs: bool
    health: str
    restarts: int
    is_one_off: bool = False

    @property
    def is_well(self) -> bool:
        return self.runs and self.health in ("healthy", "none")

    @property
    def has_failed(self) -> bool:
        """Whether it ended, was started again after it ended, or is found ill."""
        return not self.runs or self.restarts > 0 or self.health == "unhealthy"


def look(ids: Sequence[str]) -> list[Container]:
    """Look at containers. Raises Failed where one is gone."""
    return [_container(one) for one in json.loads(run("docker", "inspect", *ids))] if ids else []


def _container(found: Mapping[str, Any]) -> Container:
    state = found["State"]
    return Container(
        found["Id"],
        found["Name"].lstrip("/"),
        found["Image"],
        state["Status"] == "running",
        state.get("Health", {}).get("Status", "none"),
        found["RestartCount"],
        found["Config"]["Labels"].get("com.docker.compose.oneoff") == "True",
    )


def logs(container: Container) -> str:
    """Return the last lines that a container has written, of both its outputs."""
    ran = attempt("docker", "logs", "--tail", str(_LINES), container.id)
    return (ran.stdout + ran.stderr).strip()


def each(verb: str, containers: Sequence[Container]) -> None:
    """Run a command of `docker` on containers, on all at the same time. Raises Failed."""
    if containers:
        run("docker", verb, *(one.id for one in containers))


class Project:
    """The project of Compose in a folder, at one tag of its image, which wins over TAG in `.env`."""

    def __init__(self, folder: Path, tag: str) -> None:
        self._environment = {**os.environ, "TAG": tag}
        files = () if "COMPOSE_FILE" in stated(folder) else ("--file", FILE)
        self._command = ("docker", "compose", "--progress", "quiet", *files)

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `docker compose`, and return its status and what it says."""
        return attempt(*self._command, *words, environment=self._environment)

    def compose(self, *words: str) -> str:
        """Run `docker compose` and return what it prints. Raises Failed."""
        return run(*self._command, *words, environment=self._environment)

    def services(self) -> dict[str, Service]:
        """Return the services by name, each behind those that it needs; of profiles, what COMPOSE_PROFILES names."""
        found = json.loads(self.compose("config", "--format", "json"))["services"]
        services: dict[str, Service] = {}

        def add(name: str) -> None:
            if name in found and name not in services:
                service = _service(name, found[name])
                for needed in service.needs:
                    add(needed)
                services[name] = service

        for name in found:
            add(name)
        return services

    def containers(self, service: str) -> list[Container]:
        """Return the containers of a service, also those that do not run; none that `docker compose run` made."""
        found = look(self.compose("ps", "--all", "--quiet", "--no-trunc", service).split())
        return [one for one in found if not one.is_one_off]
