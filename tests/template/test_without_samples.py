"""`make remove-samples`, done in a copy: what is left passes its checks and its tests, and asks for nothing else."""

import re
import shutil
import subprocess
from difflib import ndiff
from pathlib import Path

import pytest

from tests.container.checkout import copy_checkout
from tests.template.projects import Origin

ROOT = Path(__file__).parents[2]
#: The tests of the user's folder, of what lies beside the code, and of a worker on the jobs that are left.
OF_WHAT_IS_LEFT = (
    *(
        "tests/jobs",
        "tests/unit/jobs",
        "tests/unit/template",
        "tests/test_conventions.py",
        "tests/test_words.py",
    ),
    *(
        "tests/integration/test_packaging.py",
        "tests/integration/test_readme.py",
        "tests/integration/test_dev.py",
    ),
    "--ignore=tests/unit/template/test_benchmarks.py",
    "--ignore=tests/unit/template/test_conditions.py",
    "--ignore=tests/unit/template/test_peers.py",
)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the checkout, and remove the samples from the copy as a team would."""
    copy = copy_checkout(tmp_path_factory.mktemp("without") / "samples")
    # What the copy is set up from is the same as here, and so is the environment.
    (copy / ".venv").symlink_to(ROOT / ".venv")
    shutil.copytree(ROOT / ".mypy_cache", copy / ".mypy_cache", ignore=shutil.ignore_patterns("of_tests"))
    said = make(copy, "remove-samples")
    assert "deleted src/jobs/samples\n" in said
    return copy


def make(folder: Path, *words: str) -> str:
    ran = subprocess.run(
        ["make", "-o", ".venv/.rota-setup", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-1000:]
    return ran.stdout


def texts(folder: Path) -> dict[str, str]:
    """Return the files of a copy as text, by their paths, without what is linked and cached."""
    return {
        str(path.relative_to(folder)): path.read_text("utf-8", "replace")
        for path in folder.rglob("*")
        if path.is_file()
        and not re.search(r"/\.(venv|mypy_cache|ruff_cache|pytest_cache)/|__pycache__", str(path))
    }


def test_only_what_is_of_the_samples_is_gone(bare: Path) -> None:
    before, after = texts(copy_checkout(bare.parent / "before")), texts(bare)
    gone = {path for path in before if path not in after}
    assert all(re.match(r"src/jobs/samples/|tests/samples/|examples/demo/", path) for path in gone)
    changed = {path for path, text in after.items() if before.get(path) != text}
    assert changed == {
        *("README.md", "engine.mk", "src/jobs/__init__.py"),
        *("requirements/worker.in", "requirements/worker.txt", "requirements/dev.txt"),
        "requirements/project.txt",
    }
    for path in changed:
        assert not re.search(r"samples|make demo|aiosmtplib|pillow", after[path], re.IGNORECASE), path
        added = [
            line for line in ndiff(before[path].splitlines(), after[path].splitlines()) if line[0] == "+"
        ]
        assert added == [], path


def test_the_requirements_fit_together(bare: Path) -> None:
    for name in ("worker", "dev", "project"):
        locked = (bare / "requirements" / f"{name}.txt").read_text()
        assert re.findall(r"(?m)^\S+==", locked), name
        # Each line that goes on is followed by one of its hashes, and none stands alone.
        assert not re.search(r"(?m)\\\n(?!    )|(?<!\\)\n    ", locked)


def test_again_it_does_nothing(bare: Path) -> None:
    assert make(bare, "remove-samples").startswith("the samples are gone")


@pytest.mark.timeout(400)
def test_what_is_left_passes_its_checks(bare: Path) -> None:
    make(bare, "check")


@pytest.mark.timeout(400)
def test_what_is_left_passes_its_tests(bare: Path) -> None:
    said = make(bare, "test", f"ARGS={' '.join(OF_WHAT_IS_LEFT)}", "PROCESSES=2")
    assert " passed" in said
    assert " failed" not in said


def test_the_targets_that_need_the_samples_are_gone_too(bare: Path) -> None:
    assert not re.search(r"(?m)^ +make demo ", make(bare, "help"))
    assert (bare / "examples" / "progress" / "app.py").exists()


def test_a_project_that_was_made_with_them_removes_them_by_the_same_command(
    origin: Origin, tmp_path: Path
) -> None:
    project = origin.make(tmp_path / "shop", project_name="Shop")
    assert (project / "src" / "jobs" / "samples" / "email.py").exists()
    assert "changed requirements/worker.in\n" in make(project, "remove-samples")
    assert not (project / "src" / "jobs" / "samples").exists()
    assert not re.search("aiosmtplib|pillow", (project / "requirements" / "dev.txt").read_text("utf-8"))
