"""A unique job's dead letter is brought back while another job has its key: what the client answers."""

from typing import Any

import pytest

from rota import JobExists, Run, job, unique
from rota.testing import Bench


def dying(rule: Any) -> Any:
    """Return a job of which the first dies, one at a time."""

    @job(max_attempts=1, unique=unique(key="key", on_taken=rule))
    async def work(run: Run, key: str, number: int) -> int:
        if number == 1 and not run.deps:
            raise ValueError("not the first")
        return number

    return work


@pytest.mark.parametrize("rule", ["existing", "refuse", "replace"])
async def test_two_jobs_of_a_key_do_not_run_at_once_when_a_letter_comes_back(rule: str) -> None:
    work = dying(rule)
    dead: set[int] = set()
    with Bench([work], deps=dead) as bench:
        first = await bench.client.enqueue(work, "k", 1)
        await bench.drain()
        second = await bench.client.enqueue(work, "k", 2)
        if rule == "refuse":
            with pytest.raises(
                JobExists, match=f"{second.id!r} has the unique key of {first.id!r}"
            ) as raised:
                await bench.client.retry("default", first.id)
            assert (raised.value.id, raised.value.letter) == (second.id, first.id)
        else:
            handle = await bench.client.retry("default", first.id)
            assert (handle.id, handle.created) == (second.id, False)
        assert await bench.client.retry_dead("default") == 0
        assert len(bench.dead) == (rule != "replace")
        dead.add(1)
        await bench.drain()
        assert bench.results(work) == [1 if rule == "replace" else 2]
        if rule != "replace":
            assert (await bench.client.retry("default", first.id)).created
            await bench.drain()
            assert bench.results(work) == [2, 1]
