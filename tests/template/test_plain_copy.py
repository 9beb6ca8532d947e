"""A copy of the files alone: nothing in it needs the history, or the place where it comes from."""

import subprocess
from pathlib import Path

import pytest

from tests.container.checkout import copy_checkout

ROOT = Path(__file__).parents[2]
#: The tests of what lies beside the code, which a copy could break, but for those that take long.
OF_FILES = (
    *(
        "tests/unit/template",
        "tests/unit/jobs",
        "tests/test_conventions.py",
        "tests/stories/test_01_a_first_job.py",
    ),
    "--ignore=tests/unit/template/test_benchmarks.py",
    "--ignore=tests/unit/template/test_conditions.py",
    "--ignore=tests/unit/template/test_peers.py",
)


@pytest.mark.timeout(300)
def test_without_its_history_it_passes_the_tests_of_its_files(tmp_path: Path) -> None:
    copy = copy_checkout(tmp_path / "mine")
    assert not (copy / ".git").exists()
    # What the copy is set up from is the same as here, and so is the environment.
    (copy / ".venv").symlink_to(ROOT / ".venv")
    made = subprocess.run(
        ["make", "-o", ".venv/.rota-setup", "test", f"ARGS={' '.join(OF_FILES)}", "PROCESSES=2"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout[-3000:]
    assert " passed" in made.stdout
