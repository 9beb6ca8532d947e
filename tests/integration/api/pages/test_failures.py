"""The screens of failures: what jobs died of in a time, by the reason, and one cause with its trend and its jobs."""

import asyncio
import time
from typing import Any

import pytest

from rota import Run, job
from rota.model.state import State
from tests.integration.api.pages.trips import counting
from tests.integration.api.pages.visiting import (
    MARKUP,
    Seen,
    dead_letters,
    entered,
    fails,
    greet,
    page,
)
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer
from tests.waiting import until_in

HOUR, DAY = 3_600_000, 86_400_000


@job(queue="email", max_attempts=1)
async def breaks(run: Run, text: str) -> None:
    raise RuntimeError(text)


@job(queue="email", max_attempts=1, timeout=0.05)
async def lasts(run: Run) -> None:
    await asyncio.sleep(60)


async def cause_of(api: Api, job_id: str) -> str:
    found: bytes = await api.client.redis.hget(f"arq:queue:email:dead:{job_id}", "cause")
    return found.decode()


async def move(api: Api, job_id: str, ago_ms: int) -> None:
    """Let a letter be one that died so long ago."""
    at, cause = round(time.time() * 1000) - ago_ms, await cause_of(api, job_id)
    for key in ("arq:queue:email:dead", f"arq:queue:email:cause:{cause}"):
        await api.client.redis.zadd(key, {job_id: at})


async def put_letters(api: Api, queue: str, causes: int, each: int = 1) -> None:
    """Write letters of many causes, as scripts bury them."""
    now, redis = round(time.time() * 1000), api.client.redis
    pipe = redis.pipeline(transaction=False)
    for cause in range(causes):
        for number in range(each):
            name = f"{cause}-{number}"
            error = f'{{"__error__":{{"type":"E{cause}","cause":"{cause:012x}","message":"m"}}}}'
            pipe.hset(
                f"arq:queue:{queue}:dead:{name}",
                mapping={"task": "greet", "error": error, "reason": "failed"},
            )
            pipe.zadd(f"arq:queue:{queue}:dead", {name: now})
            pipe.zadd(f"arq:queue:{queue}:cause:{cause:012x}", {name: now})
        pipe.zadd(f"arq:queue:{queue}:causes", {f"{cause:012x}": now})
    await pipe.execute()


async def test_failures_are_told_by_cause_for_a_time(server: RedisServer) -> None:
    async with answering(server.url, greet, fails, breaks, APP_VERSION="1.4.2") as api:
        assert "Nothing has died in this time." in await page(api, "/failures")
        *_, old = ids = await dead_letters(api, 3)
        other = await api.client.enqueue(breaks, text="order 71 of 'ann' is not there")
        await until_in(other, State.DEAD)
        await move(api, old, 3 * DAY)
        shown = await page(api, "/failures")
        assert "order # of &#39;…&#39; is not there" in shown, "its message without what differs"
        assert "breaks in pages/test_failures.py:" in shown, "the innermost frame of the user's"
        assert "email: fails · 1.4.2" in shown
        assert "Retry 3…" in shown
        assert [shown.count(f'data-label="{name}">{count}<') for name, count in (("1 h", 2), ("7 d", 3))] == [
            1,
            1,
        ]
        hour = await page(api, "/failures?period=1h")
        assert "3 dead letters of this time" in hour
        for job_id in (*ids, other.id):
            await move(api, job_id, 5 * HOUR)
        assert "4 dead letters of before are kept" in await page(api, "/failures?period=1h")
        assert "a period is one of 1h, 24h, 7d, all" in await page(api, "/failures?period=2h", 422)
        await entered(api, "read")
        assert "/bulk/try" not in await page(api, "/failures"), "a reader sees no button"


async def test_a_cause_has_a_page_with_its_trend_a_traceback_and_its_jobs(server: RedisServer) -> None:
    async with answering(server.url, greet, fails, breaks) as api:
        first, _, newest = await dead_letters(api, 3)
        cause = await cause_of(api, first)
        deployed = round(time.time() * 1000) - HOUR // 2
        await api.client.redis.set("rota:history:email:marks", f"{deployed} 2.0.1 worker\n")
        assert f"/ui/failures/{cause}?period=7d" in Seen(await page(api, "/failures")).links
        shown = await page(api, f"/failures/{cause}?period=1h")
        assert "raise ValueError(name)" in shown
        links = Seen(shown).links
        assert {f"/ui/job?queue=email&id={one}" for one in (first, newest)} <= set(links)
        assert "Its job, to fix and retry it" in shown
        other = await api.client.enqueue(breaks, text="of another cause")
        await until_in(other, State.DEAD)
        listed = await page(api, next(one for one in links if "error=" in one).removeprefix("/ui"))
        assert first in listed
        assert other.id not in listed
        assert "2.0.1 deployed" in shown
        assert "deployed 2.0.1" in Seen(shown).text, "and the legend says when"
        assert "died 3" in shown
        for job_id in (first, newest):
            await move(api, job_id, 2 * DAY)
        assert "died 1<" in await page(api, f"/failures/{cause}?period=24h")
        await page(api, "/failures/none", 404)
        assert "Nothing has died of it in this time" in await page(api, "/failures/none?period=1h")


async def test_dead_letters_are_told_by_the_reason_and_when_they_go(server: RedisServer) -> None:
    async with answering(server.url, greet, fails, lasts, DEAD_RETENTION="10d") as api:
        (failed,) = await dead_letters(api, 1)
        slow = await api.client.enqueue(lasts)
        await until_in(slow, State.DEAD)
        await move(api, failed, 3 * DAY)
        shown = await page(api, "/failures?by=reason")
        assert ">failed<" in shown
        assert ">timeout<" in shown
        assert "in 6 d 23 h" in shown or "in 7 d<" in shown
        assert "in 9 d 23 h" in shown or "in 10 d<" in shown
        (jobs,) = (one for one in Seen(shown).links if one.endswith("q=reason%3Atimeout"))
        listed = await page(api, jobs.removeprefix("/ui"))
        assert slow.id in listed
        assert failed not in listed


async def test_what_was_brought_back_or_deleted_is_in_no_group(server: RedisServer) -> None:
    async with answering(server.url, greet, fails) as api:
        first, second, third, fourth = await dead_letters(api, 4)
        await api.client.pause("email")
        await api.client.retry("email", first)
        assert "Retry 3…" in await page(api, "/failures")
        await api.client.delete_dead("email", second)
        assert "Retry 2…" in await page(api, "/failures")
        await api.client.delete_dead("email", third)
        assert "Retry 1…" in await page(api, "/failures")
        assert await api.client.purge_dead("email", cause=await cause_of(api, fourth)) == 1
        assert "Nothing has died" in await page(api, "/failures")


@pytest.mark.parametrize(
    "text", ["x" * 10_000, MARKUP * 400, "\u202e\u0645\u0631\u062d\u0628\u0627 " * 900, ""]
)
async def test_messages_of_any_kind_are_shown_as_text_and_cut(server: RedisServer, text: str) -> None:
    async with answering(server.url, greet, breaks) as api:
        handle = await api.client.enqueue(breaks, text=text)
        await until_in(handle, State.DEAD)
        listed = await page(api, "/failures")
        one = await page(api, f"/failures/{await cause_of(api, handle.id)}")
        for shown in (listed, one):
            assert MARKUP not in shown
            assert len(shown) < 40_000
        assert text[:7].replace("<", "&lt;").replace(">", "&gt;") in listed


async def test_pages_of_causes_follow_each_other(api: Api) -> None:
    await put_letters(api, "email", 60)
    found: list[str] = []
    path = "/failures?period=all"
    while path:
        links = Seen(await page(api, path)).links
        found += [link for link in links if link.startswith("/ui/failures/")]
        path = next((one.removeprefix("/ui") for one in links if "passed=" in one), "")
    assert len(found) == len(set(found)) == 60


async def test_letters_without_a_cause_are_counted_and_lists_of_another_kind_hold_up_no_job(
    server: RedisServer,
) -> None:
    async with answering(server.url, greet, fails) as api:
        await api.client.redis.set("arq:queue:email:causes", "no list")
        (letter,) = await dead_letters(api, 1)
        assert "1 more letter of this time has no cause noted" in await page(api, "/failures")
        await api.client.redis.set(f"arq:queue:email:cause:{await cause_of(api, letter)}", "no list")
        await api.client.delete_dead("email", letter)
        assert "Nothing has died" in await page(api, "/failures")


async def test_pages_of_failures_wait_for_redis_three_times_at_most(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trips(api: Api) -> list[int]:
        counts = []
        for path in ("/failures", "/failures?by=reason", f"/failures/{0:012x}"):
            async with counting(monkeypatch) as counted:
                await page(api, path)
            counts.append(counted.count)
        return counts

    monkeypatch.setattr("rota.api.access.TRUST", 0.0)
    async with answering(server.url, greet, works=False) as api:
        await entered(api, "read")
        await put_letters(api, "email", 1)
        few = await trips(api)
    assert max(few) <= 3
    others: Any = [job(queue=f"q{number}")(greet.handler) for number in range(8)]
    async with answering(server.url, greet, *others, works=False) as api:
        await entered(api, "read")
        for queue in ("email", *(f"q{number}" for number in range(8))):
            await put_letters(api, queue, 70, 3)
        assert await trips(api) == few
