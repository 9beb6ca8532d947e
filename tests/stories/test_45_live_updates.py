"""Live updates: a job is followed to its end over HTTP, and a listener that is cut off goes on where it was."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

from rota import Run, job
from tests.integration.api.serving import Api, listening
from tests.servers import RedisServer


@job(queue="reports")
async def write_report(run: Run, pages: int) -> str:
    for page in range(pages):
        run.progress(100 * page / pages, f"page {page + 1}")
    return "done"


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with listening(server.url, write_report) as found:
        yield found


async def test_a_job_is_followed_to_its_end(api: Api) -> None:
    begun = await api.post("/jobs/write_report", {"payload": {"pages": 3}})
    url = begun.json()["links"]["self"]
    async with api.http.stream("GET", f"{url}/events") as answer:
        updates = [update async for update in read(answer)]
    assert updates[-1]["status"] == "COMPLETED"
    assert {update["jobId"] for update in updates} == {begun.json()["id"]}


async def test_a_listener_that_is_cut_off_goes_on_where_it_was(api: Api) -> None:
    url = str(api.http.base_url).replace("http", "ws") + "/ws"
    async with connect(url) as socket:
        ready = json.loads(await socket.recv())
    await api.post("/jobs/write_report", {"payload": {"pages": 1}})
    async with connect(url) as socket:
        await socket.send(json.dumps({"subscribe": {"queue": "reports"}, "after": ready["id"]}))
        statuses = []
        while "COMPLETED" not in statuses:
            told = json.loads(await socket.recv())
            statuses += [told["data"]["status"]] if told["event"] == "job" else []
    assert statuses[:2] == ["PENDING", "RUNNING"]


async def read(answer: httpx2.Response) -> AsyncIterator[Any]:
    """Yield the updates of a stream of server-sent events, until it ends."""
    kind = ""
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        kind = value if name == "event" else kind
        if name == "data" and kind == "job":
            yield json.loads(value)
