"""The API on a real Redis: in a test's own process with workers beside it, and in a process of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

import rota.api
from rota import Client
from rota.api.process import HttpServer
from rota.process.ports import listen
from rota.settings.load import load
from tests.processes import ROOT, Worker, environment
from tests.waiting import until
from tests.workers import AnyJob, registry_of, serving

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Api:
    """The API while it answers: an HTTP client of it, and the client that its workers have."""

    http: httpx2.AsyncClient
    client: Client
    app: FastAPI

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """Send a body as JSON. Bytes and text are sent as they are."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes | str):
            return await self.http.post(path, content=body, headers=JSON | named)
        return await self.http.post(path, json=body, headers=named)


@contextlib.asynccontextmanager
async def answering(url: str, *jobs: AnyJob, works: bool = True, **variables: str) -> AsyncIterator[Api]:
    """Run the API on the server at `url`, and a worker for each queue of `jobs` beside it, or with `works` off none."""
    settings = load({"REDIS_URL": url, "METRICS_PORT": "off", **variables})
    api = rota.api.create(settings, registry_of(jobs, settings.default_queue))
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(rota.api.lifespan(api))
        client = api.state.desk.client
        if works:
            client = (await stack.enter_async_context(serving(url, *jobs, **variables))).client
        transport = httpx2.ASGITransport(app=api)
        http = httpx2.AsyncClient(transport=transport, base_url="http://localhost")
        yield Api(await stack.enter_async_context(http), client, api)


@contextlib.asynccontextmanager
async def listening(url: str, *jobs: AnyJob, **variables: str) -> AsyncIterator[Api]:
    """Run the API as `answering` does, behind a real server: answers that never end need one."""
    async with contextlib.AsyncExitStack() as stack:
        found = await stack.enter_async_context(answering(url, *jobs, works=True, **variables))
        listener = stack.enter_context(contextlib.closing(listen("127.0.0.1", 0)))
        serving = HttpServer(found.app)
        task = asyncio.create_task(serving.serve(sockets=[listener]))
        await until(lambda: serving.started, "the server has started")
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=base, timeout=10))
        try:
            yield Api(http, found.client, found.app)
        finally:
            await found.app.state.desk.hub.close()
            serving.should_exit = True
            await task


def started(log: Path, url: str, **variables: str) -> Worker:
    """Start MODE=api in a process of its own, without workers, on the server at `url`, with the jobs of fault tests."""
    own = environment(
        ROOT,
        REDIS_URL=url,
        MODE="api",
        ENABLE_JOB_RUNNER="off",
        API_PORT="0",
        JOBS_PACKAGE="tests.faults.jobs_for_faults",
        **variables,
    )
    return Worker(log, own)


@contextlib.asynccontextmanager
async def api_process(folder: Path, url: str) -> AsyncIterator[tuple[Worker, int]]:
    """Yield such a process that answers, with its log in `folder`, and its port."""
    with contextlib.closing(started(folder / "log", url, LOG_FORMAT="json")) as process:
        await until(lambda: process.says("api.ready"), f"ready: {process.log}")
        (ready,) = process.events("api.ready")
        yield process, ready["port"]
