"""A bug in the API: who asked is told that there was one and nothing of it, the log and Sentry are told all, once."""

import logging
from collections.abc import Iterator

import httpx2
import pytest
import sentry_sdk

from rota import Run, job
from rota.api.live.stream import EventStream
from rota.api.routes import queues
from tests.envelopes import DSN, Captured, forgotten
from tests.integration.api.serving import Api, answering, listening
from tests.servers import RedisServer

SECRET = "a secret in the message"


@job
async def nothing(run: Run) -> None: ...


class Bug(Exception):
    """A bug, which no route foresees."""


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the routes of queues have a bug."""

    async def read(*_: object) -> None:
        raise Bug(SECRET)

    monkeypatch.setattr(queues, "read", read)


@pytest.fixture
def captured() -> Iterator[Captured]:
    with forgotten():
        captured = Captured()
        sentry_sdk.init(DSN, transport=captured)
        yield captured


async def failed(api: Api) -> None:
    """Ask for what has the bug, and look at the answer."""
    answer = await api.http.get("/queues/default")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["instance"]) == ("urn:rota:problem:internal", "/queues/default")
    assert SECRET not in answer.text
    assert "Bug" not in answer.text


@pytest.mark.usefixtures("bug")
async def test_it_is_answered_with_a_problem_and_logged_once(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(server.url, nothing) as api:
        await failed(api)
        assert (await api.http.get("/healthz")).status_code == 200, "the connection goes on"
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [(record.name, record.getMessage()) for record in told] == [("rota.api", "api.failed")]
    assert (vars(told[0])["method"], vars(told[0])["path"]) == ("GET", "/queues/default")
    assert told[0].exc_info is not None
    assert isinstance(told[0].exc_info[1], Bug)


@pytest.mark.usefixtures("bug")
async def test_it_is_reported_once(server: RedisServer, captured: Captured) -> None:
    async with answering(server.url, nothing, works=False) as api:
        await failed(api)
    (error,) = captured.errors
    assert error["exception"]["values"][-1]["type"] == "Bug"


async def test_an_answer_that_has_begun_breaks_off(
    server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def catch_up(self: EventStream, *_: object) -> None:
        raise Bug(SECRET)

    monkeypatch.setattr(EventStream, "_catch_up", catch_up)
    async with listening(server.url, nothing) as api:
        with pytest.raises(httpx2.RemoteProtocolError):
            await api.http.get("/events")
    told = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in told] == ["api.failed"]


async def test_a_refusal_is_none(server: RedisServer, captured: Captured) -> None:
    async with answering(server.url, nothing, works=False) as api:
        assert (await api.http.get("/queues/No")).status_code == 404
    assert captured.errors == []
