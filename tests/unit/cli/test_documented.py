"""What the documents name is what the program has: commands and their options, options of jobs and enqueues."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from rota.cli.main import cli
from rota.model.job import JobFields
from rota.model.options import EnqueueFields

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


def test_every_command_is_named_on_a_page_and_a_job_is_shown_by_queue_and_id() -> None:
    assert options().keys() == {command for page in PAGES for command, _ in named(page)}
    for page in PAGES:
        for command, words in named(page):
            assert command != "show" or len(words.split()) != 1, f"{page.name}: rota show{words}"


# Options of jobs

JOBS = (ROOT / "docs" / "jobs.md").read_text("utf-8")
OF_A_JOB, OF_AN_ENQUEUE = set(JobFields.__annotations__), set(EnqueueFields.__annotations__)


def keywords(of: str) -> set[str]:
    """Return the keyword arguments of the calls of `of` in the code on all pages."""
    found: set[str] = set()
    for page in PAGES:
        for code in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
            named = [call for call in calls if getattr(call.func, "attr", getattr(call.func, "id", "")) == of]
            found |= {one.arg for call in named for one in call.keywords if one.arg}
    return found


def test_the_options_of_jobs_and_enqueues_are_all_in_the_table_and_no_others() -> None:
    rows = [line.split("|")[1:3] for line in JOBS.splitlines() if re.match(r"\|.*`[a-z_]+=`", line)]
    columns = zip(*rows, strict=True)
    of_a_job, of_an_enqueue = (set(re.findall(r"`([a-z_]+)=`", "".join(column))) for column in columns)
    assert (of_a_job, of_an_enqueue) == (OF_A_JOB, OF_AN_ENQUEUE)


def test_the_code_of_the_pages_gives_options_that_there_are() -> None:
    assert keywords("job") <= OF_A_JOB
    # The options of a pipeline are among those of a job.
    assert keywords("options") <= OF_AN_ENQUEUE
    for page in PAGES:
        assert "kind=" not in page.read_text("utf-8"), f"{page.name}: the option is process=True"
