"""The conventions of the code that a program can check: who may know what, and what files open with."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import rota
from rota.model.event import EventType

SRC = Path(__file__).parents[1] / "src"
ROTA = SRC / "rota"
LUA = ROTA / "wire" / "lua"

MODULES = sorted(ROTA.rglob("*.py"))
LOGGING = {"debug", "info", "warning", "error", "critical", "exception", "log", "write"}


@dataclass(frozen=True)
class Module:
    """A file, as far as it is looked at here; of its syntax tree nothing is kept."""

    #: The full names of the modules from which it imports.
    imports: frozenset[str]
    #: The first line of its docstring.
    opening: str
    #: The lines that read the environment.
    environment: list[int]
    #: Texts in calls that may log.
    logged: frozenset[str]

    @property
    def packages(self) -> set[str]:
        return {module.split(".")[0] for module in self.imports}


@cache
def read(path: Path) -> Module:
    tree = ast.parse(path.read_text("utf-8"))
    nodes = list(ast.walk(tree))
    return Module(
        frozenset(_imports(nodes)),
        (ast.get_docstring(tree) or "").partition("\n")[0],
        [
            node.lineno
            for node in nodes
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
        ],
        frozenset(_logged(nodes)),
    )


def _imports(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _logged(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        if getattr(node.func, "attr", getattr(node.func, "id", "")) in LOGGING:
            parts = (part for argument in node.args for part in ast.walk(argument))
            yield from (
                part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )


def modules_that(is_wrong: Callable[[Path], object]) -> list[str]:
    """Return the names of the engine's modules of which this is true: one test of all costs less than one of each."""
    return [str(path.relative_to(ROTA)) for path in MODULES if is_wrong(path)]


def test_the_engine_never_imports_the_jobs() -> None:
    assert modules_that(lambda path: "jobs" in read(path).packages) == []


def test_jobs_import_from_rota_itself_alone() -> None:
    for path in (SRC / "jobs").rglob("*.py"):
        inner = {module for module in read(path).imports if module.startswith("rota.")}
        assert inner <= {"rota.testing"}, f"{path} reaches into the engine: {inner}"


def test_every_public_name_is_found() -> None:
    assert [name for name in rota.__all__ if not hasattr(rota, name)] == []


def test_only_the_wire_knows_how_keys_are_spelt() -> None:
    assert modules_that(lambda path: '"arq:' in path.read_text("utf-8")) == ["wire/keys.py"]


def test_only_the_settings_read_the_environment() -> None:
    # And the check of health, a program of its own, which imports nothing.
    assert modules_that(lambda path: read(path).environment) == ["process/health.py", "settings/load.py"]


def test_nothing_is_pickled() -> None:
    pickling = {"pickle", "cPickle", "dill", "marshal", "shelve"}
    assert modules_that(lambda path: pickling & read(path).packages) == []


def test_values_do_no_io_and_read_no_clock() -> None:
    forbidden = {"asyncio", "os", "socket", "subprocess", "threading", "time", "redis", "arq"}

    def is_wrong(path: Path) -> bool:
        is_value = path.relative_to(ROTA).parts[0] in {"units.py", "names.py", "errors", "model"}
        # Ids sort by the time they were made.
        allowed = {"os", "threading", "time"} if path == ROTA / "names.py" else set()
        return is_value and not read(path).packages & forbidden <= allowed

    assert modules_that(is_wrong) == []


def test_every_module_opens_with_a_sentence() -> None:
    for path in [*MODULES, *(SRC / "jobs").rglob("*.py")]:
        assert read(path).opening.endswith((".", "`", ":", "?")), path


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
    found = {text for path in MODULES for text in read(path).logged if re.fullmatch(EVENT, text)}
    # These are put together: of the events of jobs those that a worker is told of, and what is stuck.
    of_jobs = {f"job.{kind}" for kind in EventType if kind is not EventType.ENQUEUED}
    return frozenset(found | of_jobs | {"handler.stuck", "thread.stuck"})


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
