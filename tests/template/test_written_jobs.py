"""What `rota new job` writes is held to the checks of the checkout, and its tests are run: in a checkout of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.typed import CACHE, SOURCE

ROOT = SOURCE.parent
ASKED = {
    "on_the_loop": (),
    "in_a_thread": ("--kind", "thread", "--queue", "billing"),
    "in_a_process": ("--kind", "process", "--every", "0 4 * * *"),
    "a" * 40: ("--queue", "reports", "--every", "5m"),
}


class Checkout:
    """A checkout with the jobs of the template, without samples, and a link to the engine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(
            SOURCE / "jobs",
            folder / "src" / "jobs",
            ignore=shutil.ignore_patterns("samples", "__pycache__"),
        )
        (folder / "src" / "rota").symlink_to(SOURCE / "rota")
        shutil.copy(ROOT / "pyproject.toml", folder)

    def run(self, *arguments: str) -> str:
        """Run a module of Python in the checkout, and return what it prints."""
        path = os.pathsep.join([str(self.folder / "src"), str(SOURCE)])
        ran = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "MYPYPATH": path},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert ran.returncode == 0, f"{arguments}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Make a checkout, and in it a job of each kind."""
    made = Checkout(tmp_path_factory.mktemp("template"))
    for name, options in ASKED.items():
        made.run("rota", "new", "job", name, *options)
    return made


def test_the_tests_that_it_writes_pass_at_once(checkout: Checkout) -> None:
    said = checkout.run("pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert f"{2 * len(ASKED)} passed" in said


@pytest.mark.parametrize("command", ["check", "format"])
def test_it_is_written_as_the_formatter_and_the_linter_want(checkout: Checkout, command: str) -> None:
    options = ["--check"] if command == "format" else []
    checkout.run("ruff", command, *options, "--no-cache", "src/jobs", "tests")


def test_the_types_fit_strictly(checkout: Checkout) -> None:
    written = [path for name in ASKED for path in (f"src/jobs/{name}.py", f"tests/jobs/test_{name}.py")]
    options = ("--strict", "--explicit-package-bases", "--follow-imports=silent", f"--cache-dir={CACHE}")
    assert f"no issues found in {len(written)} source files" in checkout.run("mypy", *options, *written)


def test_a_worker_has_all_of_them(checkout: Checkout) -> None:
    rows = [line.split("\t")[:2] for line in checkout.run("rota", "list").splitlines()]
    assert rows[1:] == [
        ["billing:in_a_thread", "thread"],
        ["default:in_a_process", "process"],
        ["default:on_the_loop", "async"],
        ["email:greet", "async"],
        ["reports:" + "a" * 40, "async"],
    ]
