"""The outbox where something breaks: Redis is away, full or emptied, a relay is killed at any point, or two are there.

FAULTS_SCALE=1 runs the emptied Redis with 2,000 jobs; by default with a sample.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import select, text

from rota import Client, Run, job
from rota.server.target import RedisTarget
from rota.services.outbox import reconciler, relay, sending
from rota.store.engine import Database
from rota.store.faults import StoreError
from rota.store.outbox import sent, waiting
from rota.store.schema import jobs
from rota.wire.leading.outbox import OutboxKeys, Superseded
from tests.outboxes import Leader, rows_of, running
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import serving

SCALE = float(os.environ.get("FAULTS_SCALE", "0.1"))
JOBS = round(2000 * SCALE)
RAN: Counter[int] = Counter()

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@job(keep_result=0)
async def count(run: Run, number: int) -> None:
    RAN[number] += 1


@job
async def slow(run: Run, number: int) -> None:
    await asyncio.sleep(0.02)
    RAN[number] += 1


@pytest.fixture(autouse=True)
def ran(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with nothing that has run, and a relay that looks more often than in use."""
    RAN.clear()
    monkeypatch.setattr(relay, "EVERY", 0.1)


@pytest.fixture
def target(own_server: RedisServer) -> RedisTarget:
    return RedisTarget.from_url(own_server.url)


@pytest.fixture
async def client(own_server: RedisServer) -> AsyncIterator[Client]:
    async with serving(own_server.url, count, slow, QUEUE_DEFAULT_CONCURRENCY="20") as works:
        yield works.client


Put = Callable[..., Awaitable[None]]


@pytest.fixture
def put(client: Client, database: Database) -> Put:
    """Return what enqueues jobs by their numbers, in a transaction that is committed."""

    async def put(*numbers: int, job: Any = count) -> None:
        async with database.engine.begin() as connection:
            await client.outbox(connection).enqueue_many(job.call(number) for number in numbers)

    return put


@pytest.fixture
def leader(target: RedisTarget, database: Database) -> Leader:
    return Leader(target, database.target)


@pytest.fixture
async def at_work(leader: Leader, put: Put) -> AsyncIterator[Leader]:
    """Yield the leader at work, with a first job that has run."""
    async with running(leader.services):
        await put(0)
        await all_ran(1)
        yield leader


async def all_ran(count: int) -> None:
    await until(lambda: len(RAN) == count, f"{count} jobs have run", 60)


async def all_gone(database: Database) -> None:
    """Wait until no row is left: the end of each job is in the audit table."""

    async def look() -> bool:
        try:
            async with database.write() as connection:
                await connection.execute(text("UPDATE _outbox SET look_at = now() WHERE sent_at IS NOT NULL"))
        except StoreError as error:
            # The reconciler writes these rows, too: of two that wait for each other PostgreSQL undoes one.
            if not error.transient:
                raise
            return False
        return not await rows_of(database)

    await until(look, "the end of each job is known", 30)


async def test_what_is_committed_while_redis_is_away_runs_when_it_is_back(
    own_server: RedisServer, database: Database, put: Put, at_work: Leader
) -> None:
    own_server.stop()
    await put(*range(1, 50))
    await until(lambda: (at_work.figures.outbox.oldest or 0) > 0.2, "the relay knows that rows wait")
    own_server.start()
    await all_ran(50)
    await all_gone(database)
    assert set(RAN.values()) == {1}


async def test_rows_wait_while_redis_is_full(own_server: RedisServer, put: Put, at_work: Leader) -> None:
    with own_server.client() as admin:
        admin.config_set("maxmemory", 1)
        await put(*range(1, 50))
        await until(lambda: (at_work.figures.outbox.oldest or 0) > 0.5, "rows wait")
        assert len(RAN) == 1
        admin.config_set("maxmemory", 0)
    await all_ran(50)
    assert set(RAN.values()) == {1}


class Killed(BaseException):
    """The end of a relay at some point: nothing after it is done."""


#: The points of a portion at which a relay may be killed: what is called there, and whether before or after that.
POINTS: dict[str, tuple[Any, str, bool]] = {
    "before the rows are sent": (OutboxKeys, "send", False),
    "after they were sent": (OutboxKeys, "send", True),
    "after they were written down": (waiting, "drop", True),
    "before the marks are removed": (OutboxKeys, "forget", False),
    "after the marks were removed": (OutboxKeys, "forget", True),
}


@pytest.mark.parametrize(
    ("point", "does_run"), [*((point, True) for point in POINTS), ("after they were sent", False)]
)
async def test_a_relay_may_be_killed_at_any_point(  # noqa: PLR0917 - fixtures
    target: RedisTarget,
    database: Database,
    client: Client,
    put: Put,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    does_run: bool,
) -> None:
    first = Leader(target, database.target, 1)
    where, name, is_after = POINTS[point]
    original = getattr(where, name)

    async def killing(*args: Any, **kwargs: Any) -> Any:
        if is_after:
            await original(*args, **kwargs)
        raise Killed

    async with running([first.bound, first.recorder]):
        await until(lambda: client.redis.exists("rota:recording"), "recording is switched on")
        if not does_run:
            await client.pause("default")
        await put(*range(40))
        with monkeypatch.context() as patch:
            patch.setattr(where, name, killing)
            patch.setattr(relay.Relay, "_forget_marks", nothing)
            with pytest.raises(Killed):
                await first.relay.run()
        was_sent = "before the rows" not in point
        if does_run and was_sent:
            await all_ran(40)
        second = Leader(target, database.target, 2)
        async with running([second.relay, second.reconciler]):
            await until(lambda: all_sent(database), "the next relay has sent them all")
            await until(lambda: no_marks(client), "the marks are removed")
            if not does_run:
                await client.resume("default")
            await all_ran(40)
            await all_gone(database)
    assert set(RAN.values()) == {1}


async def test_a_connection_that_breaks_within_a_portion_leaves_what_was_sent_before_it_as_sent(
    leader: Leader, database: Database, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "BATCH", 10)
    original, calls = OutboxKeys.send, [0]

    async def breaking(self: OutboxKeys, *args: Any, **kwargs: Any) -> Any:
        answer = await original(self, *args, **kwargs)
        calls[0] += 1
        if calls[0] == 2:
            # The answer is lost: whether the rows were put is not known.
            raise RedisConnectionError("broken")
        if calls[0] == 3:
            assert [row["sends"] for row in await rows_of(database)] == [1] * 10 + [0] * 30
        return answer

    monkeypatch.setattr(OutboxKeys, "send", breaking)
    async with running([leader.bound, leader.recorder]):
        await put(*range(40))
        async with running([leader.relay]):
            await all_ran(40)
            await until(lambda: all_sent(database))
    assert set(RAN.values()) == {1}


async def nothing(*_: Any) -> None:
    """Stand in the place of what is not to be done."""


async def all_sent(database: Database) -> bool:
    return all(row["sent_at"] for row in await rows_of(database))


async def no_marks(client: Client) -> bool:
    return not await client.redis.exists("rota:outbox:sent")


async def test_a_relay_that_stood_still_sends_nothing_once_a_later_one_is_at_work(
    target: RedisTarget, database: Database, client: Client, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first stops right before its call, and the database gives its rows free meanwhile."""
    monkeypatch.setattr(waiting, "_STANDSTILL", 300)
    first, second = Leader(target, database.target, 1), Leader(target, database.target, 2)
    reached, gate, fenced = asyncio.Event(), asyncio.Event(), asyncio.Event()
    original = OutboxKeys.send

    async def stopping(self: OutboxKeys, *args: Any, epoch: int, **kwargs: Any) -> Any:
        if epoch == 1:
            reached.set()
            await gate.wait()
        try:
            return await original(self, *args, epoch=epoch, **kwargs)
        except Superseded:
            fenced.set()
            raise

    monkeypatch.setattr(OutboxKeys, "send", stopping)
    async with running([second.bound, second.recorder]):
        await put(*range(40))
        stopped = asyncio.create_task(first.relay.run())
        await reached.wait()
        async with running([second.relay]):
            await client.redis.set("rota:leader:epoch", 2)
            await all_ran(40)
            await until(lambda: no_marks(client), "the marks are removed")
            gate.set()
            await until(fenced.is_set, "the first is refused")
            stopped.cancel()
            await asyncio.wait([stopped])
            await client.enqueue(count, 40)
            await all_ran(41)
    assert set(RAN.values()) == {1}


async def test_two_relays_at_once_send_each_row_once(
    target: RedisTarget, database: Database, put: Put
) -> None:
    leaders = [Leader(target, database.target), Leader(target, database.target)]
    async with running([*leaders[0].services, leaders[1].relay, leaders[1].reconciler]):
        for first in range(0, 400, 20):
            await put(*range(first, first + 20))
        await all_ran(400)
        await all_gone(database)
    assert set(RAN.values()) == {1}
    assert sum(leader.figures.outbox.sent for leader in leaders) == 400


# What Redis loses


async def test_an_emptied_redis_gets_all_again_that_is_not_over(
    own_server: RedisServer, leader: Leader, database: Database, client: Client, put: Put
) -> None:
    async with running(leader.services):
        putting = asyncio.create_task(under_load(put))
        with own_server.client() as admin:
            await until(lambda: len(RAN) > JOBS // 5, "a part has run", 60)
            over = {number: RAN[number] for number in await over_in_the_table(database)}
            admin.flushall()
            emptied = time.monotonic()
            await until(lambda: leader.figures.outbox.again > 0, "rows are sent again", 30)
            await until(lambda: all_sent(database), "all are sent again", 60)
            took = time.monotonic() - emptied
            await until(lambda: len(RAN) > 3 * JOBS // 5, "a part has run", 60)
            over = {number: RAN[number] for number in await over_in_the_table(database)} | over
            admin.flushall()
        await putting
        await until(lambda: len(RAN) == JOBS, "all jobs have run", 110)
        await all_gone(database)
    twice = sum(times - 1 for times in RAN.values())
    print(f"{JOBS} jobs, {twice} ran once more, {took:.1f} s until all were sent again")  # noqa: T201
    assert took <= 60
    # The others ran while Redis was emptied, or the recorder had not read their end.
    assert over
    assert {number: RAN[number] for number in over} == over


async def over_in_the_table(database: Database) -> set[int]:
    """Return the numbers of the jobs whose end is in the audit table."""
    async with database.read() as connection:
        payloads = await connection.scalars(select(jobs.c.payload).where(jobs.c.finished_at.is_not(None)))
        return {json.loads(payload)["k"]["number"] for payload in payloads}


async def under_load(put: Put) -> None:
    """Enqueue all jobs, ten in a transaction, faster than they run."""
    for first in range(0, JOBS, 10):
        await put(*range(first, first + 10), job=slow)
        await asyncio.sleep(0.01)


async def test_delayed_jobs_of_an_emptied_redis_keep_their_time(
    own_server: RedisServer, leader: Leader, database: Database, client: Client
) -> None:
    async with running(leader.services):
        async with database.engine.begin() as connection:
            handle = await client.outbox(connection).enqueue(count.options(delay=600), 1)
        await until(lambda: all_sent(database))
        due = (await handle.status()).due_at
        await asyncio.sleep(1.0)
        with own_server.client() as admin:
            admin.flushall()
        await until(lambda: leader.figures.outbox.again == 1)
        await until(lambda: client.redis.exists(f"arq:job:{handle.id}"))
        again = (await handle.status()).due_at
    assert due
    assert again
    assert abs((again - due).total_seconds()) < 0.5


async def test_what_a_failover_loses_is_sent_again(
    leader: Leader, database: Database, client: Client, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some jobs are gone, some still there, and one is over: the first alone are sent again, and look no more often."""
    monkeypatch.setattr(reconciler, "EVERY", 0.05)
    monkeypatch.setattr(waiting, "FIRST_LOOK", 0.3)
    async with running(leader.services):
        await put(100)
        await all_ran(1)
        await client.pause("default")
        await put(*range(20))
        await until(lambda: all_sent(database))
        rows = [row for row in await rows_of(database) if row["sends"] == 1][-20:]
        lost = [row["id"] for row in rows[:7]]
        await client.redis.delete(*(f"arq:job:{one}" for one in lost))
        await client.redis.zrem("arq:queue:default", *lost)
        await until(lambda: leader.figures.outbox.again == 7, "what is lost is sent again")
        await client.resume("default")
        await all_ran(21)
        await all_gone(database)
    assert set(RAN.values()) == {1}
    assert leader.figures.outbox.again == 7


async def test_a_job_is_not_taken_for_lost_before_its_end_is_read(
    leader: Leader, database: Database, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder is behind: nothing of the job is in Redis but the record of its end."""
    monkeypatch.setattr(reconciler, "EVERY", 0.05)
    monkeypatch.setattr(waiting, "FIRST_LOOK", 0.1)
    asked = asyncio.Event()
    original = sent.set_back

    async def watched(*args: Any) -> int:
        asked.set()
        return await original(*args)

    monkeypatch.setattr(sent, "set_back", watched)
    async with running([leader.bound, leader.relay, leader.reconciler]):
        await put(1)
        await all_ran(1)
        await asyncio.sleep(1.0)
        assert not asked.is_set()
        async with running([leader.recorder]):
            await asyncio.wait_for(asked.wait(), 10)
            await all_gone(database)
    assert RAN == {1: 1}
    assert leader.figures.outbox.again == 0
