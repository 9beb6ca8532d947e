"""What the pages show is run: each section is a test module of its own, with its own jobs.

`docs/testing.md`, whose sections build on each other, is run as a whole by the test kit's own tests.
"""

import ast
import re
from pathlib import Path

import pytest

import rota
from tests.typed import checked

pytest_plugins = ["pytester"]

DOCS = Path(__file__).parents[2] / "docs"
#: The pages whose code stands in fences.
PAGES = (
    *("jobs.md", "enqueueing.md", "retries.md", "timeouts.md", "progress.md", "limits.md", "unique-jobs.md"),
    *("flows.md", "checkpoints.md", "middleware.md", "cpu-bound.md", "idempotency.md"),
    *("events.md", "tracing.md", "metrics.md", "history.md", "scheduling.md", "api.md"),
    *("webhooks.md", "tenants.md"),
    *("from-celery.md", "from-rq.md", "from-saq.md", "from-bullmq.md"),
)
#: The pages whose code needs libraries that are not installed here: a type checker reads it, and its tests are run.
CHECKED = ("web-applications.md",)
#: Of the libraries that are not here nothing is known.
UNKNOWN = """
disallow_untyped_decorators = False
disallow_subclassing_any = False
disallow_untyped_defs = False
disallow_incomplete_defs = False
disallow_any_unimported = False
warn_return_any = False
"""
CONFTEST = """
import pytest
from rota import Job

pytest_plugins = ["rota.testing"]


@pytest.fixture
def bench_jobs(request):
    return [value for value in vars(request.module).values() if isinstance(value, Job)]
"""


def sections() -> dict[str, str]:
    """Return the Python of each section, by its page and title."""
    found = {}
    for page in (*PAGES, *CHECKED):
        _, *parts = re.split(r"(?m)^## ", (DOCS / page).read_text("utf-8"))
        for part in parts:
            blocks = re.findall(r"(?s)```python\n(.*?)```", part)
            if blocks and (page in PAGES or "def test_" in part):
                found[f"{page}: {part.splitlines()[0]}"] = "\n\n".join(blocks)
    return found


def runs() -> dict[str, list[str]]:
    """Group sections into runs of pytest: a start costs more than the examples."""
    found: dict[str, list[str]] = {}
    for title in sections():
        # Tracers are set up for a whole process.
        found.setdefault(title if title.startswith("tracing.md") else "all others", []).append(title)
    return found


@pytest.mark.parametrize("run", runs())
def test_the_examples_work(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, run: str) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(rota.__file__).parents[1]))
    # Its other plugins take as long to load as the examples need.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(CONFTEST)
    tests = 0
    for title in runs()[run]:
        examples = sections()[title]
        own = examples.count("def test_")
        assert own, f"no test runs the code of the section {title!r}"
        tests += own
        pytester.makepyfile(**{f"test_{re.sub(r'[^a-z]+', '_', title.lower())}": examples})
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin").assert_outcomes(
        passed=tests
    )


@pytest.mark.parametrize("page", CHECKED)
def test_the_examples_fit_the_types_of_what_they_use(tmp_path: Path, page: str) -> None:
    blocks = re.findall(r"(?s)```python\n(.*?)```", (DOCS / page).read_text("utf-8"))
    for number, block in enumerate(blocks):
        (tmp_path / f"block_{number}.py").write_text(block.replace("def test_", "def _test_"))
    out, err, status = checked(tmp_path, [f"block_{number}" for number in range(len(blocks))], UNKNOWN)
    assert (status, err) == (0, ""), out


@pytest.mark.parametrize("page", sorted(page.name for page in DOCS.glob("*.md")))
def test_every_block_of_code_is_python_that_is_run(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    # What has the name of another system for its title is that system's side of a comparison.
    theirs = re.compile(r'(?ms)^```(\w+) title="([^"]+)"$(.*?)^```$')
    for language, _, code in theirs.findall(text):
        assert language == "ts" or ast.parse(code)
    text = theirs.sub("", text)
    assert set(re.findall(r"(?m)^```(\w+)$", text)) <= {"python"}
    # The first job is followed in tests/template.
    assert "```" not in text or page in (*PAGES, *CHECKED, "testing.md", "from-arq.md", "first-job.md")
    # What is set in outside of fences is for the shell, or another program's.
    rest = re.sub(r"(?ms)^```python$.*?^```$", "", text)
    assert not re.search(r"(?m)^ {4}(from \S+ import |import |@job|(async )?def )", rest)
