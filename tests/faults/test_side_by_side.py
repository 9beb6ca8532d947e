"""An old and a new worker side by side, as in every deploy: what the old one does not know waits for the new one."""

from rota import Client, State
from tests.faults.fleet import JOBS, Fleet, records
from tests.faults.jobs_for_faults.in_threads import nap
from tests.faults.jobs_for_faults.on_loop import work
from tests.waiting import until

OLD = f"{JOBS}.on_loop"


async def test_a_job_that_the_old_worker_does_not_know_waits_unspent_for_the_new_one(
    fleet: Fleet, client: Client
) -> None:
    (old,) = await fleet.start(jobs_package=OLD, unknown_delay=0.2)
    handle = await client.enqueue(nap, seconds=0)
    await until(lambda: old.says("job.unknown"), "the old worker has seen it")
    known = await client.enqueue(work, seconds=0)
    await known.result(10)
    info = await handle.status()
    assert (info.state, info.attempts) in [(State.DELAYED, 0), (State.WAITING, 0), (State.ACTIVE, 1)]

    (new,) = await fleet.start(unknown_delay=0.2)
    await fleet.all_ended([handle.id])
    (entry,) = fleet.ledger.entries("end")[1:]
    assert (entry.id, entry.pid, entry.attempt) == (handle.id, new.pid, 1)
    await until(lambda: records(client, "completed"), "it is settled")
    assert (await handle.status()).attempts == 1


async def test_a_job_that_stays_unknown_is_dead_lettered_after_the_grace(
    fleet: Fleet, client: Client
) -> None:
    (old,) = await fleet.start(jobs_package=OLD, unknown_delay=0.2, unknown_grace=1)
    handle = await client.enqueue(nap, seconds=0)
    info = await client.wait("default", handle.id, 20)
    assert (info.state, info.reason, info.task) == (State.DEAD, "unknown", "nap")
    assert info.payload == {"seconds": 0}
    assert info.error is not None
    assert "there is no job 'nap'" in info.error.message
    assert old.says("job.unknown")
    # Brought back, it has all its attempts and the whole grace before it again.
    assert await client.retry_dead("default", reason="unknown") == 1

    async def is_left_again() -> bool:
        entry = await client.redis.hget("arq:queue:default:runs", handle.id)
        return entry is not None and entry.startswith(b"-") and not entry.endswith(b" 0")

    await until(is_left_again, "the old worker waits again")
    assert (await handle.status()).state is not State.DEAD


async def test_the_new_worker_gets_the_job_while_the_old_one_is_idle_too(
    fleet: Fleet, client: Client
) -> None:
    await fleet.start(jobs_package=OLD, unknown_delay=0.3)
    (new,) = await fleet.start(unknown_delay=0.3)
    for _ in range(3):
        handle = await client.enqueue(nap, seconds=0)
        await handle.result(10)
    assert {(entry.pid, entry.attempt) for entry in fleet.ledger.entries("start")} == {(new.pid, 1)}
