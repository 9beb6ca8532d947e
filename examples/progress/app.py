"""An application of your own with a page that follows a job: `uvicorn examples.progress.app:app --port 8080`.

Its visitors have no key of rota's API. They get tickets from the application, each for one connection to the one job
that they may see; an application with a login asks here whether it is theirs.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse

import rota.api
from examples.progress.jobs import build_report

PAGE = Path(__file__).parent / "page.html"

api = rota.api.create()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with rota.api.lifespan(api):
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/rota", api)


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(PAGE)


@app.post("/reports")
async def begin(rows: int = 1_000_000) -> dict[str, str]:
    """Begin a report, and return where it is followed."""
    report = await build_report.enqueue(rows=rows)
    return {"id": report.id, "url": f"/rota/jobs/{report.queue}/{report.id}"}


@app.post("/reports/{id}/ticket")
async def ticket(id: str) -> str:  # noqa: A002 - the name in the path
    """Return a ticket for one report."""
    return await rota.api.ticket(api, "reports", id)
