"""The first screen: in words, then in figures, and for a first visitor the commands that make a job."""

import asyncio
import time
from typing import Any

import pytest

from rota import Job, Run, job
from rota.app.declaring import Declaring, release_of, schedules_of
from rota.fleet.heartbeat import Heartbeat
from rota.model.state import State
from rota.services.scheduler import Scheduler
from rota.wire.keys import QueueKeys, queue_key
from tests.integration.api.pages.trips import counting
from tests.integration.api.pages.visiting import MARKUP, Seen, dead_letters, entered, fails, greet, page, sent
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer
from tests.unit.fleet.test_heartbeat import Worker
from tests.waiting import until
from tests.workers import Term


@job(queue="video")
async def renders(run: Run) -> None:
    await asyncio.sleep(60)


class BankAway(Exception):
    pass


@job(queue="email", max_attempts=1)
async def pays(run: Run, name: str) -> None:
    raise BankAway(name)


async def beat(api: Api, queue: str = "email", *, busy: int, process: str = "one", **other: Any) -> None:
    """Write the heartbeat of a worker with ten slots, of which some are busy."""
    worker = Worker(QueueKeys.of(queue_key(queue)).queue, running=busy)
    await Heartbeat(api.client.redis, process, [worker], **other).beat()


async def late(api: Api, count: int, seconds: float, queue: str = "email") -> None:
    """Put ready jobs on a queue that were due `seconds` ago."""
    due = (time.time() - seconds) * 1000
    await api.client.redis.zadd(queue_key(queue), {f"late-{number}": due for number in range(count)})


async def schedule(api: Api) -> None:
    """Put the next tick of each schedule, as a worker and the leader do."""
    settings, registry = api.app.state.desk.settings, api.app.state.desk.registry
    await Declaring(api.client.redis, settings, release_of(settings, registry)).declare()
    await Scheduler(schedules_of(settings), Term(), lambda: None).look(api.client.redis)


async def dies(api: Api, message: str, count: int, job: Job[Any, None] = fails) -> None:
    """Let a job die of an error with this message, and wait until there are `count` dead letters."""
    await api.client.enqueue(job, name=message)

    async def is_dead() -> bool:
        return await api.client.count_dead("email") == count

    await until(is_dead, "the job has died")


async def said(api: Api) -> str:
    """Return the lines in which the page says how all of it stands."""
    shown = await page(api, "/")
    return " ".join(shown.partition('<p class="first">')[2].partition("</div>")[0].split())


async def test_a_first_visitor_is_shown_how_to_make_a_job(api: Api) -> None:
    shown = await page(api, "/")
    for command in ("rota worker", "rota enqueue email:fails", "rota queues"):
        assert f'data-copy="{command}"' in shown
    assert "waiting for a worker…" in shown
    await beat(api, busy=0)
    shown = await page(api, "/")
    assert "waiting for a worker…" not in shown
    assert "1 worker is up" in shown
    # The first worker that leads puts the ticks of schedules.
    await schedule(api)
    assert (await api.client.counts("email"))[State.DELAYED] == 1
    assert "rota enqueue email:fails" in await page(api, "/")


async def test_the_command_has_arguments_that_the_job_takes(server: RedisServer) -> None:
    @job(queue="email")
    async def ask(run: Run, name: str, often: int) -> None: ...

    async with answering(server.url, ask, works=False) as api:
        shown = await page(api, "/")
        assert "rota enqueue email:ask &#39;{&#34;name&#34;:" in shown


async def test_the_first_line_says_in_words_how_all_of_it_stands(api: Api) -> None:
    await api.client.enqueue(greet)
    assert "</a> has 1 job and no worker that serves it: start one." in await said(api)
    await api.client.pause("email")
    assert (
        '<a href="/ui/queues/email">email</a> is paused, and 1 job waits for it to be resumed.'
        in await said(api)
    )
    assert "paused</span>" in await page(api, "/"), "the table has it too"
    await sent(api, "/queues/email/resume")
    assert "paused</span>" not in await page(api, "/")
    await sent(api, "/queues/email/pause", reason="a deploy")
    assert "</a> is paused by open (a deploy), and 1 job waits for it to be resumed." in await said(api)
    await api.client.cancel_all("email")
    await api.client.resume("email")
    await api.client.enqueue(greet.options(delay=60))
    assert "On time." in await said(api)
    assert "No worker is up</a> and what is enqueued waits until one is." in await said(api)
    await beat(api, busy=0)
    assert "No worker" not in await said(api)


async def test_a_late_queue_is_said_with_its_slots_and_the_workers_that_are_wanted(api: Api) -> None:
    await late(api, 900, 240)
    await beat(api, busy=10)
    assert "is 3 min late (objective 1 min): 10 of 10 slots busy, 2 more workers wanted." in await said(api)
    shown = Seen(await page(api, "/"))
    assert shown.cells("Waiting")[0] == "900"
    assert "4 min / 1 min" in shown.cells("Oldest wait")[0]


async def test_a_late_queue_whose_workers_are_full_with_jobs_of_another_says_so(server: RedisServer) -> None:
    async with answering(server.url, greet, renders, works=False) as api:
        await late(api, 20, 240)
        await beat(api, busy=2, cap=10)
        await beat(api, "video", busy=8, cap=10)
        why = "2 of 10 slots busy, as its workers are full with jobs of other queues"
        assert why in await said(api)
        assert why in await page(api, "/queues/email")


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"QUEUES__EMAIL__RATE_LIMIT": "10/m"}, "as its rate of 10 in 1 min lets no more start"),
        ({"QUEUES__EMAIL__FLEET_CONCURRENCY": "3"}, "its limit lets 3 jobs run at once, and so many run"),
    ],
)
async def test_a_late_queue_that_a_limit_of_its_own_holds_back_says_so(
    server: RedisServer, setting: dict[str, str], why: str
) -> None:
    async with answering(server.url, greet, works=False, **setting) as api:
        await late(api, 20, 240)
        await beat(api, busy=3)
        running = {f"runs-{number}": (time.time() + 30) * 1000 for number in range(3)}
        await api.client.redis.zadd(queue_key("email"), running)
        await api.client.redis.zadd(QueueKeys.of(queue_key("email")).active, running)
        assert why in await said(api)


async def test_what_jobs_died_of_is_said_with_how_many_and_shown_by_cause(server: RedisServer) -> None:
    async with answering(server.url, greet, fails) as api:
        await dead_letters(api, 3)
        await dies(api, "another", 4)
        line = await said(api)
        assert "All queues are on time, but" in line
        assert (
            '<a href="/ui/failures">4 jobs died</a> in the last hour, 3 of them of one cause: ValueError: x.'
            in line
        )
        shown = Seen(await page(api, "/"))
        assert shown.cells("24 h") == ["3", "1"]


async def test_an_error_is_said_without_the_path_of_its_type(server: RedisServer) -> None:
    async with answering(server.url, pays) as api:
        await dies(api, "no answer", 1, pays)
        assert "1 job died</a> in the last hour, of BankAway: no answer." in await said(api)


async def test_markup_in_an_error_stays_text(server: RedisServer) -> None:
    async with answering(server.url, fails) as api:
        await dies(api, MARKUP, 1)
        shown = await page(api, "/")
        assert MARKUP not in shown
        assert "of ValueError: &lt;script&gt;" in shown


async def test_the_next_schedules_are_shown(api: Api) -> None:
    await api.client.enqueue(greet)
    assert "No job runs by the clock." in await page(api, "/")
    await schedule(api)
    shown = await page(api, "/")
    assert '<a href="/ui/schedules/hourly">hourly</a>' in shown
    assert "email:greet" in shown
    await api.client.pause_schedule("hourly")
    assert "hourly</a>" not in await page(api, "/")


async def test_the_charts_show_the_time_that_is_chosen(api: Api) -> None:
    await api.client.enqueue(greet)
    for query, chosen in (("", "1 h"), ("?period=8h", "8 h"), ("?period=72h", "72 h"), ("?period=9y", "1 h")):
        shown = await page(api, f"/{query}")
        assert f'aria-current="true">{chosen}</a>' in shown


async def test_it_takes_as_many_round_trips_for_many_queues_as_for_one(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {f"QUEUES__Q{number}__CONCURRENCY": "3" for number in range(30)}
    for queues in ({}, many):
        async with answering(server.url, greet, works=False, **queues) as api:
            await entered(api, "read")
            for queue in api.app.state.desk.queues:
                await late(api, 3, 100, queue)
                await beat(api, queue, busy=1)
                await api.client.pause(queue)
            await page(api, "/")
            monkeypatch.setattr("rota.api.access.TRUST", 0.0)
            async with counting(monkeypatch) as trips:
                shown = await page(api, "/?period=8h")
            assert trips.count <= 3, f"{len(api.app.state.desk.queues)} queues"
            assert ("All 31 queues</a>" in shown) == (queues is many)
