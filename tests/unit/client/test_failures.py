"""What jobs died of lately, as a script tells it: by cause, in one round trip, however many letters there are."""

import time
from typing import Any

from rota.client.failures import recent_deaths
from rota.wire.keys import QueueKeys, queue_key
from rota.wire.results import encode_error

HOUR = 3600.0


async def died(redis: Any, queue: str, count: int, error: Exception, *, ago: float = 60.0) -> str:
    """Write dead letters as the scripts of workers do; return the cause of them."""
    dead, raw = QueueKeys.of(queue_key(queue)).dead, encode_error(error)
    cause: str = raw.partition(b'"cause":"')[2][:12].decode()
    pipe = redis.pipeline(transaction=False)
    for number in range(count):
        job_id, at = f"{cause}-{ago:.0f}-{number}", round((time.time() - ago) * 1000) - number
        pipe.zadd(dead, {job_id: at})
        pipe.hset(f"{dead}:{job_id}", mapping={"error": raw, "cause": cause, "task": "send", "at": at})
    await pipe.execute()
    return cause


async def test_the_deaths_of_an_hour_and_a_day_are_counted_by_cause(redis: Any) -> None:
    many = await died(redis, "email", 7, ValueError("no such address"))
    await died(redis, "email", 2, ValueError("no such address"), ago=2 * HOUR)
    few = await died(redis, "email", 3, KeyError("name"), ago=3 * HOUR)
    await died(redis, "email", 4, OSError("disk"), ago=30 * HOUR)
    found = await recent_deaths(redis, ["email", "reports"])
    assert (found.hour, found.day, found.looked_hour, found.looked_day) == (7, 12, 7, 12)
    assert [(one.queue, one.cause, one.hour, one.day) for one in found.causes] == [
        ("email", many, 7, 9),
        ("email", few, 0, 3),
    ]
    first, _ = found.causes
    assert (first.error.type, first.error.message) == ("ValueError", "no such address")
    assert (first.task, first.id) == ("send", f"{many}-60-0")
    assert 59 <= time.time() - first.last_at.timestamp() <= 70


async def test_what_one_queue_leaves_of_the_letters_that_are_looked_at_is_for_the_others(redis: Any) -> None:
    big = await died(redis, "big", 30, ValueError("a"))
    small = await died(redis, "small", 2, ValueError("b"))
    found = await recent_deaths(redis, ["big", "none", "small"], most=10)
    assert (found.hour, found.looked_hour, found.looked_day) == (32, 10, 10)
    assert [(one.cause, one.hour) for one in found.causes] == [(big, 8), (small, 2)]


async def test_a_long_error_is_told_by_its_beginning(redis: Any) -> None:
    await died(redis, "email", 1, ValueError("x" * 5000))
    (one,) = (await recent_deaths(redis, ["email"])).causes
    assert one.error.type == "ValueError"
    assert 300 < len(one.error.message) < 600
    assert set(one.error.message) == {"x"}


async def test_letters_that_have_expired_or_are_none_have_no_cause(redis: Any) -> None:
    dead = QueueKeys.of(queue_key("email")).dead
    await redis.zadd(dead, {"gone": time.time() * 1000, "odd": time.time() * 1000})
    await redis.set(f"{dead}:odd", "text")
    found = await recent_deaths(redis, ["email"])
    assert (found.hour, found.causes) == (2, ())


async def test_one_round_trip_is_enough_for_any_number_of_queues(redis: Any) -> None:
    queues = [f"q{number}" for number in range(50)]
    await recent_deaths(redis, queues)
    before = (await redis.info("stats"))["total_reads_processed"]
    await recent_deaths(redis, queues)
    assert (await redis.info("stats"))["total_reads_processed"] - before - 1 == 1
    assert (await recent_deaths(redis, [])).day == 0
