"""Lists of jobs on several queues: page by page without a gap and in a bounded look, however many others there are."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from arq.connections import ArqRedis

from rota import Client, State
from rota.client.looking import live
from rota.client.looking.jobs import read
from rota.client.looking.live import Place, look
from rota.model.info import JobInfo
from rota.wire.claims import Settlement, Told
from rota.wire.keys import QueueKeys, queue_key
from rota.wire.queue import QueueScripts, ServiceRules
from rota.wire.results import encode_error

QUEUES = ("email", "mail", "slow")
NOW = int(time.time() * 1000)
LATER = NOW + 86_400_000


def keys(queue: str) -> QueueKeys:
    return QueueKeys.of(queue_key(queue))


async def pages(
    redis: ArqRedis,
    state: State,
    limit: int,
    queues: Sequence[str] = QUEUES,
    fits: Callable[[JobInfo], bool] | None = None,
) -> list[list[str]]:
    """Read a list to its end, and return the ids of each page."""
    found: list[list[str]] = []
    place: Place | None = None
    while True:
        page = await look(redis, queues, state, after=place, limit=limit, fits=fits)
        found.append([info.id for info in page.jobs])
        place = page.next
        if place is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_jobs_of_several_queues_come_in_the_order_in_which_they_are_due(
    redis: ArqRedis, limit: int
) -> None:
    # Three of one queue are due at the same time, and so are some of the others.
    await redis.zadd(keys("email").queue, {"a1": NOW - 9, "a2": NOW - 5, "a3": NOW - 5, "a4": NOW - 5})
    await redis.zadd(keys("mail").queue, {"b1": NOW - 5, "b2": NOW - 4, "b3": LATER})
    await redis.zadd(keys("slow").queue, {"c1": NOW - 7, "c2": NOW - 5})
    found = await pages(redis, State.WAITING, limit)
    assert [one for page in found for one in page] == ["a1", "c1", "a2", "a3", "a4", "b1", "c2", "b2"]
    assert max(map(len, found)) <= limit
    assert await pages(redis, State.DELAYED, limit) == [["b3"]]


async def test_the_newest_death_comes_first(redis: ArqRedis) -> None:
    for queue, deaths in (("email", {"a1": 1, "a2": 5, "a3": 5}), ("slow", {"c1": 5, "c2": 9})):
        await redis.zadd(keys(queue).dead, {one: NOW + at for one, at in deaths.items()})
        for one in deaths:
            await redis.hset(f"{keys(queue).dead}:{one}", "reason", "failed")  # type: ignore[misc]
    for limit in (1, 2, 9):
        found = await pages(redis, State.DEAD, limit)
        assert [one for page in found for one in page] == ["c2", "a3", "a2", "c1", "a1"]


async def test_jobs_that_limits_keep_back_wait_and_come_behind_those_that_are_due(redis: ArqRedis) -> None:
    await redis.zadd(
        keys("email").queue, {"due": NOW - 5, "parked": LATER, "later": LATER, "last": LATER + 1}
    )
    await redis.zadd(keys("email").parked, {"parked": LATER})
    for limit in (1, 9):
        found = await pages(redis, State.WAITING, limit)
        assert [one for page in found for one in page] == ["due", "parked"]
        found = await pages(redis, State.DELAYED, limit)
        assert [one for page in found for one in page] == ["later", "last"]


async def test_a_page_is_found_behind_many_others_and_the_look_ends_where_it_was_bounded(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    active = {f"run-{number:04}": LATER + number for number in range(450)}
    await redis.zadd(keys("email").queue, {**active, "later": LATER + 1000, "last": LATER + 1001})
    await redis.zadd(keys("email").active, active)
    assert await pages(redis, State.DELAYED, 1, ["email"]) == [["later"], ["last"]]
    monkeypatch.setattr(live, "AMONG", 300)
    assert await pages(redis, State.DELAYED, 9, ["email"]) == [[], ["later", "last"]]


async def test_many_queues_offer_fewer_jobs_each_and_nothing_is_left_out(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "OFFERED", 0)
    await redis.zadd(keys("email").queue, {f"a{number:03}": NOW - 900 + number for number in range(120)})
    await redis.zadd(keys("slow").queue, {"first": NOW - 1000, "last": NOW - 1})
    found = await pages(redis, State.WAITING, 200)
    assert [len(page) for page in found] == [51, 50, 21], "of each queue at most 50 are taken at a time"
    assert [one for page in found for one in page] == ["first", *(f"a{n:03}" for n in range(120)), "last"]


async def test_every_state_is_counted_of_every_queue(client: Client, redis: ArqRedis) -> None:
    await client.enqueue_by_name("email:send", {"n": 1})
    await client.enqueue_by_name("email:send", {"n": 1}, delay=60)
    await redis.zadd(keys("mail").dead, {"x": 1})
    found = await look(redis, QUEUES, None)
    assert {queue: list(counts.values()) for queue, counts in found.counts.items()} == {
        "email": [1, 1, 0, 0],
        "mail": [0, 0, 0, 1],
        "slow": [0, 0, 0, 0],
    }
    assert found.jobs == []


async def test_a_condition_looks_at_so_many_jobs_and_goes_on_behind_them(
    client: Client, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOKED_AT", 4)
    handles = [await client.enqueue_by_name("email:send", {"n": number}) for number in range(10)]

    def fits(info: JobInfo) -> bool:
        assert info.payload is not None
        return info.payload["n"] in (1, 5, 6, 7)

    chosen = [handles[number].id for number in (1, 5, 6, 7)]
    assert await pages(redis, State.WAITING, 2, fits=fits) == [chosen[:1], chosen[1:3], chosen[3:]]
    first = await look(redis, QUEUES, State.WAITING, limit=2, fits=fits)
    assert first.looked_at == 4


async def test_a_page_takes_two_round_trips(client: Client, redis: ArqRedis) -> None:
    for queue in QUEUES:
        await client.enqueue_by_name(f"{queue}:send", {})
    await look(redis, QUEUES, State.WAITING)
    before = (await redis.info("stats"))["total_reads_processed"]
    found = await look(redis, QUEUES, State.WAITING)
    assert (await redis.info("stats"))["total_reads_processed"] - before == 3, "INFO itself is one"
    assert [info.queue for info in found.jobs] == sorted(QUEUES)


async def test_jobs_are_read_with_as_many_commands_for_many_as_for_one(
    client: Client, redis: ArqRedis
) -> None:
    async def commands(count: int) -> int:
        ids = [(await client.enqueue_by_name("email:send", {"n": number})).id for number in range(count)]
        before = (await redis.info("stats"))["total_commands_processed"]
        found = await read(redis, [("email", one) for one in ids], State.WAITING)
        assert list(found) == [("email", one) for one in sorted(ids)]
        return int((await redis.info("stats"))["total_commands_processed"] - before)

    assert await commands(1) == await commands(40)


async def test_a_job_of_a_list_is_what_a_look_at_the_job_shows(client: Client, redis: ArqRedis) -> None:
    worker = QueueScripts(keys("email"), "w", 30.0, ServiceRules("email"))
    handles = [
        await client.enqueue_by_name("email:send", {"n": number}, delay=number and 60, tenant="acme")
        for number in range(3)
    ]
    (claim,) = (await worker.step(redis, lane=0, seq=1, want=1)).claims
    await worker.report(redis, [(claim, "send", 50.0, "half")])
    await redis.set(f"arq:in-progress:{handles[1].id}", "1")
    wanted = [("email", one.id) for one in handles]
    found = await read(redis, [*wanted, ("email", "none"), ("slow", handles[0].id)], State.WAITING)
    assert found == {one: await client.status(*one) for one in wanted}
    assert [found[one].state for one in wanted] == [State.ACTIVE, State.ACTIVE, State.DELAYED]
    settled = Settlement.dead(claim, "failed", Told("dead", "send", 1, encode_error(ValueError("no"))))
    await worker.step(redis, lane=0, seq=2, want=0, settlements=[settled])
    (dead,) = (await read(redis, wanted, State.DEAD)).values()
    info = await client.status(*wanted[0], letter=True)
    assert replace(dead, error=None) == replace(info, error=None)
    assert repr(dead.error) == repr(info.error)


@pytest.fixture
def client(redis: ArqRedis) -> Client:
    return Client(redis)
