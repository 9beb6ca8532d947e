"""The architecture, as far as a program can read it: who may import whom, and who may know what.

Imports go one way: pure ← engine room ← adapters ← wiring, and the seams' folders stand between the last two.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
ROTA = SRC / "rota"

#: Each module is on one level, and imports from its own level and those above it in this list.
LEVELS: dict[str, frozenset[str]] = {
    # No I/O, no clock, no environment: values and the functions that decide on them.
    "pure": frozenset(
        {
            "backoff",
            "carried",
            "checkpoint",
            "batch",
            "demand",
            "duration",
            "errors",
            "escaping",
            "event",
            "flow_handle",
            "forms",
            "handle",
            "info",
            "job",
            "keys",
            "limits",
            "marks",
            "names",
            "options",
            "outcome",
            "payload",
            "pipelines",
            "redis_target",
            "room",
            "run",
            "scaling",
            "seams",
            "series",
            "settlement",
            "shares",
            "size",
            "signature",
            "spelling",
            "state",
            "terms",
            "tls",
            "trace",
            "uniqueness",
        }
    ),
    "engine room": frozenset(
        {
            "advice",
            "attempt",
            "codec",
            "config",
            "enqueued",
            "environment",
            "execution",
            "flow",
            "queue_settings",
            "redis_variables",
            "registry",
            "runner",
            "setting_types",
            "settings",
            "settling",
            "tally",
            "wrong_settings",
        }
    ),
    "adapters": frozenset(
        {
            "batches",
            "cancellation",
            "child",
            "client",
            "connection",
            "contract",
            "cron",
            "dead_letters",
            "embedded",
            "endpoint",
            "engine",
            "explained",
            "figures",
            "fanout",
            "flow_view",
            "flows",
            "fleet",
            "guardian",
            "heartbeat",
            "items",
            "lane",
            "leases",
            "loop_watch",
            "metering",
            "metrics",
            "outage",
            "pulse",
            "packing",
            "parcels",
            "pools",
            "place",
            "ports",
            "protocol",
            "reading",
            "records",
            "recycling",
            "server_check",
            "server_facts",
            "server_faults",
            "shift",
            "signals",
            "tasks",
            "twins",
            "view",
            "wake",
            "worker",
        }
    ),
    "seams": frozenset(
        {
            "middleware",
            "otel",
            "relay",
            "sentry",
            "services",
            "subscribers",
        }
    ),
    "wiring": frozenset(
        {
            "__init__",
            "__main__",
            "app",
            "autoscaler",
            "cli",
            "exporter",
            "health",
            "logs",
            "prompt",
            "respawn",
            "job_commands",
            "scaling_commands",
            "screen",
            "supervisor",
            "testing",
            "vitals",
        }
    ),
}
ORDER = list(LEVELS)

#: Who may import arq and redis-py; who may import the spelling of the keys.
SPEAKS_REDIS = LEVELS["adapters"] | {"app", "cli", "prompt", "supervisor", "testing"}
KNOWS_KEYS = {
    *(
        "app",
        "batches",
        "cancellation",
        "client",
        "dead_letters",
        "pulse",
        "fanout",
        "flows",
        "heartbeat",
        "parcels",
        "protocol",
        "reading",
        "setting_types",
        "testing",
    ),
    "queue_settings",
    "settings",
    "view",
    "worker",
}


def modules() -> list[Path]:
    return sorted(ROTA.rglob("*.py"))


def name_of(path: Path) -> str:
    """The top-level name under `rota` that a file belongs to."""
    relative = path.relative_to(ROTA)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def level_of(name: str) -> int:
    return next(index for index, level in enumerate(ORDER) if name in LEVELS[level])


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imports(path: Path, *, run_time_only: bool = False) -> tuple[str, ...]:
    """Every module that a file imports, in full; without those that only a type checker sees."""
    return tuple(_imports(parsed(path), run_time_only))


def _imports(tree: ast.Module, run_time_only: bool) -> Iterator[str]:
    skipped = set(_type_checking(tree)) if run_time_only else set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from rota import codec` imports rota.codec.
            if node.module == "rota":
                yield from (f"rota.{alias.name}" for alias in node.names)
            else:
                yield node.module


def _type_checking(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from ast.walk(node)


def test_every_module_has_its_level() -> None:
    known = {name for level in LEVELS.values() for name in level}
    assert {name_of(path) for path in modules()} <= known


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROTA)))
def test_imports_go_one_way(path: Path) -> None:
    own = level_of(name_of(path))
    if name_of(path) == "__init__":
        return  # the front door names everything, lazily
    for module in imports(path, run_time_only=True):
        if module.startswith("rota."):
            other = module.split(".")[1]
            assert level_of(other) <= own, (
                f"{path.name} ({ORDER[own]}) imports {module} ({ORDER[level_of(other)]})"
            )


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROTA)))
def test_the_engine_never_imports_the_jobs(path: Path) -> None:
    assert not [module for module in imports(path) if module.split(".")[0] == "jobs"]


def test_jobs_import_only_public_names() -> None:
    for path in (SRC / "jobs").rglob("*.py"):
        inner = [module for module in imports(path) if module.startswith("rota.") and module.count(".") > 0]
        public = {f"rota.{name}" for name in _public_names()}
        assert not set(inner) - public, f"{path} reaches into the engine: {inner}"


def _public_names() -> list[str]:
    import rota

    return rota.__all__


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROTA)))
def test_only_adapters_speak_redis(path: Path) -> None:
    if name_of(path) not in SPEAKS_REDIS:
        assert not [module for module in imports(path) if module.split(".")[0] in ("redis", "arq")]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROTA)))
def test_only_few_know_how_keys_are_spelt(path: Path) -> None:
    name = name_of(path)
    if name not in KNOWS_KEYS:
        assert "rota.keys" not in set(imports(path))
    if name not in KNOWS_KEYS | {"keys"}:
        assert '"arq:' not in path.read_text("utf-8")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROTA)))
def test_only_the_settings_read_the_environment(path: Path) -> None:
    if name_of(path) == "config":
        return
    reads = [
        node
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
    ]
    assert not reads


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROTA)))
def test_nothing_is_pickled(path: Path) -> None:
    assert not {"pickle", "cPickle", "dill", "marshal", "shelve"} & {m.split(".")[0] for m in imports(path)}


@pytest.mark.parametrize(
    "path", [path for path in modules() if name_of(path) in LEVELS["pure"]], ids=lambda path: path.name
)
def test_pure_modules_do_no_io_and_read_no_clock(path: Path) -> None:
    forbidden = {"asyncio", "os", "socket", "subprocess", "threading", "time", "redis", "arq"}
    # Ids sort by the time they were made, and exceptions of asyncio are values too.
    allowed = {"names": {"os", "threading", "time"}, "marks": {"asyncio"}}.get(path.stem, set())
    found = {module.split(".")[0] for module in imports(path)} & forbidden
    assert found <= allowed


def test_every_module_opens_with_a_sentence() -> None:
    for path in [*modules(), *(SRC / "jobs").rglob("*.py")]:
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        assert docstring, path
        assert docstring.splitlines()[0].endswith((".", "`", ":", "?")), path


def test_every_script_says_its_keys_arguments_and_return() -> None:
    for path in (ROTA / "scripts").glob("*.lua"):
        text = path.read_text("utf-8")
        for word in ("-- KEYS", "-- ARGV", "Returns"):
            assert word in text, f"{path.name} does not say its {word}"


def test_every_part_of_scripts_opens_with_its_name_and_what_it_is_for() -> None:
    for path in (ROTA / "scripts" / "lib").glob("*.lua"):
        name, sentence, *_ = path.read_text("utf-8").splitlines()
        assert re.fullmatch(r"-{100} .+", name), path
        assert re.match(r"-- [A-Z].{40}", sentence), path
