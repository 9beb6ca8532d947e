"""The application as a whole: its document, mounted in another application, and as a process of its own."""

import contextlib
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated

import httpx2
from fastapi import FastAPI
from pydantic import AfterValidator, BaseModel, Field

import rota.api
from rota import Outgoing, Run, job
from rota.app.respawn import EXIT_AWAY
from rota.model.registry import Hooks
from rota.settings.load import load
from tests.integration.api.serving import answering, api_process, started
from tests.servers import RedisServer
from tests.workers import registry_of


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Car(BaseModel):
    colour: Colour
    wheels: Annotated[int, Field(ge=3, le=8)] = 4
    owners: list["Car"] = []


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("is even")
    return value


@job(queue="cars")
async def paint(run: Run, car: Car, coats: Annotated[int, Field(ge=2)], note: str | None = None) -> None:
    """Paint a car in one of the two colours that there are."""


@job
async def pick(run: Run, number: Annotated[int, Field(ge=2), AfterValidator(_odd)]) -> None:
    """Pick an odd number, of which no schema tells."""


JOBS = (paint, pick)


async def test_each_job_has_an_operation_with_its_own_schema_and_an_example_that_it_takes(
    server: RedisServer,
) -> None:
    async with answering(server.url, *JOBS, works=False) as api:
        document = (await api.http.get("/openapi.json")).json()
        operation = document["paths"]["/jobs/cars:paint"]["post"]
        body = operation["requestBody"]["content"]["application/json"]
        assert operation["description"] == "Paint a car in one of the two colours that there are."
        assert body["schema"]["properties"]["payload"]["required"] == ["car", "coats"]
        assert document["components"]["schemas"]["cars.paint.Colour"]["enum"] == ["red", "blue"]
        assert (await api.post("/jobs/cars:paint", body["example"])).status_code == 202
        odd = document["paths"]["/jobs/default:pick"]["post"]["requestBody"]["content"]["application/json"]
        assert "example" not in odd, "an example that the job refuses is none"
        assert "/jobs/{name}" not in document["paths"], "one operation a job is in its place"
        assert all_refs(document) <= set(document["components"]["schemas"])


def all_refs(part: object) -> set[str]:
    """Return the names of the schemas that a document refers to."""
    if isinstance(part, dict):
        own = {part["$ref"].rpartition("/")[2]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(all_refs, part.values()))
    return set().union(*map(all_refs, part)) if isinstance(part, list) else set()


async def test_it_is_mounted_in_another_application(server: RedisServer) -> None:
    api = rota.api.create(load({"REDIS_URL": server.url}), registry_of(JOBS))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with rota.api.lifespan(api):
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/rota", api)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        unstarted = await http.get("/rota/readyz")
        assert (unstarted.status_code, unstarted.json()["type"]) == (503, "urn:rota:problem:not-started")
        async with app.router.lifespan_context(app):
            answer = await http.post("/rota/jobs/pick", json={"payload": {"number": 3}})
            assert answer.headers["location"] == f"/rota/jobs/default/{answer.json()['id']}"
            assert (await http.get(answer.headers["location"])).json()["state"] == "waiting"


async def test_what_the_jobs_package_has_around_an_enqueue_is_around_those_of_the_api(
    server: RedisServer,
) -> None:
    told: list[str] = []

    @contextlib.contextmanager
    def sender(jobs: Sequence[Outgoing]) -> Iterator[None]:
        told.extend(one.task for one in jobs)
        yield

    registry = replace(registry_of(JOBS), hooks=Hooks(senders=(sender,)))
    api = rota.api.create(load({"REDIS_URL": server.url}), registry)
    transport = httpx2.ASGITransport(app=api)
    async with (
        rota.api.lifespan(api),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http,
    ):
        await http.post("/jobs/pick", json={"payload": {"number": 3}})
    assert told == ["pick"]


async def test_the_process_answers_until_it_is_told_to_stop(server: RedisServer, tmp_path: Path) -> None:
    async with api_process(tmp_path, server.url) as (process, port):
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            answer = await http.post("/jobs/work", json={"payload": {"seconds": 0.1}})
            assert answer.status_code == 202
            assert (await http.get(answer.headers["location"])).json()["state"] == "waiting"
            assert (await http.post("/jobs/none", json={})).status_code == 404
        process.send(signal.SIGTERM)
        assert await process.ended() == 0
        assert process.says("api.stopped")
        assert [event["event"] for event in process.events()] == [
            "redis.connected",
            "api.open",
            "api.ready",
            "api.stopped",
        ]


async def test_without_redis_the_process_ends_with_one_sentence(tmp_path: Path) -> None:
    away = "redis://127.0.0.1:1/0"
    with contextlib.closing(started(tmp_path / "log", away, BOOT_TIMEOUT="0.5")) as process:
        assert await process.ended() == EXIT_AWAY
        last = process.log.read_text("utf-8").splitlines()[-1]
        assert last.startswith("rota: redis://127.0.0.1:1/0 is not listening")
