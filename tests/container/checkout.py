"""Clean copies of this checkout: what git tracks or would track, as a fresh clone has it."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
JOB = '''"""The job that the tests of the image enqueue."""

import asyncio

from rota import Run, job


@job
async def rest(run: Run, seconds: float) -> None:
    await asyncio.sleep(seconds)
'''


def copy_checkout(to: Path) -> Path:
    """Copy the files of the checkout into the folder `to`; deleted and ignored ones are not taken along."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source = ROOT / name
        if source.is_file():
            target = to / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return to


def with_a_job(checkout: Path) -> Path:
    """Give the jobs package of a copy the job that the tests of the image enqueue; return the copy."""
    (checkout / "src" / "jobs" / "resting.py").write_text(JOB, "utf-8")
    return checkout
