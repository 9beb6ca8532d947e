"""Batches: many jobs of any kind, enqueued together, and a job that is called when all have ended, or one has died."""

import asyncio

from rota import Client, Run, State, job
from tests.waiting import until


@job
async def resize(run: Run, picture: int) -> int:
    return picture * 2


@job(queue="mail", max_attempts=1)
async def tell(run: Run, name: str) -> None:
    if name == "nobody":
        raise LookupError("there is no such person")


@job
async def sleep(run: Run) -> None:
    await asyncio.sleep(60)


@job
async def report(run: Run, word: str) -> dict[str, int]:
    assert run.batch is not None
    _told.append((word, run.batch.dead_ids))
    return {"completed": run.batch.completed, "dead": run.batch.dead, "cancelled": run.batch.cancelled}


_told: list[tuple[str, tuple[str, ...]]] = []


async def until_told(word: str) -> tuple[str, ...]:
    await until(lambda: word in dict(_told))
    return dict(_told)[word]


async def test_a_job_is_called_when_all_have_ended(client: Client) -> None:
    batch = await client.batch(
        [*(resize.call(number) for number in range(50)), tell.call("ann")],
        on_finished=report.call("all over"),
    )
    info = await batch.wait(timeout=20)
    assert (info.state, info.total, info.completed, info.percent) == (State.COMPLETED, 51, 51, 100)
    assert await until_told("all over") == ()
    assert await batch.handles[7].result(timeout=20) == 14


async def test_and_one_when_the_first_of_them_has_died(client: Client) -> None:
    batch = await client.batch(
        [tell.call("ann"), tell.call("nobody"), tell.call("nobody")],
        on_finished=report.call("finished"),
        on_died=report.call("somebody died"),
    )
    info = await batch.wait(timeout=20)
    assert (info.completed, info.dead) == (1, 2)
    assert set(await until_told("finished")) == {batch.handles[1].id, batch.handles[2].id}
    await until_told("somebody died")
    assert [word for word, _ in _told].count("somebody died") == 1


async def test_a_batch_is_cancelled_as_a_whole_and_its_end_is_told_all_the_same(client: Client) -> None:
    batch = await client.batch([sleep.call() for _ in range(30)], on_finished=report.call("stopped"))
    assert await batch.cancel() == "cancelled"
    info = await batch.wait(timeout=20)
    assert (info.state, info.cancelled) == (State.CANCELLED, 30)
    await until_told("stopped")


async def test_a_batch_that_is_enqueued_again_under_its_id_is_there_once(client: Client) -> None:
    calls = [resize.call(number) for number in range(3)]
    first = await client.batch(calls, id="monday")
    second = await client.batch(calls, id="monday")
    assert (first.created, second.created, second.id) == (True, False, first.id)
    assert [await handle.result(timeout=20) for handle in second.handles] == [0, 2, 4]


async def test_a_batch_of_nothing_is_over_at_once(client: Client) -> None:
    await client.batch([], on_finished=report.call("nothing"))
    await until_told("nothing")
