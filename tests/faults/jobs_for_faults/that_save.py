"""Long jobs that save how far they are; where they began and what they had saved is in the ledger, too.

A step is noted as `saved-<number>` once `run.checkpoint` has returned, and where an attempt goes on as `from-<number>`.
"""

import asyncio
import time

from rota import Run, job
from tests.faults.jobs_for_faults.ledger import note


def begin(run: Run) -> int:
    place: int = run.last_checkpoint["step"] if run.last_checkpoint else 0
    note(run, f"from-{place}")
    return place


def save(run: Run, place: int) -> None:
    run.checkpoint({"step": place})
    note(run, f"saved-{place}")


@job(max_attempts=1)
async def walk(run: Run, steps: int, pace: float = 0.01) -> None:
    """Climb on the loop; when told to stop, take a last step."""
    place = begin(run)
    try:
        while place < steps:
            place += 1
            save(run, place)
            await asyncio.sleep(pace)
    except asyncio.CancelledError:
        save(run, place + 1)
        raise
    note(run, "end")


@job(max_attempts=1)
def walk_in_a_thread(run: Run, steps: int, pace: float = 0.01) -> None:
    """Climb in a thread until told to stop."""
    place = begin(run)
    while place < steps and not run.cancelled:
        place += 1
        save(run, place)
        time.sleep(pace)
    if place == steps:
        note(run, "end")


@job(process=True, max_attempts=1)
def walk_in_a_process(run: Run, steps: int, pace: float = 0.01) -> None:
    """Climb in a child process until killed."""
    place = begin(run)
    while place < steps:
        place += 1
        save(run, place)
        time.sleep(pace)
    note(run, "end")
