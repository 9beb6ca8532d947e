"""A job gets another name in a new release: whatever was enqueued under the old one is run by it."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from arq.connections import ArqRedis
from prometheus_client.parser import text_string_to_metric_families

from rota import Client, JobFailed, Run, State, each, every, job, job_serializer, pipeline, unique
from rota.app.connect import client_of
from rota.client.events import EventReader
from rota.model.registry import schedules_of
from rota.server import connections
from rota.server.target import RedisTarget
from rota.settings.load import load
from tests.servers import RedisServer
from tests.waiting import until_in
from tests.workers import Works, serving

ran: list[str] = []


def body(run: Run, scene: int) -> int:
    ran.append(run.job)
    if scene < 0:
        raise ValueError("no such scene")
    return scene


#: The release before: `draw`, and `once`, of which there may be one for each scene.
draw = job(name="draw", max_attempts=1)(body)
draw_once = job(name="once", unique=unique(key="scene"))(body)


@every("1h")
@job(name="paint", aliases=("sketch", "draw"), max_attempts=1)
async def paint(run: Run, scene: int = 0) -> int:
    return body(run, scene)


@job(name="paint_once", aliases=("once",), unique=unique(key="scene"))
async def paint_once(run: Run, scene: int) -> int:
    return body(run, scene)


@job
async def scenes(run: Run, upto: int) -> list[int]:
    return list(range(upto))


@job
async def add(run: Run, numbers: list[int]) -> int:
    return sum(numbers)


@pytest.fixture
async def before(server: RedisServer) -> AsyncIterator[Client]:
    """Yield a client of the release before, while no worker is there."""
    ran.clear()
    redis = connections.async_client(RedisTarget.from_url(server.url))
    async with client_of(load({"REDIS_URL": server.url}), redis) as client:
        yield client


async def test_jobs_of_every_origin_run_under_the_old_name(
    before: Client, server: RedisServer, redis: ArqRedis
) -> None:
    single = await before.enqueue(draw, 1)
    by_name = await before.enqueue_by_name("draw", {"scene": 2})
    elsewhere = await before.enqueue(draw.options(queue="other"), 3)
    redis.job_serializer = job_serializer
    await redis.enqueue_job("draw", 4, _queue_name="arq:queue:default", _job_id="stock")
    flow = await before.enqueue(pipeline(scenes, each(draw), add), upto=4)
    async with serving(server.url, paint, scenes, add, QUEUES__OTHER__CONCURRENCY="2"):
        assert await single.result(10) == 1
        assert await by_name.result(10) == 2
        assert await elsewhere.result(10) == 3
        assert await before.handle("default", "stock").result(10) == 4
        assert await flow.result(20) == 6
        assert (await before.counts("default"))[State.DEAD] == 0
    assert set(ran) == {"paint"}


async def test_events_and_figures_after_the_start_have_the_new_name(
    before: Client, server: RedisServer
) -> None:
    done = await before.enqueue(draw, 1)
    async with serving(server.url, paint, METRICS_PORT="0") as works:
        await done.result(10)
        assert (await finished(works)) == {("completed", "default", "paint"): 1.0}
    events, _ = await EventReader("rota:events", "0", queue=None, types=None).page(before.redis)
    assert [(event.type, event.task) for event in events] == [
        ("enqueued", "draw"),
        ("started", "draw"),
        ("completed", "paint"),
    ]


async def finished(works: Works) -> dict[tuple[str, ...], float]:
    """Return the counts of ended attempts that are not 0."""
    async with httpx2.AsyncClient() as http:
        text = (await http.get(f"http://127.0.0.1:{works.port}/metrics")).text
    samples = (one for family in text_string_to_metric_families(text) for one in family.samples)
    return {
        tuple(sorted(one.labels.values())): one.value
        for one in samples
        if one.name == "arq_jobs_finished_total" and one.value
    }


async def test_a_letter_of_the_old_name_is_found_and_brought_back_by_it(
    before: Client, server: RedisServer
) -> None:
    async with serving(server.url, draw):
        letter = await before.enqueue(draw, -1)
        await until_in(letter, State.DEAD)
    ran.clear()
    async with serving(server.url, paint):
        assert await before.retry_dead("default", task="draw") == 1
        with pytest.raises(JobFailed):
            await letter.result(10)
    assert ran == ["paint"]


async def test_what_is_unique_stays_so_beside_jobs_of_the_old_name(before: Client) -> None:
    await before.enqueue(draw_once, 7)
    assert not (await before.enqueue(paint_once, 7)).created
    assert (await before.enqueue(paint_once, 8)).created


def test_a_schedule_keeps_the_name_by_which_it_is_known() -> None:
    (schedule,) = schedules_of(paint, "default")
    assert schedule.name == "default:draw"
