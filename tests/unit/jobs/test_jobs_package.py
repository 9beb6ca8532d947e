"""The user's folder: what is found in it, with and without the samples."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.lifespan import Dependencies, lifespan
from jobs.mailer import LogMailer
from rota.model.registry import discover

JOBS = Path(__file__).resolve().parents[3] / "src" / "jobs"


def test_the_samples_and_the_lifespan_are_found() -> None:
    registry = discover("jobs")
    assert {"default:sleep", "email:email", "reports:data_processing"} <= set(registry.full_names)
    assert registry.lifespan is lifespan


async def test_the_lifespan_yields_what_jobs_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_ENV", "development")
    monkeypatch.delenv("SMTP_HOST", raising=False)
    async with lifespan() as deps:
        assert isinstance(deps, Dependencies)
        assert isinstance(deps.mailer, LogMailer)


def test_without_the_samples_the_folder_still_works(tmp_path: Path) -> None:
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
    assert ran.stdout == "() jobs.lifespan\n"


def test_who_only_enqueues_needs_no_smtp_library() -> None:
    program = (
        "import sys; sys.modules['aiosmtplib'] = None\n"
        "from jobs.samples.email import email\n"
        "print(email.call('ann@example.org', 'Hello', 'How are you?').arguments)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=JOBS.parent
    )
    assert "ann@example.org" in ran.stdout
