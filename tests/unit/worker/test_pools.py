"""The connections of a worker: which are its own, and which are closed with it."""

from arq.connections import ArqRedis, RedisSettings

from rota.worker.pools import Pools
from tests.servers import RedisServer


async def test_from_arqs_settings_a_worker_makes_its_own_connections(server: RedisServer) -> None:
    pools = Pools({"default_queue_name": "arq:queue:email"})
    own = await pools.own(None, RedisSettings.from_dsn(server.url))
    assert own.default_queue_name == "arq:queue:email"
    assert await pools.own(own, None) is own, "opened once"
    handlers = pools.for_handlers(own)
    assert handlers is not own
    assert await handlers.ping()
    await pools.close()


async def test_a_client_that_was_passed_is_for_handlers_and_stays_open(redis: ArqRedis) -> None:
    pools = Pools({})
    own = await pools.own(redis, None)
    assert own is not redis
    assert pools.for_handlers(own) is redis
    await pools.close()
    assert await redis.ping()
