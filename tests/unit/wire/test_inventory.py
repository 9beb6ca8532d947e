"""Which queues Redis holds, of whatever lies beside them."""

from arq.connections import ArqRedis

from rota.wire.inventory import queues_in


async def test_a_queue_is_there_while_it_has_jobs_or_letters(redis: ArqRedis) -> None:
    await redis.zadd("arq:queue:email", {"a": 1})
    await redis.zadd("arq:queue:email:active", {"a": 1})
    await redis.zadd("arq:queue:old-name:dead", {"b": 1})
    await redis.zadd("arq:queue:busy:p3", {"c": 1})
    assert await queues_in(redis) == {"email", "old-name"}


async def test_what_only_looks_like_a_queue_is_none(redis: ArqRedis) -> None:
    # A bare worker on arq's own queue, names that no queue of ours can have, and keys of other types.
    for key in ("arq:queue", "arq:queue:active", "arq:queue:dead", "arq:queue:No Queue", b"arq:queue:\xff"):
        await redis.zadd(key, {"a": 1})
    await redis.set("arq:queue:paused", "1")
    await redis.set("arq:queue:text", "1")
    assert await queues_in(redis) == set()


async def test_all_queues_are_found_among_many_keys(redis: ArqRedis) -> None:
    names = {f"queue-{number}" for number in range(150)}
    async with redis.pipeline(transaction=False) as pipe:
        for number, name in enumerate(sorted(names)):
            pipe.zadd(f"arq:queue:{name}", {"a": 1})
            pipe.mset({f"arq:job:{number}-{one}": "x" for one in range(40)})
        await pipe.execute()
    assert await queues_in(redis) == names
