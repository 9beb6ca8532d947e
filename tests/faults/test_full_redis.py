"""A Redis that is full takes no new jobs; what waits is run and recorded all the same, which makes room again."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from rota import Client, State, connect
from rota.server.faults import ServerError
from rota.settings.load import load
from tests.faults.fleet import Fleet, records
from tests.faults.jobs_for_faults.in_processes import report_from_process
from tests.faults.jobs_for_faults.on_loop import carry, work
from tests.processes import ROOT, environment, start
from tests.servers import RedisServer
from tests.waiting import until, until_empty


async def test_finished_work_is_recorded_while_redis_is_full_and_the_rest_follows(
    own_fleet: Fleet, own_client: Client, own_server: RedisServer
) -> None:
    fleet = own_fleet
    (worker,) = await fleet.start(queue_concurrency=5)
    handles = await own_client.enqueue_many(work.call(seconds=1) for _ in range(5))
    ids = {handle.id for handle in handles}
    await until(lambda: len(fleet.ledger.running(worker.pid)) == 5, "they run")
    with own_server.client() as plain:
        plain.set("ballast", "x" * 2_000_000)
        plain.config_set("maxmemory", 1_000_000)
        with pytest.raises(ServerError, match="is full"):
            await own_client.enqueue(work, seconds=0)

        async def recorded() -> bool:
            return (await records(own_client, "completed")).keys() == ids

        await until(recorded, "all are recorded, with no room")
        assert worker.alive
        plain.config_set("maxmemory", 0)

    more = await own_client.enqueue(work, seconds=0)
    await more.result(10)
    assert await records(own_client, "completed") == dict.fromkeys([*ids, more.id], 1)
    assert fleet.ledger.times("start") == dict.fromkeys([*ids, more.id], 1)


async def test_a_full_redis_that_refuses_some_calls_is_one_line_of_the_log(
    own_fleet: Fleet, own_client: Client, own_server: RedisServer
) -> None:
    (worker,) = await own_fleet.start()
    handles = [await own_client.enqueue(report_from_process, seconds=3), await own_client.enqueue(work)]
    await until(lambda: len(worker.events("job.started")) == 2, "they run")
    with own_server.client() as plain:
        plain.set("ballast", "x" * 2_000_000)
        plain.config_set("maxmemory", 1_000_000)
        for handle in handles:
            await handle.result(20)
        plain.config_set("maxmemory", 0)
    assert len(worker.events("redis.unavailable")) <= 1
    assert len(worker.events("redis.back")) <= 1


async def fill(client: Client, ids: list[str]) -> None:
    """Enqueue jobs for ever, and put their ids into `ids`."""
    while True:
        ids.append((await client.enqueue(carry, ballast="x" * 20_000)).id)


def counted(redis: Any) -> int:
    """Return the bytes that count for maxmemory: what the append-only file has still to be told of does not."""
    memory = redis.info("memory")
    return int(memory["used_memory"]) - int(memory["mem_not_counted_for_evict"])


def command(server: RedisServer, folder: Path, *words: str) -> str:
    """Run the command line and return what it prints."""
    variables = environment(ROOT, HOME=str(folder), REDIS_URL=server.url)
    pipe = subprocess.PIPE
    with start(*words, cwd=folder, environment=variables, text=True, stdout=pipe, stderr=pipe) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return str(out)


async def test_a_backlog_that_filled_redis_while_no_worker_ran_is_drained(
    own_fleet: Fleet, own_client: Client, own_server: RedisServer, tmp_path: Path
) -> None:
    with own_server.client() as plain:
        used = counted(plain)
        plain.config_set("maxmemory", used + 16_000_000)
        ids: list[str] = []
        with pytest.raises(ServerError, match="is full"):
            await fill(own_client, ids)
        assert counted(plain) < used + 17_000_000

        async with await connect(load({"REDIS_URL": own_server.url})) as visitor:
            assert (await visitor.counts("default"))[State.WAITING] == len(ids)
            assert (await visitor.status("default", ids[0])).state is State.WAITING
        assert str(len(ids)) in command(own_server, tmp_path, "queues")
        assert ids[0] in command(own_server, tmp_path, "jobs", "default")
        command(own_server, tmp_path, "cancel", "default", ids[0])

        (worker,) = await own_fleet.start(keep_result=1)

        # The events of most are gone: the worker cut the stream short.
        await until_empty(own_client, "default")
        assert own_fleet.ledger.times("end") == dict.fromkeys(ids[1:], 1)
        assert worker.alive

        async def takes_jobs() -> bool:
            try:
                await own_client.enqueue(work, seconds=0)
            except ServerError:
                return False
            return True

        # A record has its job's arguments, and keeps their memory until it expires.
        await until(takes_jobs, "there is room again")
