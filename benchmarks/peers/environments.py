"""The environments of peers: each made once, of packages with hashes or exact versions, in a folder of the cache."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.failures import BenchFailed
from benchmarks.process import ROOT

HOME = Path(os.environ.get("BENCH_PEERS_HOME") or ROOT / ".venv" / "peers")
HERE = Path(__file__).parent
#: The oldest Node that BullMQ runs on.
NODE = 18
#: The file that says from what an environment was made.
STAMP = "made-from"
_VERSIONS = (
    "import importlib.metadata as m, sys; print(*(m.version(name) for name in sys.argv[1:]), sep='\\n')"
)


class Missing(BenchFailed):
    """Raised for an environment that is not there or cannot be made, with the reason."""


class Environment(Protocol):
    """Where a system runs."""

    def make(self) -> None:
        """Make it, unless it is there and up to date. Raises Missing."""

    def check(self) -> None:
        """Raise Missing unless it is there and up to date."""

    def program(self) -> str:
        """Return what runs the system's files."""

    def env(self) -> dict[str, str]:
        """Return what the environment of its processes needs."""

    def versions(self, packages: tuple[str, ...]) -> dict[str, str]:
        """Return the versions of packages, and of what runs them."""


class Own:
    """The environment that this process runs in."""

    def make(self) -> None:
        """Leave it as it is, since it is there."""

    def check(self) -> None:
        """Take it as it is, since it is there."""

    def program(self) -> str:
        return sys.executable

    def env(self) -> dict[str, str]:
        return {}

    def versions(self, packages: tuple[str, ...]) -> dict[str, str]:
        return _python_versions(sys.executable, packages)


@dataclass(frozen=True)
class Python:
    """A virtual environment with the requirements of one name."""

    name: str

    @property
    def folder(self) -> Path:
        """Where it is."""
        return HOME / self.name

    @property
    def requirements(self) -> Path:
        """The file of its packages, with hashes."""
        return HERE / "requirements" / f"{self.name}.txt"

    def make(self) -> None:
        """Install the requirements with this Python. Raises Missing."""
        if _is_made(self.folder, self._source()):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        _run(self.name, [sys.executable, "-m", "venv", str(self.folder)])
        pip = [self.program(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(self.name, [*pip, "--require-hashes", "-r", str(self.requirements)])
        (self.folder / STAMP).write_text(self._source())

    def check(self) -> None:
        """Raise Missing unless it was made of these requirements."""
        if not _is_made(self.folder, self._source()):
            raise Missing(f"{self.name}: no environment in {self.folder.parent}; --set-up makes it")

    def program(self) -> str:
        return str(self.folder / "bin" / "python")

    def env(self) -> dict[str, str]:
        return {}

    def versions(self, packages: tuple[str, ...]) -> dict[str, str]:
        return _python_versions(self.program(), packages)

    def _source(self) -> str:
        return _digest(sys.version.encode() + self.requirements.read_bytes())


class Node:
    """Packages of npm, for the Node of this machine."""

    package = HERE / "package.json"

    @property
    def folder(self) -> Path:
        """Where its packages are."""
        return HOME / "node"

    def make(self) -> None:
        """Install the packages at their exact versions. Raises Missing on a machine without Node."""
        self._node()
        if _is_made(self.folder, self._source()):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        shutil.copy(self.package, self.folder)
        quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
        _run("node", [self._npm(), "install", *quiet], self.folder)
        (self.folder / STAMP).write_text(self._source())

    def check(self) -> None:
        """Raise Missing unless there is a Node, and the packages are there."""
        self._node()
        if not _is_made(self.folder, self._source()):
            raise Missing(f"node: no packages in {self.folder}; --set-up installs them")

    def program(self) -> str:
        return shutil.which("node") or "node"

    def env(self) -> dict[str, str]:
        return {"BENCH_MODULES": str(self.folder), "NODE_ENV": "production"}

    def versions(self, packages: tuple[str, ...]) -> dict[str, str]:
        modules = self.folder / "node_modules"
        found = {
            name: str(json.loads((modules / name / "package.json").read_text())["version"])
            for name in packages
        }
        return {"node": self._node(), **found}

    def _node(self) -> str:
        if shutil.which("node") is None:
            raise Missing("node: this machine has no Node")
        version = _run("node", [self.program(), "--version"]).strip().removeprefix("v")
        if int(version.split(".")[0]) < NODE:
            raise Missing(f"node: Node is {version}, and {NODE} is needed")
        return version

    def _npm(self) -> str:
        npm = shutil.which("npm")
        if npm is None:
            raise Missing("node: this machine has no npm")
        return npm

    def _source(self) -> str:
        return _digest(self.package.read_bytes())


def _is_made(folder: Path, source: str) -> bool:
    stamp = folder / STAMP
    return stamp.exists() and stamp.read_text() == source


def _digest(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()


def _python_versions(python: str, packages: tuple[str, ...]) -> dict[str, str]:
    found = _run("versions", [python, "-c", _VERSIONS, *packages]).split()
    return dict(zip(packages, found, strict=True))


def _run(name: str, command: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Missing(f"{name}: {Path(command[0]).name} failed: {reason[-1] if reason else done.returncode}")
    return done.stdout
