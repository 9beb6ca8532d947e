"""The conventions of the code that a program can check: who may know what, and what files open with."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import rota
from rota.model.event import EventType

SRC = Path(__file__).parents[1] / "src"
ROTA = SRC / "rota"
LUA = ROTA / "wire" / "lua"

MODULES = sorted(ROTA.rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(ROTA))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imports(path: Path) -> frozenset[str]:
    return frozenset(_imports(parsed(path)))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def packages(path: Path) -> set[str]:
    return {module.split(".")[0] for module in imports(path)}


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_the_engine_never_imports_the_jobs(path: Path) -> None:
    assert "jobs" not in packages(path)


def test_jobs_import_from_rota_itself_alone() -> None:
    for path in (SRC / "jobs").rglob("*.py"):
        inner = {module for module in imports(path) if module.startswith("rota.")}
        assert inner <= {"rota.testing"}, f"{path} reaches into the engine: {inner}"


def test_every_public_name_is_found() -> None:
    assert [name for name in rota.__all__ if not hasattr(rota, name)] == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_only_the_wire_knows_how_keys_are_spelt(path: Path) -> None:
    if path != ROTA / "wire" / "keys.py":
        assert '"arq:' not in path.read_text("utf-8")


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_only_the_settings_read_the_environment(path: Path) -> None:
    if path == ROTA / "settings" / "load.py":
        return
    reads = [
        node
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
    ]
    assert not reads


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_nothing_is_pickled(path: Path) -> None:
    assert not {"pickle", "cPickle", "dill", "marshal", "shelve"} & packages(path)


PURE = [
    *(ROTA / "units.py", ROTA / "names.py"),
    *sorted(path for room in ("errors", "model") for path in (ROTA / room).rglob("*.py")),
]


@pytest.mark.parametrize("path", PURE, ids=named)
def test_values_do_no_io_and_read_no_clock(path: Path) -> None:
    forbidden = {"asyncio", "os", "socket", "subprocess", "threading", "time", "redis", "arq"}
    # Ids sort by the time they were made.
    allowed = {"os", "threading", "time"} if path.stem == "names" else set()
    assert packages(path) & forbidden <= allowed


def test_every_module_opens_with_a_sentence() -> None:
    for path in [*MODULES, *(SRC / "jobs").rglob("*.py")]:
        docstring = ast.get_docstring(parsed(path))
        assert docstring, path
        assert docstring.splitlines()[0].endswith((".", "`", ":", "?")), path


def test_every_script_says_its_keys_arguments_return_and_what_it_keeps_true() -> None:
    scripts = list(LUA.glob("*.lua"))
    assert scripts
    for path in scripts:
        text = path.read_text("utf-8")
        for word in ("-- KEYS", "-- ARGV", "-- Returns", "-- Keeps true"):
            assert word in text, f"{path.name} does not say its {word}"


def test_every_part_of_scripts_opens_with_its_name_and_what_it_is_for() -> None:
    parts = list((LUA / "lib").glob("*.lua"))
    assert parts
    for path in parts:
        name, sentence, *_ = path.read_text("utf-8").splitlines()
        assert re.fullmatch(r"-{100} .+", name), path
        assert re.match(r"-- [A-Z].{40}", sentence), path


# What the log says, and what the documents say of it

ROOT = SRC.parent
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
LOGGING = {"debug", "info", "warning", "error", "critical", "exception", "log", "write"}
EVENT = r"[a-z][a-z_]*\.[a-z][a-z_]*"
#: Words on the pages that look like events, and are spans of traces, hosts, files or methods.
OTHERS = {
    "queue.publish",
    "queue.process",
    "redis.internal",
    "autoscaler.service",
    "job.enqueue",
    "job.timed",
}


@cache
def events() -> frozenset[str]:
    """Return the names of the events that the program logs."""
    found = {name for path in MODULES for name in _logged(parsed(path)) if re.fullmatch(EVENT, name)}
    # These are put together: of the events of jobs those that a worker is told of, and what is stuck.
    of_jobs = {f"job.{kind}" for kind in EventType if kind is not EventType.ENQUEUED}
    return frozenset(found | of_jobs | {"handler.stuck", "thread.stuck"})


def _logged(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        if getattr(node.func, "attr", getattr(node.func, "id", "")) in LOGGING:
            parts = (part for argument in node.args for part in ast.walk(argument))
            yield from (
                part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )


def test_every_event_that_a_page_names_is_logged() -> None:
    kinds = {name.partition(".")[0] for name in events()}
    for page in PAGES:
        for name in re.findall(rf"(?<![\w/.]){EVENT}(?![\w/(.])", page.read_text("utf-8")):
            is_event = name.partition(".")[0] in kinds and name not in OTHERS and not name.endswith(".md")
            assert not is_event or name in events(), f"{page.name} names {name}, which is never logged"


def test_every_event_that_is_logged_is_in_the_table_of_events() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    rows = [
        row.split("|")[1] for row in page.partition("## The events")[2].splitlines() if row.startswith("|")
    ]
    told = set(re.findall(rf"`({EVENT})`", "".join(rows)))
    assert events() - told == set(), "docs/metrics.md#the-events has a line for each"
    assert told - events() == set(), "these are logged no more"
