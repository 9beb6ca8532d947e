"""What a finished attempt leaves behind is freed at once, and does not wait for the garbage collector."""

import gc

import pytest

from rota import Job, Run, job
from rota.attempts.attempt import Attempt
from rota.engine.execution import Execution
from tests.servers import RedisServer
from tests.waiting import until_empty
from tests.workers import serving

JOBS = 50


@job(keep_result=0)
async def coroutine(run: Run) -> None:
    pass


@job(keep_result=0)
def thread(run: Run) -> None:
    pass


@pytest.mark.parametrize("some_job", [coroutine, thread])
async def test_an_attempt_ends_without_the_garbage_collector(
    server: RedisServer, some_job: Job[[], None]
) -> None:
    async with serving(server.url, some_job) as works:
        gc.collect()  # what earlier tests of this process have left
        gc.freeze()  # and what they keep, which need not be looked through
        gc.disable()
        try:
            await works.client.enqueue_many(some_job.call() for _ in range(JOBS))
            await until_empty(works.client)
            in_use = _parts_of_attempts()
            gc.collect()
            assert _parts_of_attempts() == in_use
        finally:
            gc.enable()


def _parts_of_attempts() -> int:
    return sum(type(found) in (Execution, Attempt, Run) for found in gc.get_objects())
