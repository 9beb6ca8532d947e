"""The log of a job whose worker is killed, or whose Redis is full: what was written stays, and the job ends as ever."""

import time

from rota import Client
from rota.engine.pulse import PULSE
from tests.faults.fleet import Fleet
from tests.faults.jobs_for_faults.on_loop import recount
from tests.servers import RedisServer
from tests.waiting import until

#: Logs are written with every second beat; a busy machine may be late by this much, seconds.
WRITTEN, LATE = 2 * PULSE, 2.0


async def test_after_kill_9_the_lines_stay_that_were_written_and_those_of_the_next_attempt_follow(
    fleet: Fleet, client: Client
) -> None:
    (victim,) = await fleet.start(lease=1)
    handle = await client.enqueue(recount, lines=150, pace=0.05)
    await until(lambda: fleet.ledger.times("logged-30")[handle.id] == 1)
    victim.kill()
    killed_at = time.monotonic()
    kept = await handle.log()
    logged = [entry for entry in fleet.ledger.entries() if entry.event.startswith("logged-")]
    in_time = [entry for entry in logged if entry.at < killed_at - WRITTEN - LATE]
    assert len(in_time) <= len(kept) <= len(logged)
    assert kept

    await fleet.start(lease=1)
    await until(lambda: fleet.ledger.times("logged-5")[handle.id] == 2, "it runs again")
    await handle.cancel()
    await client.wait(handle.queue, handle.id, 30)
    lines = await handle.log()
    assert lines[: len(kept)] == kept
    assert [line.number for line in lines[len(kept) :]] == list(range(1, len(lines) - len(kept) + 1))
    assert len({line.started_at for line in lines}) == 2
    assert {line.attempt for line in lines} == {1}, "a lost attempt does not count"


async def test_while_redis_is_full_a_job_ends_without_the_lines_that_find_no_room(
    own_fleet: Fleet, own_client: Client, own_server: RedisServer
) -> None:
    (worker,) = await own_fleet.start()
    handle = await own_client.enqueue(recount, lines=20, pace=0.1)
    await until(lambda: own_fleet.ledger.times("start")[handle.id] == 1)
    with own_server.client() as plain:
        plain.set("ballast", "x" * 2_000_000)
        plain.config_set("maxmemory", 1_000_000)
        await handle.result(20)
        plain.config_set("maxmemory", 0)
    assert len(await handle.log()) < 20
    assert worker.alive
    assert not worker.events("redis.unavailable")
