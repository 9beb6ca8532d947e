"""Random requests, made from the OpenAPI document: none meets a bug, and every answer is one that it names.

Schemathesis is imported by the test alone: each process of a test run would wait for it.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from rota import Run, every, job
from rota.settings.database_url import DatabaseTarget
from rota.store import migrations
from rota.store.engine import Database
from tests.integration.api.serving import Api, listening
from tests.servers import RedisServer

#: Requests of each operation; there are over thirty.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "5"))


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Car(BaseModel):
    colour: Colour
    wheels: Annotated[int, Field(ge=3, le=8)] = 4
    built: date | None = None
    owners: list["Car"] = []


@every("1h", name="hourly")
@job(queue="cars")
async def paint(run: Run, car: Car | None = None, coats: float = 1.0) -> str:
    return "done"


@job(max_attempts=1)
async def fail(run: Run, times: int, words: dict[str, Any] | None = None) -> None:
    raise ValueError("no")


@pytest.fixture
async def api(server: RedisServer, tmp_path: Path) -> AsyncIterator[Api]:
    url = f"sqlite:///{tmp_path}/jobs.db"
    database = Database(DatabaseTarget.from_url(url))
    await migrations.migrate(database)
    await database.close()
    async with listening(server.url, paint, fail, DATABASE_URL=url) as found:
        yield found


async def known(api: Api) -> dict[str, list[str]]:
    """Enqueue jobs, and return what the parameters of paths may be, so that something is there."""
    ids = []
    for options in ({}, {"id": "a"}, {"id": "later", "delay": 600}, {"id": "ä"}):
        answer = await api.post("/jobs/cars:paint", {"options": options})
        ids.append(answer.json()["id"])
    died = (await api.post("/jobs/fail", {"payload": {"times": 1}}, Prefer="wait=5")).json()
    hook = (await api.post("/webhooks", {"url": "https://example.com/"})).json()["id"]
    cause = (await api.http.get("/failures")).json()["items"][0]["cause"]
    return {
        "queue": ["cars", "default"],
        "id": [*ids, "a", died["id"]],
        "name": ["hourly", "paint", "cars:paint"],
        "cause": [cause],
        "webhook": [hook],
    }


def asked(api: Api, found: dict[str, list[str]], document: dict[str, Any]) -> None:
    """Send random requests of all operations, and check each answer."""
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.core.result import Ok
    from schemathesis.specs.openapi import checks

    all_checks = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.response_headers_conformance,
    ]
    schema = schemathesis.openapi.from_dict(document).exclude(path_regex="/events$")
    for one in schema.get_all_operations():
        assert isinstance(one, Ok)
        cases = st.one_of(*(one.ok().as_strategy(generation_mode=mode) for mode in GenerationMode))

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases, data=st.data())
        def ask(case: Any, data: st.DataObject) -> None:
            improve(case, data, found)
            answer = case.call(base_url=str(api.http.base_url), timeout=20)
            case.validate_response(answer, checks=all_checks)

        ask()


def improve(case: Any, data: st.DataObject, found: dict[str, list[str]]) -> None:
    """Let more of the requests get further: without a random key, and often to what is there."""
    if data.draw(st.integers(0, 9)):
        case.headers.pop("Authorization", None)
    # A job that never runs, as its queue is paused, would be waited for.
    case.headers.pop("Prefer", None)
    for name in case.path_parameters or {}:
        if name in found and data.draw(st.booleans()):
            case.path_parameters[name] = data.draw(st.sampled_from(found[name]))
    listed = case.body.get("jobs") if case.path == "/jobs" and isinstance(case.body, dict) else None
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and data.draw(st.booleans()):
            entry["name"] = data.draw(st.sampled_from(["paint", "cars:paint", "fail"]))


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis does
async def test_random_requests_are_answered_as_the_document_says(api: Api) -> None:
    document = (await api.http.get("/openapi.json")).json()
    await asyncio.to_thread(asked, api, await known(api), document)
