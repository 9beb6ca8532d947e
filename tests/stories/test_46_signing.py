"""Signed payloads: with a ring of keys a worker runs what was enqueued with one of them, and nothing else."""

import pytest
from arq.connections import ArqRedis

from rota import Client, JobFailed, Run, State, job, job_serializer
from rota.app.connect import client_of
from rota.server import connections
from rota.server.target import RedisTarget
from rota.settings.load import load
from rota.wire.keys import JOB, RESULT
from rota.wire.sealing.ring import new_key
from tests.servers import RedisServer
from tests.waiting import until_in

OLD, NEW = new_key("old"), new_key("new")


@job
async def pay(run: Run, to: str, amount: int) -> str:
    return f"paid {amount} to {to}"


@pytest.fixture
def variables() -> dict[str, str]:
    """Let the worker have two keys, of which the first signs; require signatures, and encrypt."""
    return {
        "PAYLOAD_KEYS": f"{NEW} {OLD}",
        "PAYLOAD_SIGNING": "required",
        "PAYLOAD_ENCRYPTION": "on",
    }


async def test_what_is_enqueued_with_the_keys_runs_and_nobody_else_reads_it(client: Client) -> None:
    waiting = await client.enqueue(pay.options(delay=600), "ann", 100)
    payload = await client.redis.get(JOB + waiting.id)
    assert b"ann" not in payload
    # Those who have the keys see it as ever.
    assert (await waiting.status()).payload == {"to": "ann", "amount": 100}
    await waiting.reschedule()
    assert await waiting.result(timeout=20) == "paid 100 to ann"
    assert b"ann" not in await client.redis.get(RESULT + waiting.id)


async def test_a_process_that_has_the_old_key_alone_goes_on(client: Client, server: RedisServer) -> None:
    settings = load({"REDIS_URL": server.url, "PAYLOAD_KEYS": OLD, "PAYLOAD_SIGNING": "on"})
    async with client_of(settings, connections.async_client(RedisTarget.from_url(server.url))) as behind:
        handle = await behind.enqueue(pay, "bob", 5)
        assert await client.handle("default", handle.id).result(timeout=20) == "paid 5 to bob"


async def test_what_others_put_into_redis_is_refused(client: Client) -> None:
    pool = client.redis.connection_pool
    arq = ArqRedis(pool, job_serializer=job_serializer, default_queue_name="arq:queue:default")
    await arq.enqueue_job("pay", to="mallory", amount=1_000_000, _job_id="forged")
    letter = await until_in(client.handle("default", "forged"), State.DEAD)
    assert (letter.reason, letter.attempts, letter.payload) == ("unsigned", 1, None)
    assert "PAYLOAD_SIGNING=required" in str(letter.refused)


async def test_a_result_that_no_worker_has_written_is_refused(client: Client) -> None:
    mine, theirs = await client.enqueue(pay, "ann", 1), await client.enqueue(pay, "mallory", 1_000_000)
    await mine.result(timeout=20)
    await theirs.result(timeout=20)
    await client.redis.copy(RESULT + theirs.id, RESULT + mine.id, replace=True)
    with pytest.raises(JobFailed, match="forged, or moved from another id"):
        await mine.result(timeout=5)
