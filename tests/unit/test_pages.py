"""What the pages show is run: each section of `docs/workers.md` is a test module of its own, with its own jobs."""

import re
from pathlib import Path

import pytest

import rota

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "workers.md"
CONFTEST = """
import pytest
from rota import Job

pytest_plugins = ["rota.testing"]


@pytest.fixture
def bench_jobs(request):
    return [value for value in vars(request.module).values() if isinstance(value, Job)]
"""


def sections() -> dict[str, str]:
    """The Python of each section of the page, by its title."""
    _, *parts = re.split(r"(?m)^## ", PAGE.read_text("utf-8"))
    found = {part.splitlines()[0]: re.findall(r"(?s)```python\n(.*?)```", part) for part in parts}
    return {title: "\n\n".join(blocks) for title, blocks in found.items() if blocks}


@pytest.mark.parametrize("title", sections())
def test_a_section_s_examples_work(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, title: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(rota.__file__).parents[1]))
    pytester.makeconftest(CONFTEST)
    examples = sections()[title]
    tests = examples.count("def test_")
    assert tests, f"no test runs the code of the section {title!r}"
    pytester.makepyfile(examples)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=tests)


def test_every_block_of_code_is_python_that_is_run() -> None:
    fences = re.findall(r"(?m)^```(\w+)$", PAGE.read_text("utf-8"))
    assert set(fences) == {"python"}
