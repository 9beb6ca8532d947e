"""A client that is made by hand, with settings and without."""

from collections.abc import Iterator

import pytest

from rota import Client, PayloadTooLarge, Run, job
from rota.settings.settings import Settings
from rota.testing import Bench


@job
async def send(run: Run, text: str) -> None: ...


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench([send]) as bench:
        yield bench


async def test_a_client_without_settings_has_the_defaults(bench: Bench) -> None:
    handle = await Client(bench.redis).enqueue(send, "a")
    assert handle.queue == "default"
    assert await bench.redis.exists("rota:events")


async def test_every_part_of_a_client_has_its_settings(bench: Bench) -> None:
    settings = Settings(namespace="shop", default_queue="email", payload_limit=200, keep_result=0)
    client = Client(bench.redis, settings)
    handle = await client.enqueue(send, "a")
    assert (handle.queue, client.queue_of(send)) == ("email", "email")
    batch = await client.batch([send.call("b")])
    assert await bench.redis.exists(f"shop:flow:{batch.id}")
    assert await bench.redis.exists("shop:events")
    assert not await bench.redis.exists("rota:events")
    with pytest.raises(PayloadTooLarge, match="200"):
        await client.enqueue(send, "a" * 200)
    assert await handle.cancel() == "cancelled"
    assert not await bench.redis.keys("arq:result:*"), "a result that is kept for 0 seconds is not written"
