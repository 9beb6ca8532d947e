"""The screens of workers: each process with what it runs, and how many the load needs."""

import asyncio

import pytest

from rota import Run, job
from rota.fleet.heartbeat import About, Heartbeat
from rota.fleet.roster import roster
from rota.wire.keys import QueueKeys, queue_key
from rota.wire.leader import Place
from tests.integration.api.pages.trips import counting
from tests.integration.api.pages.visiting import MARKUP, Seen, entered, greet, page, sleeps
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer
from tests.unit.fleet.test_heartbeat import EMAIL, Worker
from tests.waiting import until

ABOUT = About("shop-worker-7d9f", 4711, 3725, 300 * 2**20, 0.125)


@job(queue="video")
async def reports(run: Run) -> None:
    run.progress(42.5, f"row 425 {MARKUP}")
    await asyncio.sleep(60)


async def beats(api: Api, process: str, name: str = "", *queues: str, version: str = "1.4.2") -> None:
    workers = [
        Worker(QueueKeys.of(queue_key(queue)).queue, running=1, worker_id=name)
        for queue in queues or ("email",)
    ]
    await Heartbeat(api.client.redis, process, workers, cap=8, version=version, about=lambda: ABOUT).beat()


async def test_without_a_worker_the_page_says_how_one_is_started(api: Api) -> None:
    shown = await page(api, "/workers")
    assert "rota worker" in shown
    assert "0 workers wanted, 0 there" in shown
    assert "more run" not in shown
    await page(api, "/workers/none", 404)


async def test_a_process_is_shown_with_what_it_says_of_itself_and_what_runs_in_it(
    server: RedisServer,
) -> None:
    async with answering(server.url, sleeps, reports) as api:
        first, second = await api.client.enqueue(sleeps), await api.client.enqueue(reports)
        found = {}

        async def both_run() -> bool:
            now = await roster(api.client.redis, ["email", "video"], "rota", detailed=True)
            found.update({one.queue: one for one in now.running})
            return len(found) == 2 and found["video"].percent is not None

        await until(both_run, "both jobs run")
        # Its heartbeat is a service of a process, and this worker is without one.
        await beats(api, "shop-4711-abc", found["email"].worker)
        await Place("rota", "shop-4711-abc", 30).take(api.client.redis)
        shown = await page(api, "/workers")
        for told in ("shop-worker-7d9f", "pid 4711", "1.4.2", "300 MB", "125 ms", "leads", "1 / 8", first.id):
            assert told in shown, told
        assert second.id not in shown
        assert "1 job more runs in processes that do not say so" in shown
        await beats(api, "shop-4711-abc", found["video"].worker, "video")
        one = await page(api, "/workers/shop-4711-abc")
        assert "video:reports" in one
        assert "row 425 &lt;script&gt;" in one
        assert f"/ui/job?queue=video&id={second.id}&now=1#now" in Seen(one).links


async def test_a_process_that_is_silent_and_one_of_an_earlier_version_are_told_apart(api: Api) -> None:
    await beats(api, "quiet", version="1.4.2")
    await api.client.redis.pexpire(f"{EMAIL.worker}:quiet", 3000)
    await api.client.redis.set(f"{EMAIL.worker}:old", "running 4 2 0 1.4.1", px=15_500)
    await api.client.redis.sadd(EMAIL.workers, "old")
    shown = await page(api, "/workers")
    assert "silent" in shown
    assert "13 s ago" in shown
    assert "1.4.1 in 1 process, 1.4.2 in 1 process" in shown
    assert "running" in await page(api, "/workers/old")


async def test_the_formula_is_shown_in_numbers(api: Api) -> None:
    await beats(api, "one")
    await api.client.enqueue_many([greet.call() for _ in range(600)])
    shown = await page(api, "/workers")
    assert "3 workers wanted, 1 there" in shown
    assert "2 more would keep every objective" in shown
    assert "600" in Seen(shown).cells("Wait")
    assert "20.0" in Seen(shown).cells("Slots wanted")


async def test_it_takes_as_many_round_trips_for_many_processes_as_for_one(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entered(api, "read")
    for number in (1, 20):
        for one in range(number):
            await beats(api, f"host-{one}")
        monkeypatch.setattr("rota.api.access.TRUST", 0.0)
        for path in ("/workers", "/workers/host-0"):
            async with counting(monkeypatch) as trips:
                await page(api, path)
            assert trips.count == 3, path
