"""The commands and options that the documents name are those that the program has."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from rota.cli.main import cli

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
#: A line of code, or a span of it, that begins with the command, behind variables that it sets or not.
WRITTEN = re.compile(
    r"(?:^ {4}|`)(?:[A-Z_]+=\S+ )*(?:python -m )?rota ([a-z][a-z-]*)([^`\n#]*)", re.MULTILINE
)


def options() -> dict[str, set[str]]:
    """Return the options of each command."""
    group = get_command(cli)
    assert isinstance(group, typer.core.TyperGroup)
    return {
        name: {"--help", "-h", *(word for one in command.params for word in (*one.opts, *one.secondary_opts))}
        for name, command in group.commands.items()
    }


def named(page: Path) -> Iterator[tuple[str, str]]:
    """Yield each command that a page names, with the words behind it."""
    for found in WRITTEN.finditer(page.read_text("utf-8")):
        yield found[1], found[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_and_option_that_a_page_names_is_there(page: Path) -> None:
    known = options()
    for command, words in named(page):
        assert command in known, f"{page.name} names `rota {command}`"
        for option in re.findall(r"(?<!\S)--[a-z-]+", words):
            assert option in known[command], f"{page.name} names `rota {command} {option}`"


def test_the_pages_name_enough_for_this_to_mean_something() -> None:
    found = {command for page in PAGES for command, _ in named(page)}
    assert {"worker", "jobs", "show", "retry", "enqueue", "list", "desired", "plan"} <= found
