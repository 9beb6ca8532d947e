"""The rooms of the engine, in order, and the two rules that keep them apart.

A room imports from rooms on lines above its own, never from a room on its own line. Imports for the type checker count.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROTA = Path(__file__).parents[1] / "src" / "rota"

ROOMS = """
    units  names
    errors
    wire
    model
    seams
    process
    server
    settings
    telemetry  engine
    flows  worker  store
    client  attempts  fleet
    services
    app
    api
    cli  testing
"""
LINE_OF = {room: number for number, line in enumerate(ROOMS.split("\n")) for room in line.split()}
#: What users import from: it names everything, lazily, and so stands in no room.
FRONT = {"__init__", "__main__"}


def modules() -> list[Path]:
    return sorted(path for path in ROTA.rglob("*.py") if room_of(path) not in FRONT)


def room_of(path: Path) -> str:
    return path.relative_to(ROTA).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """Yield the full name of every module of the engine that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "rota")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} has a relative import, which is not looked at here"
            if node.module == "rota":
                # `from rota import wire` imports rota.wire.
                yield from (f"rota.{alias.name}" for alias in node.names)
            elif node.module and node.module.startswith("rota."):
                yield node.module


def test_every_room_is_on_the_list() -> None:
    assert {room_of(path) for path in modules()} == set(LINE_OF)


def test_a_room_imports_from_the_lines_above_its_own() -> None:
    wrong = []
    for path in modules():
        own, name = room_of(path), path.relative_to(ROTA)
        for module in imported(path):
            other = module.split(".")[1]
            if other not in LINE_OF:
                wrong.append(f"{name}: {module} is imported from the front, not from its room")
            elif other != own and LINE_OF[other] >= LINE_OF[own]:
                wrong.append(f"{name}: {own} imports {module}, which is not on a line above it")
    assert wrong == []


def test_no_room_holds_more_than_one_can_survey() -> None:
    for folder in {path.parent for path in modules()} - {ROTA}:
        names = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(names) <= 14, f"{folder.relative_to(ROTA)} holds {len(names)} modules"
    assert len([one for one in ROTA.iterdir() if one.name != "__pycache__"]) <= 25


def test_a_room_opens_with_one_sentence_and_nothing_else() -> None:
    # So that the import of one module of a room loads that module alone. `testing` is public, and the classes of
    # `errors` are known by the name of the package.
    for path in ROTA.rglob("__init__.py"):
        if room_of(path) not in {*FRONT, "testing", "errors", "api"}:
            (only,) = ast.parse(path.read_text("utf-8")).body
            assert isinstance(only, ast.Expr), path
