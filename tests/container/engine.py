"""Finds a Docker engine: the one that `docker` reaches, or one that the script in ENGINE_SETUP starts."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: Where the script keeps its engine, and the file that says how to reach it, unless ENGINE_HOME says otherwise.
ENGINE_HOME = "/tmp/docker-engine"

#: Any port of this host in place of the compose file's own: the stacks of several tests stand beside each other.
ANY_PORTS = dict.fromkeys(("API_PORTS", "EXPORTER_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT"), "0")

#: A first start of an engine fetches it and builds its images, seconds.
SETUP_WITHIN = 1500.0


class NoEngine(Exception):
    """Raised when this machine has no engine; says why."""


class CommandFailed(AssertionError):
    """Raised when a command of Docker's fails; holds its output."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers, and the environment in which `docker` reaches it."""

    environment: Mapping[str, str]
    version: str

    def ran(
        self, *command: str, cwd: Path | None = None, stdin: str = "", timeout: float = 300.0
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker` with these arguments, and return its status and output; `timeout` is in seconds."""
        return subprocess.run(
            ["docker", *command],
            env=self.environment,
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def with_usual_ports(self) -> "Engine":
        """Return the same engine for stacks whose ports of this host are those of the compose file, or of `.env`."""
        others = {name: value for name, value in self.environment.items() if name not in ANY_PORTS}
        return Engine(others, self.version)

    def docker(self, *command: str, cwd: Path | None = None, stdin: str = "", timeout: float = 300.0) -> str:
        """Run `docker` with these arguments, and return its output. Raises CommandFailed."""
        ran = self.ran(*command, cwd=cwd, stdin=stdin, timeout=timeout)
        if ran.returncode:
            said = (ran.stdout + ran.stderr)[-4000:]
            raise CommandFailed(f"docker {' '.join(command)} ended with {ran.returncode}:\n{said}")
        return ran.stdout.strip()


def find_engine(environment: Mapping[str, str]) -> Engine:
    """Find the engine of this machine. Raises NoEngine; CommandFailed when the script in ENGINE_SETUP fails."""
    environment = {name: value for name, value in environment.items() if not name.startswith("COMPOSE_")}
    environment |= ANY_PORTS
    engine = _reached(environment)
    if engine is None:
        script = environment.get("ENGINE_SETUP")
        if not script:
            raise NoEngine(
                "no engine answers `docker version`, and ENGINE_SETUP names no script to start one"
            )
        environment = _set_up(script, environment)
        engine = _reached(environment)
    if engine is None:
        raise NoEngine("the script in ENGINE_SETUP ran, but no engine answers `docker version`")
    if engine.ran("compose", "version").returncode:
        raise NoEngine("the engine answers, but `docker compose` is not installed")
    return engine


def _reached(environment: Mapping[str, str]) -> Engine | None:
    if shutil.which("docker", path=environment.get("PATH")) is None:
        return None
    asked = Engine(environment, "").ran("version", "--format", "{{.Server.Version}}", timeout=60)
    return None if asked.returncode else Engine(environment, asked.stdout.strip())


def _set_up(script: str, environment: Mapping[str, str]) -> dict[str, str]:
    home = environment.get("ENGINE_HOME", ENGINE_HOME)
    # To a file: the engine that it leaves running would keep a pipe open.
    log = Path(home).with_name(f"{Path(home).name}-setup.log")
    with log.open("w") as out:
        ran = subprocess.run(
            [script, "all"], env=environment, stdout=out, stderr=out, timeout=SETUP_WITHIN, check=False
        )
    if ran.returncode:
        raise CommandFailed(f"{script} all ended with {ran.returncode}:\n{log.read_text()[-4000:]}")
    shown = subprocess.run(
        ["/bin/sh", "-c", '. "$0" && env -0', f"{home}/env.sh"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(entry.split("=", 1) for entry in shown.stdout.split("\0") if "=" in entry)


def here() -> Engine:
    """Find the engine of this machine with this process's environment. Raises as `find_engine` does."""
    return find_engine(os.environ)
