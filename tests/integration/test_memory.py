"""What a job takes of Redis' memory, by the keys that it has there, and what a worker has loaded into its own.

`python -m benchmarks.memory` measures the whole.
"""

import subprocess
import sys
from pathlib import Path

from benchmarks.memory import State, look
from rota import Run, connect, job
from rota.settings.load import load
from tests.modules import COMMANDS, OF_LIBRARIES, OF_THE_API, OF_THE_CLIENT, WANTED_BY_SOME
from tests.processes import environment
from tests.servers import RedisServer, free_port
from tests.waiting import until
from tests.workers import serving

JOBS, FEW = 1_000, 50
TELLING = """
import sys
from rota import Run, job

@job
async def loaded(run: Run) -> list[str]:
    return list(sys.modules)
"""


@job(keep_result=60)
async def count(run: Run, number: int) -> int:
    return number


def a_job(state: State) -> float:
    return state.kinds.total() / JOBS


async def test_a_job_takes_little_memory_while_it_waits_and_once_it_is_over(server: RedisServer) -> None:
    async with await connect(load({"REDIS_URL": server.url})) as client:

        async def has_no_queue() -> bool:
            return not await client.redis.exists("arq:queue:default")

        async def work_off(numbers: range) -> State:
            await client.enqueue_many(count.call(number) for number in numbers)
            waiting = await before.since(client.redis)
            async with serving(server.url, count, QUEUE_CONCURRENCY="50"):
                await until(has_no_queue)
            return waiting

        before = await look(client.redis)
        await work_off(range(FEW))
        before = await look(client.redis)
        waiting = await work_off(range(FEW, FEW + JOBS))
        kept = await before.since(client.redis)
        assert await client.redis.dbsize() > FEW + JOBS, "all results are kept"
    assert 100 < a_job(waiting) < 260
    assert 100 < a_job(kept) < 360


async def test_a_worker_at_work_has_loaded_nothing_that_only_some_want(
    server: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "jobs.py").write_text(TELLING, "utf-8")
    variables = environment(
        tmp_path, REDIS_URL=server.url, METRICS_PORT=str(free_port()), LOG_LEVEL="warning"
    )
    with subprocess.Popen([sys.executable, "-m", "rota", "worker"], cwd=tmp_path, env=variables) as worker:
        try:
            async with await connect(load({"REDIS_URL": server.url})) as client:
                handle = await client.enqueue_by_name("default:loaded", {})
                modules = set(await handle.result(timeout=20))
        finally:
            worker.terminate()
    assert not modules & (COMMANDS | WANTED_BY_SOME | OF_THE_API | OF_THE_CLIENT | OF_LIBRARIES)
