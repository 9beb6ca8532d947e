"""The API in a test's own process: the real application on a real Redis, with workers beside it."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2

import rota.api
from rota import Client
from rota.settings.load import load
from tests.workers import AnyJob, registry_of, serving

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Api:
    """The API while it answers: an HTTP client of it, and the client that its workers have."""

    http: httpx2.AsyncClient
    client: Client

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
        yield Api(await stack.enter_async_context(http), client)
