"""Clean copies of this checkout: what git tracks or would track, as a fresh clone has it."""

import shutil
from pathlib import Path

from tests.files import ROOT, files

JOB = '''"""The job that the tests of the image enqueue."""

import asyncio

from rota import Run, job


@job
async def rest(run: Run, seconds: float) -> None:
    await asyncio.sleep(seconds)
'''


def copy_checkout(to: Path) -> Path:
    """Copy the files of the checkout into the folder `to`; deleted and ignored ones are not taken along."""
    for source in files():
        target = to / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    return to


def with_a_job(checkout: Path) -> Path:
    """Give the jobs package of a copy the job that the tests of the image enqueue; return the copy."""
    (checkout / "src" / "jobs" / "resting.py").write_text(JOB, "utf-8")
    return checkout
