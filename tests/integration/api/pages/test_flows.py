"""The screens of flows: the list of pipelines and batches, one with its stages and items, and what their forms do."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from rota import Run, each, job, pipeline
from rota.client.bulk.actions import Actions
from rota.errors import JobNotFound
from rota.flows.looking import look
from rota.model.state import State
from tests.integration.api.pages.trips import counting
from tests.integration.api.pages.visiting import MARKUP, Seen, entered, page, sent
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer
from tests.waiting import until


@job(queue="media")
async def write(run: Run, upto: int) -> list[int]:
    return list(range(upto))


@job(queue="media", max_attempts=1)
async def paint(run: Run, scene: int) -> int:
    if scene == len(_lucky):
        raise ValueError(f"scene {scene} cannot be painted {MARKUP}")
    return scene


@job(queue="media")
async def merge(run: Run, scenes: list[int]) -> int:
    return sum(scenes)


@job(queue="media")
async def alone(run: Run, scene: int) -> list[int]:
    return [scene]


@job(queue="media")
async def hold(run: Run, scenes: list[int]) -> None:
    await asyncio.sleep(60)


#: As many scenes as can be painted.
_lucky: list[int] = []
JOBS = (write, paint, merge, alone, hold)
video = pipeline(write, each(paint), merge, name="video")
album = pipeline(write, each(pipeline(alone, hold)), name="album")


@pytest.fixture(autouse=True)
def lucky() -> Any:
    _lucky[:] = range(100)
    yield _lucky
    _lucky.clear()


async def until_state(flow: Any, state: State) -> None:
    async def is_so() -> bool:
        return bool((await flow.status()).state is state)

    await until(is_so, f"the flow is {state}")


async def test_who_has_no_flow_is_shown_how_one_is_made(api: Api) -> None:
    shown = await page(api, "/flows")
    assert "pipeline(write_script, each(paint_scene), merge)" in shown
    assert "client.batch(" in shown


async def test_a_flow_is_found_by_its_state_and_shown_stage_by_stage(
    server: RedisServer, lucky: list[int]
) -> None:
    del lucky[3:]
    async with answering(server.url, *JOBS) as api:
        done = await api.client.enqueue(video, 2)
        dead = await api.client.enqueue(video.options(id="mine"), 7)
        batch = await api.client.batch([paint.call(2), paint.call(3)], name="thumbs")
        for flow, state in ((done, State.COMPLETED), (dead, State.DEAD), (batch, State.COMPLETED)):
            await until_state(flow, state)
        listed = await page(api, "/flows")
        assert all(f"/ui/flows/{flow.id}" in listed for flow in (done, dead, batch))
        assert "4 of 4 jobs" in listed
        only = await page(api, "/flows?state=dead")
        assert f"/ui/flows/{dead.id}" in only
        assert f"/ui/flows/{done.id}" not in only
        assert "No flow is cancelled." in await page(api, "/flows?state=cancelled")
        assert "a flow is active" in await page(api, "/flows?state=lost", 422)

        shown = await page(api, "/flows/mine?stage=1")
        links = Seen(shown).links
        assert f"/ui/job?queue=media&id={dead.id}.0.0" in links
        assert f"/ui/job?queue=media&id={dead.id}.1.3" in links, "the item that died"
        assert shown.count('<ol class="items"') == 1
        assert '<svg class="graph"' in shown
        assert "scene 3 cannot be painted &lt;script&gt;" in shown
        assert MARKUP not in shown
        await page(api, f"/flows/{done.id}?stage=1&first=500")
        letter = (await page(api, f"/flows/{batch.id}")).partition("Dead jobs")[2]
        assert f"/ui/search?q={batch.id}.0.1" in letter
        assert (await api.http.get(f"/ui/search?q={batch.id}.0.1")).status_code == 303
        await page(api, "/flows/none", 404)
        for text in (dead.id, "mine"):
            answer = await api.http.get("/ui/search", params={"q": text})
            assert answer.headers["location"] == f"/ui/flows/{dead.id}"


async def test_an_item_that_is_a_pipeline_has_a_page_of_its_own(server: RedisServer) -> None:
    async with answering(server.url, *JOBS) as api:
        flow = await api.client.enqueue(album, 2)

        async def is_held() -> bool:
            with suppress(JobNotFound):
                found = await look(api.client.flows, f"{flow.id}.1.1")
                return [node.became for node in found.nodes] == ["completed", "active"]
            return False

        await until(is_held, "the second stage of the second item runs")
        child = f"/flows/{flow.id}.1.1"
        assert f"/ui{child}" in Seen(await page(api, f"/flows/{flow.id}?stage=1")).links
        shown = await page(api, child)
        assert f"/ui/job?queue=media&id={flow.id}.1.1.1.0" in Seen(shown).links
        assert f"/ui/flows/{flow.id}" in Seen(shown).links, "the flow that it is in"
        assert "/cancel" not in shown
        assert (await sent(api, f"{child}/cancel")).status_code == 409, "it is cancelled as a whole"
        await flow.cancel()


async def test_a_flow_is_cancelled_once_and_that_is_written_down(api: Api) -> None:
    flow = await api.client.enqueue(video, 2)
    path = f"/flows/{flow.id}"
    assert {"action": f"/ui{path}/cancel", "method": "post"} in Seen(await page(api, path)).forms
    answer = await sent(api, f"{path}/cancel", reason="the wrong film")
    assert answer.headers["location"] == f"/ui{path}"
    assert (await flow.status()).state is State.CANCELLED
    assert f"{path}/cancel" not in await page(api, path)
    assert (await sent(api, f"{path}/cancel")).status_code == 409
    (action,) = await Actions(api.client.redis, "rota").page()
    assert (action.action, action.target, action.detail) == (
        "cancel",
        {"flow": flow.id},
        {"reason": "the wrong film"},
    )
    assert "the wrong film" in await page(api, "/activity")
    await entered(api, "read")
    other = await api.client.enqueue(video, 2)
    assert "/cancel" not in await page(api, f"/flows/{other.id}"), "a reader sees no button"


async def test_a_pipeline_that_died_goes_on_where_it_died(server: RedisServer, lucky: list[int]) -> None:
    del lucky[3:]
    async with answering(server.url, *JOBS) as api:
        flow = await api.client.enqueue(video, 5)
        batch = await api.client.batch([paint.call(3)])
        await until_state(flow, State.DEAD)
        await until_state(batch, State.COMPLETED)
        assert (await sent(api, f"/flows/{batch.id}/resume")).status_code == 409
        lucky.append(3)
        assert "Take up again" in await page(api, f"/flows/{flow.id}")

        async def is_taken() -> bool:
            answer = await sent(api, f"/flows/{flow.id}/resume", reason="paint is here")
            assert answer.status_code in (303, 409)
            return answer.status_code == 303

        await until(is_taken, "none of its jobs is being stopped any more")
        (action,) = await api.client.actions.page(limit=1)
        assert (action.action, action.target, action.detail["reason"]) == (
            "retry",
            {"flow": flow.id},
            "paint is here",
        )
        await until_state(flow, State.COMPLETED)
        assert f"/ui/flows/{flow.id}" in await page(api, "/flows?state=completed")
        assert (await sent(api, f"/flows/{flow.id}/resume")).status_code == 409


async def test_pages_of_flows_follow_each_other_without_gap_or_twin(api: Api) -> None:
    made = {(await api.client.enqueue(video, 1)).id for _ in range(103)}
    found: list[str] = []
    path = "/flows?state=active"
    while path:
        shown = Seen(await page(api, path))
        found += [link.removeprefix("/ui/flows/") for link in shown.links if link.startswith("/ui/flows/")]
        path = next((link.removeprefix("/ui") for link in shown.links if "before=" in link), "")
    assert len(found) == 103
    assert found == sorted(made, reverse=True)


async def test_a_flow_that_is_gone_is_listed_no_more(api: Api) -> None:
    stays, goes, moves = [await api.client.enqueue(video, 1) for _ in range(3)]
    await api.client.redis.delete(f"rota:flow:{goes.id}")
    await api.client.redis.hset(f"rota:flow:{moves.id}", "state", "dead")
    shown = await page(api, "/flows?state=active")
    assert f"/ui/flows/{stays.id}" in shown
    assert "active 1<" in shown
    assert goes.id not in await page(api, "/flows")
    assert f"/ui/flows/{moves.id}" in await page(api, "/flows?state=dead")


async def test_the_lists_have_the_newest_of_each_state(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.client.redis.zadd("rota:flows:active", {f"{number:032x}": 0 for number in range(10_000)})
    flow = await api.client.enqueue(video, 1)
    assert await api.client.redis.zcard("rota:flows:active") == 10_000
    assert await api.client.redis.zrank("rota:flows:active", flow.id) == 9999
    await api.client.flow(flow.id).cancel()
    assert await api.client.redis.zrange("rota:flows:cancelled", 0, -1) == [flow.id.encode()]


async def test_a_list_that_is_something_else_stops_no_flow(server: RedisServer) -> None:
    async with answering(server.url, *JOBS) as api:
        for state in ("active", "completed"):
            await api.client.redis.set(f"rota:flows:{state}", "not a list")
        flow = await api.client.enqueue(video, 2)
        assert await flow.result(10) == 1


async def test_pages_of_flows_wait_for_redis_three_times_at_most(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entered(api, "read")
    monkeypatch.setattr("rota.api.access.TRUST", 0.0)

    async def trips(flow_id: str) -> list[int]:
        counts = []
        for path in ("/flows", f"/flows/{flow_id}?stage=0"):
            async with counting(monkeypatch) as counted:
                await page(api, path)
            counts.append(counted.count)
        return counts

    few = await trips((await api.client.enqueue(video, 1)).id)
    assert max(few) <= 3
    for _ in range(60):
        await api.client.enqueue(album, 1)
    batch = await api.client.batch([paint.call(number) for number in range(200)])
    assert await trips(batch.id) == few
