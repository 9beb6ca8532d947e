"""The job of the example: it takes its time, and says how far it is."""

import asyncio

from rota import Run, job

_PORTION = 10_000


@job(queue="reports", timeout=600)
async def build_report(run: Run, rows: int) -> int:
    """Count up to `rows`, in portions, and return `rows`."""
    for done in range(0, rows, _PORTION):
        run.progress(100 * done / rows, f"{done:,} of {rows:,} rows")
        await asyncio.sleep(0.1)
    return rows
