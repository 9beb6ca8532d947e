"""History: what became of a queue's jobs in the last three days, how long they took, and when new code came."""

import asyncio
from datetime import timedelta

import pytest

from rota import Client, QueueHistory, Run, fixed, job
from tests.waiting import until
from tests.workers import Works


@pytest.fixture
def variables() -> dict[str, str]:
    # The version that is deployed: in production the image has it from its build.
    return {"APP_VERSION": "1.4.2"}


@job(queue="video", max_attempts=2, backoff=fixed(0, jitter=0))
async def cut(run: Run, seconds: float, breaks: bool = False) -> None:
    await asyncio.sleep(seconds)
    if breaks:
        raise RuntimeError("the tape broke")


async def past(works: Works, ended: int) -> QueueHistory:
    """Return the history once this many jobs have ended in it."""

    async def look() -> QueueHistory | None:
        # A worker process does this by itself, every ten seconds.
        await works.history.send()
        found = await works.client.history("video", period=timedelta(hours=1))
        return found if found.total.completed + found.total.dead == ended else None

    history: QueueHistory = await until(look, f"{ended} jobs are in the history")
    return history


async def test_it_tells_what_became_of_the_jobs_and_how_long_they_took(client: Client, works: Works) -> None:
    await client.enqueue_many(cut.call(0.05) for _ in range(4))
    await client.enqueue(cut, 0.0, breaks=True)
    history = await past(works, 5)
    total = history.total
    # The one that breaks was tried twice.
    assert (total.started, total.completed, total.retried, total.dead) == (6, 4, 1, 1)
    # Percentiles are off by at most 12.2 %.
    assert total.run.p95 is not None
    assert total.run.p95 > 0.05 / 1.122
    assert total.wait.count == 6
    # The same, minute by minute: the last one goes on.
    assert history.step == 60
    assert sum(point.completed for point in history.points) == 4
    assert [at for at, _ in history.series("wait_p95")] == [point.at for point in history.points]


async def test_it_has_a_mark_where_a_version_of_the_code_began_to_run(client: Client, works: Works) -> None:
    await client.enqueue(cut, 0.0)
    history = await past(works, 1)
    (mark,) = history.marks
    assert mark.version == "1.4.2"
    assert history.points[0].at <= mark.at


async def test_where_nothing_happened_it_says_so(client: Client) -> None:
    history = await client.history("video", period=timedelta(hours=72), step=timedelta(hours=1))
    assert len(history.points) == 73
    assert history.total.started == 0
    assert history.total.run.p50 is None
