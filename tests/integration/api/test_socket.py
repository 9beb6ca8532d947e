"""The WebSocket of the API: topics are taken up and left by messages, and updates of all of them come over it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rota import Run, job
from rota.api.live import hub, socket
from rota.model.access.keys import Scope, make
from rota.server.faults import ServerError
from rota.wire.access import AccessRecords
from tests.integration.api.serving import Api, listening
from tests.integration.api.test_live import DISCONNECTS, greet, paint, shown_key
from tests.servers import RedisServer
from tests.waiting import until


@job
async def count(run: Run) -> None: ...


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with listening(server.url, greet, paint, count) as found:
        yield found


class Talk:
    """A WebSocket to the API, read message by message."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def next(self) -> Any:
        async with asyncio.timeout(10):
            return json.loads(await self.connection.recv())

    async def subscribe(self, topic: Any, **more: Any) -> Any:
        """Take up a topic, and return the answer."""
        await self.say(subscribe=topic, **more)
        return await self.next()

    async def jobs(self, count: int) -> list[Any]:
        """Return the next `count` updates; other messages are passed over."""
        found: list[Any] = []
        while len(found) < count:
            told = await self.next()
            if told["event"] == "job":
                found.append(told)
        return found

    async def closed(self) -> tuple[int, str]:
        """Return how the API closes the socket, once it does."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.next()
        return self.connection.close_code or 0, self.connection.close_reason or ""


@contextlib.asynccontextmanager
async def opened(api: Api, query: str = "", **options: Any) -> AsyncIterator[Talk]:
    url = str(api.http.base_url).replace("http", "ws") + "/ws" + query
    async with connect(url, compression=None, max_queue=None, **options) as connection:
        talk = Talk(connection)
        assert (await talk.next())["event"] == "ready"
        yield talk


async def test_a_socket_hears_of_the_topics_that_it_takes_up(api: Api) -> None:
    async with opened(api) as talk:
        assert (await talk.subscribe({"queue": "mail"}))["data"] == {"queue": "mail"}
        await api.client.enqueue(count)
        handle = await api.client.enqueue(greet)
        found = await talk.jobs(3)
        assert {(one["data"]["jobId"], one["data"]["queue"]) for one in found} == {(handle.id, "mail")}
        assert [one["data"]["status"] for one in found] == ["PENDING", "RUNNING", "COMPLETED"]
        await talk.subscribe({"all": True})
        await talk.say(unsubscribe={"queue": "mail"})
        assert (await talk.next())["event"] == "unsubscribed"
        await api.client.enqueue(count)
        await api.client.enqueue(greet)
        found = await talk.jobs(6)
        assert len({(one["data"]["jobId"], one["data"]["event"]) for one in found}) == 6


async def test_a_job_is_followed_from_what_it_is_to_its_end(api: Api) -> None:
    handle = await api.client.enqueue(paint)
    topic = {"job": {"queue": "mail", "id": handle.id}}
    async with opened(api) as talk:
        await until_painted(api, handle.id)
        assert (await talk.subscribe(topic))["data"] == topic
        now = await talk.next()
        assert (now["data"]["state"], now["data"]["progress"]) == ("active", 50)
        await handle.cancel()
        assert (await talk.next())["data"]["status"] == "CANCELLED"
        assert await talk.next() == {"event": "ended", "data": topic}
        await talk.subscribe(topic)
        kinds = [(await talk.next())["event"] for _ in range(2)]
        assert kinds == ["job", "ended"], "who comes late is told how it ended"
        await talk.subscribe(topic, after=now["id"])
        assert [(await talk.next())["event"] for _ in range(2)] == kinds


async def until_painted(api: Api, job_id: str) -> None:
    async def is_half() -> bool:
        return (await api.client.status("mail", job_id)).percent == 50

    await until(is_half, "the job has told its progress")


async def test_who_comes_back_misses_nothing(api: Api) -> None:
    seen, sent = list[str](), list[str]()
    async with opened(api) as talk:
        last = (await talk.subscribe({"queue": "mail"}))["id"]
    for _ in range(DISCONNECTS):
        sent += [handle.id for handle in await api.client.enqueue_many(greet.call() for _ in range(4))]
        async with opened(api) as talk:
            assert (await talk.subscribe({"queue": "mail"}, after=last))["id"] == last
            for one in await talk.jobs(3):
                seen.append(f"{one['data']['jobId']} {one['data']['event']}")
                last = one["id"]
            talk.connection.transport.abort()
    async with opened(api) as talk:
        await talk.subscribe({"queue": "mail"}, after=last)
        found = await talk.jobs(3 * len(sent) - len(seen))
    seen += [f"{one['data']['jobId']} {one['data']['event']}" for one in found]
    assert sorted(seen) == sorted(
        f"{one} {event}" for one in sent for event in ("enqueued", "started", "completed")
    )
    await api.client.redis.xtrim("rota:events", maxlen=0)
    await api.client.enqueue(greet)
    async with opened(api) as talk:
        await talk.say(subscribe={"queue": "mail"}, after=last)
        while (await talk.next())["event"] != "reset":
            pass


async def test_a_tenant_s_socket_hears_of_its_own_jobs_alone(api: Api) -> None:
    other = await api.client.enqueue(paint.options(tenant="other"))
    async with opened(api, additional_headers=await shown_key(api, tenant="acme")) as talk:
        for topic in ({"tenant": "other"}, {"queue": "mail", "tenant": "other"}):
            assert (await talk.subscribe(topic))["data"]["status"] == 403
        refused = await talk.subscribe({"job": {"queue": "mail", "id": other.id}})
        assert refused["data"]["status"] == 404
        assert (await talk.subscribe({"all": True}))["data"] == {"tenant": "acme"}
        assert (await talk.subscribe({"queue": "mail"}))["data"] == {"tenant": "acme", "queue": "mail"}
        for tenant in ("other", "acme", None):
            await api.client.enqueue(greet.options(tenant=tenant))
        assert {one["data"]["tenantId"] for one in await talk.jobs(3)} == {"acme"}
        await talk.say(unsubscribe={"queue": "mail"})
        assert (await talk.next())["data"] == {"tenant": "acme", "queue": "mail"}
    async with opened(api, additional_headers=await shown_key(api)) as talk:
        await talk.subscribe({"tenant": "acme"}, after="0-0")
        assert {one["data"]["tenantId"] for one in await talk.jobs(3)} == {"acme"}


WRONG = {
    '{"subscribe": {}}': "invalid-message",
    '{"subscribe": {"tenant": "!"}}': "invalid-message",
    "{": "invalid-json",
    "[]": "invalid-message",
    '{"subscribe": {"all": true}, "unsubscribe": {"all": true}}': "invalid-message",
    '{"subscribe": {"all": true}, "behind": 1}': "invalid-body",
    '{"subscribe": {"all": false}}': "invalid-message",
    '{"subscribe": {"queue": "No such"}}': "invalid-message",
    '{"subscribe": {"queue": 1}}': "invalid-message",
    '{"subscribe": {"job": {"queue": "mail"}}}': "invalid-message",
    '{"subscribe": {"all": true}, "after": "x"}': "invalid-message",
    '{"subscribe": {"all": true}, "after": 1}': "invalid-message",
    '{"subscribe": {"job": {"queue": "mail", "id": "none"}}}': "no-such-job",
    '{"subscribe": {"job": {"queue": "mail", "id": "\\ud800"}}}': "invalid-json",
}


async def test_a_wrong_message_is_answered_and_a_flood_of_them_ends_the_socket(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "MOST_TOPICS", 2)
    async with opened(api) as talk, opened(api) as other:
        for text, kind in WRONG.items():
            await talk.connection.send(text)
            answer = await talk.next()
            assert (answer["event"], answer["data"]["type"]) == ("error", f"urn:rota:problem:{kind}"), text
        await talk.connection.send(b"{}")
        assert (await talk.next())["data"]["status"] == 415
        for queue in ("mail", "default"):
            assert (await talk.subscribe({"queue": queue}))["event"] == "subscribed"
        refused = await talk.subscribe({"all": True})
        assert (refused["data"]["status"], refused["of"]) == (409, {"all": True})
        await other.subscribe({"queue": "mail"})
        for _ in range(socket.BURST + 50):
            await talk.say(unsubscribe={"all": True})
        assert await talk.closed() == (1008, "more than 10 messages a second")
        await api.client.enqueue(greet)
        assert len(await other.jobs(3)) == 3, "others do not notice"
    async with opened(api) as talk:
        await talk.connection.send("x" * (70 * 1024))
        assert (await talk.closed())[0] == 1009
    plain = await api.http.get("/ws")
    assert (plain.status_code, plain.headers["upgrade"]) == (426, "websocket")


async def test_who_reads_too_slowly_is_told_to_start_over_and_others_do_not_notice(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MOST_WAITING", 20)
    async with opened(api) as talk, opened(api) as other:
        await talk.subscribe({"all": True})
        (slow,) = [one for one in api.app.state.desk.hub._listeners if one._topics]
        await other.subscribe({"all": True})
        reads, send = asyncio.Event(), slow._send

        async def sent_slowly(message: Any) -> None:
            await reads.wait()
            await send(message)

        monkeypatch.setattr(slow, "_send", sent_slowly)
        for _ in range(12):
            await api.client.enqueue_many(greet.call() for _ in range(2))
            await other.jobs(6)
        assert slow.is_lost
        assert len(slow._waiting) <= 20
        reads.set()
        while (await talk.next())["event"] != "reset":
            pass


async def test_sockets_are_sent_away_when_the_process_is_told_to_stop(api: Api) -> None:
    async with opened(api) as talk:
        await api.app.state.desk.hub.close()
        assert await talk.closed() == (1001, "the API stops")


async def test_a_socket_is_closed_when_its_key_ends(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "CHECKS", 0.05)
    monkeypatch.setattr("rota.api.access.TRUST", 0.0)
    shown = await shown_key(api)
    async with opened(api, additional_headers=shown) as talk:
        await AccessRecords(api.client.redis, "rota").remove(
            shown["Authorization"].removeprefix("Bearer rota_")[:8]
        )
        assert await talk.closed() == (1008, "the key has ended")


async def test_a_socket_outlasts_an_outage_of_redis(own_server: RedisServer) -> None:
    async with listening(own_server.url, greet) as api, opened(api) as talk:
        await talk.subscribe({"queue": "mail"})
        own_server.stop()
        refused = await talk.subscribe({"job": {"queue": "mail", "id": "any"}})
        assert (refused["event"], refused["data"]["status"]) == ("error", 503)
        own_server.start()
        await until_enqueued(api)
        assert len(await talk.jobs(3)) == 3


async def until_enqueued(api: Api) -> None:
    async def is_enqueued() -> bool:
        with contextlib.suppress(ServerError):
            await api.client.enqueue(greet)
            return True
        return False

    await until(is_enqueued, "Redis is there again")


async def test_pages_of_other_sites_open_no_socket(server: RedisServer) -> None:
    async with listening(server.url, count, API_ALLOWED_ORIGINS="https://shop.example") as api:
        for origin in ("https://SHOP.example", str(api.http.base_url), None):
            async with opened(api, origin=origin):
                pass
        for origin in ("https://evil.example", "null", "http://localhost:1"):
            with pytest.raises(InvalidStatus) as caught:
                await opened(api, origin=origin).__aenter__()
            assert caught.value.response.status_code == 403
            assert json.loads(caught.value.response.body or b"")["type"] == "urn:rota:problem:wrong-origin"


async def test_a_socket_needs_a_key_or_a_ticket_that_nobody_used(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    text, key = make(frozenset({Scope.READ}))
    other, second = make(frozenset({Scope.ENQUEUE}))
    await AccessRecords(api.client.redis, "rota").put({one.id: one.write() for one in (key, second)})
    api.app.state.desk.gate._looked = 0.0
    shown = {"Authorization": f"Bearer {text}"}
    async with opened(api, additional_headers=shown) as talk:
        assert (await talk.subscribe({"all": True}))["event"] == "subscribed"
    ticket = (await api.http.post("/tickets", headers=shown)).json()["ticket"]
    async with opened(api, f"?ticket={ticket}") as talk:
        assert (await talk.subscribe({"all": True}))["event"] == "subscribed"
    for query, headers, status in (
        (f"?ticket={ticket}", {}, 401),
        ("?ticket=x", {}, 401),
        ("", {}, 401),
        ("", {"Authorization": f"Bearer {other}"}, 403),
    ):
        with pytest.raises(InvalidStatus) as caught:
            await opened(api, query, additional_headers=headers).__aenter__()
        assert caught.value.response.status_code == status
    said = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets")]
    assert not [line for line in said if any(secret in line for secret in (text, other))]
