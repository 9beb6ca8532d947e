"""The user's folder: what is found in it, with and without the samples, and that nothing else needs the samples."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from jobs.lifespan import Dependencies, lifespan
from rota.model.registry import discover
from tests.files import files

ROOT = Path(__file__).resolve().parents[3]
JOBS = ROOT / "src" / "jobs"
#: The folders that go together.
SAMPLES = (JOBS / "samples", ROOT / "tests" / "samples", ROOT / "examples" / "demo")
#: What takes them away.
REMOVING = {ROOT / "scripts" / "remove_samples.py", ROOT / "tests" / "template" / "test_without_samples.py"}


def test_the_jobs_and_the_lifespan_are_found() -> None:
    registry = discover("jobs")
    assert "email:greet" in registry.full_names
    assert registry.lifespan is lifespan


async def test_the_lifespan_yields_what_jobs_share() -> None:
    async with lifespan() as deps:
        assert isinstance(deps, Dependencies)


def test_the_first_job_is_the_one_in_the_readme() -> None:
    shown = re.search(
        r"(?s)```python\n# src/jobs/greetings\.py\n(.*?)```", (ROOT / "README.md").read_text("utf-8")
    )
    assert shown is not None
    without_docstrings = re.sub(r'(?m)^ *""".*"""\n', "", (JOBS / "greetings.py").read_text("utf-8"))
    assert without_docstrings.strip() == shown[1].strip()


def test_without_the_samples_the_first_job_and_the_lifespan_are_found(tmp_path: Path) -> None:
    shutil.copytree(JOBS, tmp_path / "jobs", ignore=shutil.ignore_patterns("samples", "__pycache__"))
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from rota.model.registry import discover\n"
        "found = discover('jobs')\n"
        "print(found.full_names, found.lifespan.__module__)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(JOBS.parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "('email:greet',) jobs.lifespan\n"


def test_nothing_else_needs_the_samples_or_their_variables() -> None:
    exempt = {Path(__file__), *REMOVING}
    needs = re.compile(
        r"\bjobs\.samples\b|\btests\.samples\b|\baiosmtplib\b|\bPIL\b|\bSMTP_HOST=|\bMEDIA_DIR\b"
    )
    found = {
        path
        for path in tracked(
            "src", "tests", "deploy", "benchmarks", "scripts", "examples", ".env.example", "docker-compose*"
        )
        if path not in exempt and not any(folder in path.parents for folder in SAMPLES)
        if needs.search(path.read_text("utf-8"))
    }
    # Among the variables of other programs; and the mail catcher is for whatever sends mail.
    assert found == {ROOT / "tests/unit/settings/test_load.py", ROOT / "docker-compose.yml"}


def tracked(*paths: str) -> list[Path]:
    """List the text files that a fresh clone would have."""
    found = files(*paths)
    assert len(found) > 300
    return [path for path in found if path.suffix not in (".gz", ".webp")]
