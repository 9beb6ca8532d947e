"""The word that tells an open page to look again: for all jobs without a look at any of them, and for one job alone."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from rota.api.live.hub import Listener
from rota.api.live.updates import Update
from rota.api.pages import live
from rota.model.access.keys import make, scopes_of
from rota.model.state import State
from rota.wire.access import AccessRecords
from tests.integration.api.pages.visiting import greet
from tests.integration.api.serving import Api, listening
from tests.servers import RedisServer
from tests.waiting import until


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with listening(server.url, greet) as found:
        yield found


async def heard(lines: AsyncIterator[str], line: str) -> None:
    """Read a stream until it says this line."""
    async for one in lines:
        if one == line:
            return
    raise AssertionError(f"the stream has ended without {line!r}")


async def test_a_page_of_all_jobs_is_told_of_changes_and_no_event_is_read_for_it(api: Api) -> None:
    hub = api.app.state.desk.hub
    async with api.http.stream("GET", "/ui/live", timeout=10) as stream:
        lines = stream.aiter_lines()
        await heard(lines, ": ready")
        await api.client.enqueue(greet, name="Ann")
        await heard(lines, "event: changed")
        assert hub._reading is None
        assert hub._listeners


async def test_a_page_of_one_job_is_told_of_that_job(api: Api) -> None:
    hub = api.app.state.desk.hub
    handle = await api.client.enqueue(greet.options(delay=60), name="Ann")
    path = f"/ui/live?queue=email&id={handle.id}"
    async with api.http.stream("GET", path, timeout=10) as stream:
        lines = stream.aiter_lines()
        await heard(lines, ": ready")
        assert hub._reading is not None
        await api.client.reschedule("email", handle.id)
        await heard(lines, "event: changed")


async def test_events_that_are_read_for_others_do_not_wait_for_a_page_of_all_jobs(api: Api) -> None:
    # It never takes them: with one that waits, its stream would look for the next change without a pause.
    hub = api.app.state.desk.hub
    of_all, told = Listener(lambda _: True), Listener(lambda _: True)
    hub.watch(of_all)
    await hub.join(told)
    await api.client.enqueue(greet, name="Ann")
    await until(told.take, "the other one is told")
    assert of_all.take() == []
    hub.leave(of_all)
    hub.leave(told)


async def test_pages_that_ask_at_the_same_moment_look_once(api: Api) -> None:
    hub = api.app.state.desk.hub
    before = await calls(api)
    places = {await hub.newest() for _ in range(50)}
    assert len(places) == 1
    assert await calls(api) - before <= 2
    await api.client.enqueue(greet, name="Ann")

    async def is_seen() -> bool:
        return places != {await hub.newest()}

    await until(is_seen, "the new event is seen")


async def calls(api: Api) -> int:
    stats = await api.client.redis.info("commandstats")
    return sum(
        stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("xrevrange", "xinfo", "xinfo|stream")
    )


async def test_while_redis_is_away_the_stream_goes_on(own_server: RedisServer) -> None:
    async with (
        listening(own_server.url, greet) as api,
        api.http.stream("GET", "/ui/live", timeout=httpx2.Timeout(30)) as stream,
    ):
        lines = stream.aiter_lines()
        await heard(lines, ": ready")
        own_server.stop()
        own_server.start()
        await api.client.enqueue(greet, name="Ann")
        await heard(lines, "event: changed")


async def test_a_tenant_is_told_of_what_its_own_jobs_do_and_of_nothing_else(api: Api) -> None:
    text, key = make(scopes_of(["read"]), tenant="acme")
    await AccessRecords(api.client.redis, "rota").put({key.id: key.write()})
    header = {"Authorization": f"Bearer {text}"}
    for seen, tenant in ((True, "acme"), (False, "globex"), (False, None)):
        update = Update((1, 1, 1), "email", "j", State.ACTIVE, b"", "", tenant)
        assert live.wanted(key, "", "")(update) is seen, tenant
        assert live.wanted(key, "email", "j")(update) is seen, tenant
        assert not live.wanted(key, "email", "another")(update)
    async with api.http.stream("GET", "/ui/live", headers=header, timeout=10) as stream:
        lines = stream.aiter_lines()
        await heard(lines, ": ready")
        assert api.app.state.desk.hub._reading is not None, "whose each event is, is looked at"
        await api.client.enqueue(greet.options(tenant="acme"), name="Ann")
        await heard(lines, "event: changed")


async def test_a_page_of_a_job_that_runs_is_told_to_look_though_no_event_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LATEST_OF_RUNNING", 0.05)
    async with api.http.stream("GET", "/ui/live?queue=email&id=x&runs=1", timeout=10) as stream:
        lines = stream.aiter_lines()
        await heard(lines, "event: changed")


@pytest.mark.parametrize("query", ["", "?queue=email&id=x"])
async def test_a_page_that_was_left_is_told_no_more(
    api: Api, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    hub = api.app.state.desk.hub
    monkeypatch.setattr("rota.api.live.stream.BEAT", 0.0)
    monkeypatch.setattr(live, "LATEST", 0.05)
    async with api.http.stream("GET", f"/ui/live{query}", timeout=10) as stream:
        await heard(stream.aiter_lines(), ": ready")
        assert hub._listeners
    await until(lambda: not hub._listeners, "the stream has ended")
