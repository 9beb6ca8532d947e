"""Live updates over HTTP: what happens to jobs, as it happens, without a gap over any number of disconnects."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import httpx2
import pytest

import rota.api
from benchmarks.listeners import by_events, by_socket, memory_of
from rota import Run, job
from rota.api.live import hub
from rota.api.live import stream as stream_module
from rota.model.access.keys import AccessKey, Scope, make
from rota.wire.access import AccessRecords
from tests.integration.api.serving import Api, api_process, listening
from tests.servers import RedisServer
from tests.waiting import until

#: How often a listener is cut off.
DISCONNECTS = 100 if os.environ.get("FAULTS_SCALE") == "1" else 10


@job(queue="mail")
async def greet(run: Run) -> str:
    return "hello"


@job(queue="mail")
async def paint(run: Run) -> None:
    run.progress(50, "half")
    await asyncio.sleep(60)


@job(max_attempts=1)
async def fail(run: Run) -> None:
    raise ValueError("no <b>markup</b>\n\nevent: fake")


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with listening(server.url, greet, paint, fail) as found:
        yield found


class Frame(NamedTuple):
    kind: str
    data: Any
    id: str


class Stream:
    """A stream of server-sent events, read frame by frame."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.status = answer.status_code
        self._lines = answer.aiter_lines()
        self.last = ""

    async def next(self) -> Frame:
        """Return the next frame, comments left out. Raises StopAsyncIteration at the end."""
        kind, data, place = "", "", ""
        async with asyncio.timeout(10):
            while True:
                line = await anext(self._lines)
                name, _, value = line.partition(": ")
                kind, data, place = (
                    value if name == "event" else kind,
                    value if name == "data" else data,
                    value if name == "id" else place,
                )
                if not line and kind:
                    self.last = place or self.last
                    return Frame(kind, json.loads(data), place)

    async def jobs(self, count: int) -> list[Any]:
        """Return the data of the next `count` updates."""
        found: list[Any] = []
        while len(found) < count:
            frame = await self.next()
            if frame.kind == "job":
                found.append(frame.data)
        return found


@contextlib.asynccontextmanager
async def opened(api: Api, path: str, **options: Any) -> AsyncIterator[Stream]:
    async with api.http.stream("GET", path, **options) as answer:
        yield Stream(answer)


async def test_all_that_happens_to_jobs_is_sent(api: Api) -> None:
    async with opened(api, "/events") as stream:
        assert (await stream.next()).kind == "ready"
        handle = await api.client.enqueue(paint)
        found = await stream.jobs(3)
        await handle.cancel()
        found += await stream.jobs(1)
    assert [one["event"] for one in found] == ["enqueued", "started", "progress", "cancelled"]
    assert [one["status"] for one in found] == ["PENDING", "RUNNING", "RUNNING", "CANCELLED"]
    assert {(one["jobId"], one["queue"], one["name"], one["tenantId"]) for one in found} == {
        (handle.id, "mail", "mail:paint", None)
    }
    assert (found[2]["progress"], found[2]["message"]) == (50.0, "half")


async def test_a_queue_is_listened_to_by_itself(api: Api) -> None:
    async with opened(api, "/queues/default/events") as stream:
        await stream.next()
        await api.client.enqueue(greet)
        await api.client.enqueue(fail)
        found = await stream.jobs(3)
    assert {one["queue"] for one in found} == {"default"}
    assert found[2]["error"] == "ValueError: no <b>markup</b>\n\nevent: fake", (
        "an error begins no frame of its own"
    )


async def test_a_job_is_followed_to_its_end(api: Api) -> None:
    await api.client.pause("mail")
    handle = await api.client.enqueue(greet)
    path = f"/jobs/mail/{handle.id}/events"
    async with opened(api, path) as stream:
        assert (await stream.next()).kind == "ready"
        assert (await stream.next()).data["state"] == "waiting"
        await api.client.resume("mail")
        found = await stream.jobs(2)
        assert [one["event"] for one in found] == ["started", "completed"]
        with pytest.raises(StopAsyncIteration):
            await stream.next()
        last = stream.last
    back = await api.http.get(path, headers={"Last-Event-ID": last})
    assert back.status_code == 204, "a browser that comes back is told to come no more"
    late = await api.http.get(path)
    assert (late.status_code, '"status":"COMPLETED"' in late.text) == (200, True)
    assert (await api.http.get("/jobs/mail/none/events")).status_code == 404


async def test_nothing_is_missed_over_many_disconnects(api: Api) -> None:
    last, seen, sent = "", list[tuple[str, str]](), list[str]()
    async with opened(api, "/events") as stream:
        last = (await stream.next()).id
    for _ in range(DISCONNECTS):
        sent += [handle.id for handle in await api.client.enqueue_many(greet.call() for _ in range(4))]
        async with opened(api, "/events", headers={"Last-Event-ID": last}) as stream:
            assert (await stream.next()).id == last
            # Cut off in the midst of what there is.
            for one in await stream.jobs(3):
                seen.append((one["jobId"], one["event"]))
            last = stream.last
    while len(seen) < 3 * len(sent):
        async with opened(api, "/events", params={"after": last}) as stream:
            seen += [(one["jobId"], one["event"]) for one in await stream.jobs(3)]
            last = stream.last
    assert len(set(seen)) == len(seen) == 3 * len(sent)
    assert {job_id for job_id, _ in seen} == set(sent)


async def test_who_comes_back_too_late_is_told_to_start_over(api: Api) -> None:
    await api.client.enqueue_many(greet.call() for _ in range(3))
    await api.client.redis.xtrim("rota:events", maxlen=0)
    await api.client.enqueue(greet)
    async with opened(api, "/events", headers={"Last-Event-ID": "1-0.0"}) as stream:
        kinds = [(await stream.next()).kind for _ in range(2)]
    assert kinds == ["ready", "reset"]


async def test_who_reads_too_slowly_is_told_to_start_over_and_others_do_not_notice(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MOST_WAITING", 20)
    slow = hub.Listener(lambda _: True)
    await api.app.state.desk.hub.join(slow)
    async with opened(api, "/events") as stream:
        await stream.next()
        for _ in range(15):
            await api.client.enqueue_many(greet.call() for _ in range(2))
            await stream.jobs(6)
    assert slow.is_lost
    assert 0 < len(slow.take()) <= 20
    api.app.state.desk.hub.leave(slow)


async def test_many_updates_at_once_are_no_reason_to_start_over(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MOST_WAITING", 100)
    later = greet.options(delay=600)
    async with opened(api, "/events") as stream:
        await stream.next()
        await api.client.enqueue_many(later.call() for _ in range(400))
        assert {(await stream.next()).kind for _ in range(400)} == {"job"}


async def test_streams_end_when_the_process_is_told_to_stop(api: Api) -> None:
    async with opened(api, "/events") as stream:
        await stream.next()
        await api.app.state.desk.hub.close()
        with pytest.raises(StopAsyncIteration):
            await stream.next()


async def test_a_ticket_is_good_once_in_place_of_a_key(api: Api) -> None:
    given = (await api.http.post("/tickets")).json()
    assert given["expires_in"] == 30
    assert (await api.http.get("/me", params={"ticket": given["ticket"]})).status_code == 200
    assert (await api.http.get("/me", params={"ticket": given["ticket"]})).status_code == 401
    assert (await api.http.get("/me", params={"ticket": "x"})).status_code == 401
    async with opened(api, "/events", params=(await api.http.post("/tickets")).json()) as stream:
        assert (await stream.next()).kind == "ready"
    assert given["ticket"] not in str(await api.client.redis.keys("*"))


async def test_a_tenant_s_key_hears_of_its_own_jobs_alone(api: Api) -> None:
    other = await api.client.enqueue(paint.options(tenant="other"))
    acme = await shown_key(api, tenant="acme")
    async with (
        opened(api, "/events", headers=acme) as own,
        opened(api, "/queues/default/events", headers=acme) as queue,
        opened(api, "/events?tenant=other", headers=await shown_key(api)) as others,
    ):
        for tenant in ("other", "acme", None):
            await api.client.enqueue(fail.options(tenant=tenant))
        for stream, tenant in ((own, "acme"), (queue, "acme"), (others, "other")):
            found = await stream.jobs(3)
            assert {one["tenantId"] for one in found} == {tenant}
            assert [one["event"] for one in found if one["queue"] == "default"][-1] == "dead"
    async with opened(api, "/events", headers=acme, params={"after": "0-0"}) as stream:
        assert [one["tenantId"] for one in await stream.jobs(3)] == ["acme"] * 3
    for path, status in (
        (f"/jobs/mail/{other.id}/events", 404),
        ("/events?tenant=other", 403),
        ("/events?tenant=!", 422),
    ):
        assert (await api.http.get(path, headers=acme)).status_code == status


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_a_ticket_is_worth_nothing_once_its_key_has_ended(
    api: Api, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.api.access.TRUST", 0.0)
    records = AccessRecords(api.client.redis, "rota")
    mine = await shown_key(api)
    await shown_key(api)  # without any key the API is open
    tickets = [(await api.http.post("/tickets", headers=mine)).json()["ticket"] for _ in range(3)]
    assert (await api.http.get("/me", params={"ticket": tickets[0]})).status_code == 200
    job_id = (await api.client.enqueue(greet)).id
    visitor = await rota.api.ticket(api.app, "mail", job_id)
    key_id = mine["Authorization"].removeprefix("Bearer rota_")[:8]
    if end == "revoked":
        await records.remove(key_id)
    else:
        key = AccessKey.read(key_id, await records.read(key_id))
        assert key is not None
        await records.put({key_id: key.ending(datetime.now(UTC)).write()})
    for ticket, path in zip(tickets[1:], ("/me", "/events"), strict=True):
        answer = await api.http.get(path, params={"ticket": ticket})
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:rota:problem:wrong-key")
    found = await api.http.get(f"/jobs/mail/{job_id}", params={"ticket": visitor})
    assert found.status_code == 200, "what the application has given stands for no key"


async def shown_key(api: Api, tenant: str | None = None) -> dict[str, str]:
    """Make a key that may listen, and return the header that shows it."""
    text, key = make(frozenset({Scope.READ}), tenant=tenant)
    await AccessRecords(api.client.redis, "rota").put({key.id: key.write()})
    return {"Authorization": f"Bearer {text}"}


async def test_a_ticket_may_look_and_if_it_is_for_one_job_at_that_alone(api: Api) -> None:
    job_id = (await api.client.enqueue(greet)).id

    async def shown(method: str, path: str, body: Any = None) -> int:
        ticket = (await api.post("/tickets", body)).json()["ticket"]
        return (await api.http.request(method, path, params={"ticket": ticket})).status_code

    one = {"job": {"queue": "mail", "id": job_id}}
    assert await shown("POST", "/queues/mail/pause") == 403, "though whoever asked for it may"
    assert await shown("GET", f"/jobs/mail/{job_id}", one) == 200
    assert await shown("GET", f"/jobs/mail/{job_id}/events", one) == 200
    ticket = await rota.api.ticket(api.app, "mail", job_id)
    assert (await api.http.get(f"/jobs/mail/{job_id}?ticket={ticket}")).status_code == 200
    for path in (f"/jobs/default/{job_id}", "/jobs/mail/other/events", "/queues/mail", "/events", "/me"):
        assert await shown("GET", path, one) == 403
    wrong: list[Any] = [None, {"queue": "mail"}, {"queue": "mail", "id": 1}]
    for body in [*({"job": one} for one in wrong), {"jobs": []}]:
        assert (await api.post("/tickets", body)).status_code == 422


async def test_a_page_loads_the_module_once(api: Api) -> None:
    given = await api.http.get("/static/rota.js")
    assert given.headers["content-type"] == "text/javascript; charset=utf-8"
    assert given.headers["x-content-type-options"] == "nosniff"
    assert len(given.content) < 6_000
    again = await api.http.get("/static/rota.js", headers={"If-None-Match": given.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_pages_of_listed_sites_are_shown_answers_and_streams(server: RedisServer) -> None:
    async with listening(
        server.url, greet, API_ALLOWED_ORIGINS="https://shop.example, http://a.test:1"
    ) as api:
        allows = {}
        for origin in ("https://shop.example", "http://a.test:1", "https://evil.example"):
            shown = {"Origin": origin}
            async with api.http.stream("GET", "/events", headers=shown) as answer:
                found = [answer.headers]
            found.append((await api.http.get("/static/rota.js", headers=shown)).headers)
            found.append((await api.http.get("/queues/No", headers=shown)).headers)
            asks = {
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization",
            }
            found.append((await api.http.options("/tickets", headers=shown | asks)).headers)
            assert not any("access-control-allow-credentials" in one for one in found)
            allows[origin] = {one.get("access-control-allow-origin") for one in found}
    assert allows == {
        "https://shop.example": {"https://shop.example"},
        "http://a.test:1": {"http://a.test:1"},
        "https://evil.example": {None},
    }


async def test_who_listens_is_sent_away_when_its_key_ends(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "CHECKS", 0.05)
    monkeypatch.setattr("rota.api.access.TRUST", 0.0)
    mine, stays = await shown_key(api), await shown_key(api)
    ticket = (await api.http.post("/tickets", headers=mine)).json()
    async with (
        opened(api, "/events", headers=mine) as own,
        opened(api, "/events", params=ticket) as visitor,
        opened(api, "/events", headers=stays) as other,
    ):
        for stream in (own, visitor, other):
            await stream.next()
        revoked = mine["Authorization"].removeprefix("Bearer rota_")[:8]
        await AccessRecords(api.client.redis, "rota").remove(revoked)
        for stream in (own, visitor):
            with pytest.raises(StopAsyncIteration):
                await stream.next()
        await api.client.enqueue(greet)
        assert len(await other.jobs(3)) == 3


@pytest.mark.parametrize("path", ["/events?after=x", "/queues/No/events", "/jobs/mail/none/events?after=1"])
async def test_what_cannot_be_listened_to_is_refused(api: Api, path: str) -> None:
    answer = await api.http.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_reader_rests_when_nobody_listens(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "CHECKS", 0.05)
    # So often it is looked for listeners that have left.
    monkeypatch.setattr(stream_module, "BEAT", 0.05)
    own = api.app.state.desk.hub
    async with opened(api, "/events") as stream:
        await stream.next()
        assert own._reading is not None
    await until(lambda: own._reading is None, "the reader rests")
    async with opened(api, "/events") as stream:
        await stream.next()
        await api.client.enqueue(greet)
        assert len(await stream.jobs(3)) == 3


async def test_listeners_cost_a_process_little_memory_and_are_sent_away_at_its_end(
    server: RedisServer, tmp_path: Path
) -> None:
    """What a thousand take is in benchmarks/listeners.md; the bounds leave room for another allocator."""
    async with api_process(tmp_path, server.url) as (process, _), contextlib.AsyncExitStack() as stack:
        for open_one in (by_events, by_socket):
            taken, _ = await memory_of(process, open_one, stack, 100)
            assert taken < 20 * 1024, open_one
        process.send(signal.SIGTERM)
        begun = monotonic()
        assert await process.ended() == 0
        assert monotonic() - begun < 5
