"""Pictures and reports, slow, with progress; and the flow that publishes an album."""

import asyncio
import os
from pathlib import Path

from rota import Run, each, every, job, pipeline


@job(queue="images", timeout=600)
async def thumbnail(run: Run, picture: str) -> str:
    """Scale a picture down to a tenth of its size."""
    for part in range(1, 5):
        run.progress(25 * part, f"part {part} of 4")
        await asyncio.sleep(float(os.environ.get("SHOP_PACE", "0.1")))
    return f"{picture}.webp"


@job(queue="images")
async def pictures_of(run: Run, album: str, count: int) -> list[str]:
    """List the pictures of an album by their names."""
    return [f"{album}-{number}" for number in range(1, count + 1)]


@job(queue="images")
async def publish(run: Run, names: list[str]) -> int:
    """Publish an album once all of its pictures are there."""
    return len(names)


@job(queue="reports", timeout=3600)
async def monthly_report(run: Run, *, month: str) -> dict[str, str | int]:
    """Write the report of a month, step by step, until a file named by SHOP_DONE is there."""
    step = 0
    while not Path(os.environ.get("SHOP_DONE", "/")).exists():
        step = min(step + 1, 95)
        run.progress(step, f"{step * 120:,} of 12,000 orders read")
        if step % 10 == 1:
            run.log.info("orders.read", extra={"month": month, "orders": step * 120})
        await asyncio.sleep(0.2)
    run.progress(100, "written")
    return {"month": month, "orders": 12_000, "file": f"reports/{month}.pdf"}


@every("30 3 * * *", tz="Europe/Berlin", name="nightly-clean-up")
@job(queue="reports")
async def clean_up(run: Run) -> int:
    """Remove files that no order needs any longer."""
    return 12


album = pipeline(pictures_of, each(thumbnail), publish)
