"""What jobs on a bench save: given to them, looked at, and given back from one attempt to the next."""

from typing import Any

import pytest

from rota import CheckpointTooLarge, Run, job
from rota.testing import Bench
from tests.unit.testing.jobs import Place, climb, climb_in_a_process

pytest_plugins = ["rota.testing"]


async def test_a_handler_alone_begins_from_what_it_is_given(bench: Bench) -> None:
    assert await bench.run(climb, top=2) == 2
    assert await bench.resume(climb, {"step": 3}, top=5) == 5
    assert await bench.resume(climb, Place(8), top=9) == 9
    assert bench.checkpoints(climb) == [{"step": step} for step in (1, 2, 4, 5, 9)]


async def test_what_it_saved_is_seen_even_if_it_fails(bench: Bench) -> None:
    with pytest.raises(ConnectionError):
        await bench.run(climb, top=3, falls_at=(2,))
    assert bench.checkpoints(climb)[-1] == {"step": 2}


async def test_the_next_attempt_of_a_drain_goes_on_where_the_last_one_was(bench: Bench) -> None:
    handle = await bench.client.enqueue(climb, top=6, falls_at=(2, 5))
    assert await bench.drain() == 3
    assert await handle.result() == 6
    assert [place["step"] for place in bench.checkpoints(climb)] == [1, 2, 3, 4, 5, 6]


async def test_a_dead_letter_shows_it_and_goes_on_from_it(bench: Bench) -> None:
    handle = await bench.client.enqueue(climb, top=6, falls_at=(1, 2, 3, 4))
    await bench.drain()
    (letter,) = bench.dead
    assert letter.checkpoint == (await handle.status()).checkpoint == {"step": 4}
    await bench.client.retry("email", handle.id)
    await bench.drain()
    assert bench.results(climb) == [6]
    assert [place["step"] for place in bench.checkpoints(climb)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("processes", [False, True])
async def test_process_jobs_save_too(processes: bool) -> None:
    with Bench([climb_in_a_process], processes=processes) as bench:
        assert await bench.resume(climb_in_a_process, 4, top=5) == 5
        await bench.client.enqueue(climb_in_a_process, top=3)
        assert await bench.drain() == 3
        assert bench.results(climb_in_a_process) == [3]
        assert bench.checkpoints(climb_in_a_process) == [5, 1, 2, 3]


@job
def save(run: Run, state: Any) -> None:
    run.checkpoint(state)


async def test_the_limit_is_that_of_the_settings() -> None:
    with Bench([save], settings={"payload_limit": 200}) as bench:
        await bench.run(save, "x" * 198)
        with pytest.raises(CheckpointTooLarge, match="is 200;"):
            await bench.run(save, "x" * 199)
        with pytest.raises(CheckpointTooLarge, match="is 200;"):
            await bench.resume(save, "x" * 199, None)


async def test_a_job_that_saved_nothing_has_nothing(bench: Bench) -> None:
    assert bench.checkpoints(climb) == []
