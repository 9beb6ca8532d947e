"""The conventions of the code that a program can check: who may know what, and what files open with."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import rota

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
