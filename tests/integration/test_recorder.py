"""The recorder on a real Redis and real databases: whatever happens to it, every record ends in its row, once."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from arq.connections import ArqRedis
from sqlalchemy import select, text

from rota.process.clock import SYSTEM_CLOCK
from rota.server import connections
from rota.server.target import RedisTarget
from rota.services import recorder as module
from rota.services.figures import Figures
from rota.services.leadership import Leadership, LeadershipLost
from rota.services.recorder import Recorder
from rota.services.records import RecordStream
from rota.services.vanished import Sweep
from rota.store.audit import advance, cursor
from rota.store.engine import Database
from rota.store.faults import StoreError
from rota.store.schema import Row, jobs
from rota.wire.envelopes import encode_job
from tests.waiting import until

KEY = "rota:records"
PAYLOAD = encode_job("send", b'{"to":"ann"}', enqueued_ms=1, headers={"tenant": "acme"})
ERROR = b'{"__error__":{"type":"SMTPError","message":"451 busy","traceback":null}}'


async def tell(redis: Any, *events: list[Any], entry: str = "*", **raw: bytes) -> str:
    """Write an entry as the scripts do, and return its id."""
    told: bytes = await redis.xadd(KEY, {"e": json.dumps(events), **raw}, id=entry)
    return told.decode()


async def tell_lives(redis: Any, count: int, first: int = 0) -> None:
    """Tell of jobs that are enqueued, start and are completed: three entries each."""
    pipe = redis.pipeline(transaction=False)
    for number in range(first, first + count):
        job = ["email", f"email:{number}", "send"]
        pipe.xadd(KEY, {"e": json.dumps([["enqueued", *job, 0, {"due": 5}]]), "p0": PAYLOAD})
        pipe.xadd(KEY, {"e": json.dumps([["started", *job, 1, {"worker": "w"}]])})
        pipe.xadd(KEY, {"e": json.dumps([["completed", *job, 1]]), "d0": b"%d" % number})
    await pipe.execute()


async def rows_of(database: Database) -> dict[str, Row]:
    async with database.read() as connection:
        return {row["id"]: dict(row) for row in (await connection.execute(select(jobs))).mappings()}


async def position_of(database: Database) -> str:
    async with database.read() as connection:
        return await cursor(connection, KEY)


def assert_lives(rows: dict[str, Row], count: int) -> None:
    """Check that the rows are those of `count` jobs that were completed."""
    assert {row["id"]: (row["status"], row["result"]) for row in rows.values()} == {
        f"email:{number}": ("COMPLETED", str(number)) for number in range(count)
    }


Make = Callable[..., Recorder]


@pytest.fixture
def make(target: RedisTarget, database: Database) -> Make:
    """Return what makes a recorder for a term with this epoch."""

    def made(epoch: int = 1, open_database: Callable[[], Database] | None = None, **options: Any) -> Recorder:
        term = Leadership(epoch, SYSTEM_CLOCK.monotonic() + 600)
        opened = open_database or (lambda: Database(database.target))
        return Recorder(lambda: connections.async_client(target), opened, "rota", term, Figures(), **options)

    return made


@asynccontextmanager
async def running(*recorders: Recorder) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(recorder.run()) for recorder in recorders]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [one for one in ended if not isinstance(one, asyncio.CancelledError)] == []


async def caught_up(redis: Any, database: Database) -> None:
    """Wait until all that was told is in the table, and out of Redis."""

    async def look() -> bool:
        last = (await redis.xinfo_stream(KEY))["last-generated-id"].decode()
        return bool(await position_of(database) == last and await redis.xlen(KEY) <= 1)

    await until(look, "the recorder has caught up")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """Return what returns the names of the events that the recorder has logged."""
    with caplog.at_level(logging.INFO, "rota"):
        yield lambda: [
            one.message for one in caplog.records if one.name == "rota.recorder" and "." in one.message
        ]


async def test_what_happens_to_jobs_ends_in_their_rows(
    redis: ArqRedis, database: Database, make: Make
) -> None:
    done, dead = ["email", "email:done", "send"], ["email", "email:dead", "send"]
    await tell(redis, ["enqueued", *done, 0, {"due": 1_767_225_600_000}], p0=PAYLOAD)
    async with running(make()):
        await tell(redis, ["started", *done, 1, {"worker": "w-1"}], ["enqueued", *dead, 0], p1=PAYLOAD)
        await tell(redis, ["completed", *done, 1], ["started", *dead, 1], d0=b'{"sent":1}')
        await tell(
            redis, ["dead", *dead, 1, {"reason": "failed"}], ["completed", "", "f", "flow", 0], d0=ERROR
        )
        await caught_up(redis, database)
    rows = await rows_of(database)
    assert rows.keys() == {"email:done", "email:dead"}
    row = rows["email:done"]
    assert row["payload"] == PAYLOAD.decode()
    assert (row["tenant"], row["queue"], row["name"], row["worker"]) == ("acme", "email", "send", "w-1")
    assert (row["status"], row["attempts"], row["result"]) == ("COMPLETED", 1, '{"sent":1}')
    assert row["enqueued_at"] <= row["started_at"] <= row["finished_at"]
    row = rows["email:dead"]
    assert (row["status"], row["reason"], row["error"]) == ("FAILED", "failed", "SMTPError: 451 busy")


async def test_entries_that_are_none_and_values_that_no_database_takes_hold_up_nothing(
    redis: ArqRedis, database: Database, make: Make
) -> None:
    await redis.xadd(KEY, {"type": "completed", "id": "old"})
    await redis.xadd(KEY, {"e": b"[[", "\xff": b"\x00"})
    await redis.xadd(
        KEY, {"e": b'[["lost","q\\u0000","a\xff\\u0000","n",0,{"due":1e400,"message":7}],[1],"x"]'}
    )
    await tell(redis, ["progress", "q", "p", "n", 0, {"percent": 1e308 * 10, "message": "\0\ud800"}])
    await tell(redis, ["completed", "q", "x" * 100_000, "n", 2**50], d0=b"\xff\x00")
    await tell(
        redis, ["evaporated", "q", "later", "n", 1], ["enqueued", "q", "good", "n", 0, {"due": "soon"}]
    )
    async with running(make()):
        await caught_up(redis, database)
    rows = await rows_of(database)
    assert {row["status"] for row in rows.values()} == {"PENDING", "RUNNING", "COMPLETED"}
    assert len(rows) == 4
    assert rows["good"]["due_at"] is None


class Gated(Database):
    """A database whose writer stands still at the gate before it commits, as a process that is stopped."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.reached, self.gate = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Any]:
        self.reached.set()
        await self.gate.wait()
        async with super().write() as connection:
            yield connection


class Failing(Gated):
    """A database whose writer fails at the gate, the first time."""

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Any]:
        is_first = not self.reached.is_set()
        async with super().write() as connection:
            if is_first:
                raise StoreError("the database is away", transient=True)
            yield connection


async def test_the_page_behind_a_full_one_is_read_while_that_is_written_and_both_are_kept_if_that_fails(
    redis: ArqRedis, database: Database, make: Make, logged: Callable[[], list[str]]
) -> None:
    await tell_lives(redis, 200)
    before = await redis.info("commandstats")
    before.setdefault("cmdstat_xrange", {"calls": 0})
    stopped = Failing(database.target)
    async with running(make(1, lambda: stopped)):
        await stopped.reached.wait()
        reads = "cmdstat_xrange"

        async def is_ahead() -> bool:
            return bool((await redis.info("commandstats"))[reads]["calls"] - before[reads]["calls"] == 2)

        await until(is_ahead, "the second page is read")
        await redis.xtrim(KEY, maxlen=1, approximate=False)
        stopped.gate.set()
        await caught_up(redis, database)
    assert_lives(await rows_of(database), 200)
    assert logged() == ["recorder.database_away", "recorder.database_back"]


async def test_of_two_recorders_at_once_one_writes_and_the_other_reads_again(
    redis: ArqRedis, database: Database, make: Make, logged: Callable[[], list[str]]
) -> None:
    await tell_lives(redis, 50)
    stopped = Gated(database.target)
    first, second = make(1, lambda: stopped), make(2)
    async with running(first):
        await stopped.reached.wait()
        async with running(second):
            await caught_up(redis, database)
        stopped.gate.set()
        await until(lambda: "recorder.fenced" in logged(), "the first recorder is fenced")
    assert first._figures.rows == 0
    assert second._figures.rows >= 50
    assert_lives(await rows_of(database), 50)


async def test_a_recorder_whose_term_is_behind_does_not_try_again_at_once(
    redis: ArqRedis, database: Database, make: Make, logged: Callable[[], list[str]]
) -> None:
    await tell_lives(redis, 1)
    async with running(make(2)):
        await caught_up(redis, database)
    await tell_lives(redis, 1, 1)
    async with running(make(1)):
        await until(lambda: "recorder.fenced" in logged(), "it is fenced")
        await asyncio.sleep(0.4)
    # Without a pause there would be dozens.
    assert logged().count("recorder.fenced") <= 3


async def test_two_recorders_that_both_run_miss_nothing(
    redis: ArqRedis, database: Database, make: Make, logged: Callable[[], list[str]]
) -> None:
    async with running(make(1), make(2)):
        for first in range(0, 300, 30):
            await tell_lives(redis, 30, first)
        await caught_up(redis, database)
    assert_lives(await rows_of(database), 300)
    assert "recorder.lost" not in logged()


async def test_a_recorder_that_was_killed_before_it_removed_what_it_wrote_leaves_that_to_the_next(
    redis: ArqRedis,
    database: Database,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[str]],
) -> None:
    await tell_lives(redis, 20)
    with monkeypatch.context() as patch:
        reached = asyncio.Event()

        async def killed(*_: Any) -> None:
            reached.set()
            await asyncio.Event().wait()

        first = make(1)
        patch.setattr(RecordStream, "trim", killed)
        async with running(first):
            await reached.wait()
    assert await redis.xlen(KEY) == 60
    assert_lives(await rows_of(database), 20)
    second = make(2)
    async with running(second):
        await caught_up(redis, database)
    assert second._figures.rows == 0
    assert_lives(await rows_of(database), 20)
    assert logged() == []


async def test_while_the_database_is_away_records_wait_and_all_are_written_once_it_is_back(
    redis: ArqRedis,
    database: Database,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[str]],
) -> None:
    monkeypatch.setattr(module, "CEILING", 0.1)
    recorder = make()
    async with running(recorder):
        await tell_lives(redis, 10)
        await caught_up(redis, database)
        async with database.write() as connection:
            await connection.execute(text("ALTER TABLE _jobs RENAME TO _jobs_away"))
        await tell_lives(redis, 10, 10)
        await until(lambda: recorder._database_outage._tries > 2, "the recorder tries again")
        await tell_lives(redis, 10, 20)
        async with database.write() as connection:
            await connection.execute(text("ALTER TABLE _jobs_away RENAME TO _jobs"))
        await caught_up(redis, database)
    assert_lives(await rows_of(database), 30)
    assert logged() == ["recorder.database_away", "recorder.database_back"]


async def test_an_outage_of_redis_is_waited_for(
    own_server: Any, database: Database, logged: Callable[[], list[str]]
) -> None:
    target = RedisTarget.from_url(own_server.url)
    term = Leadership(1, SYSTEM_CLOCK.monotonic() + 600)
    recorder = Recorder(
        lambda: connections.async_client(target), lambda: Database(database.target), "rota", term, Figures()
    )
    async with connections.async_client(target) as redis, running(recorder):
        await tell_lives(redis, 10)
        await caught_up(redis, database)
        own_server.stop()
        await until(lambda: recorder._redis_outage.ongoing, "the recorder misses Redis")
        own_server.start()
        await tell_lives(redis, 10, 10)
        await caught_up(redis, database)
    assert_lives(await rows_of(database), 20)
    assert logged() == []


def lost(caplog: pytest.LogCaptureFixture) -> list[object]:
    return [one.__dict__["entries"] for one in caplog.records if one.message == "recorder.lost"]


async def test_entries_that_went_before_they_were_read_are_counted_and_told(
    redis: ArqRedis, database: Database, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    stopped = Gated(database.target)
    stopped.gate.set()
    recorder = make(1, lambda: stopped)
    async with running(recorder):
        await tell_lives(redis, 10)
        await caught_up(redis, database)
        stopped.gate.clear()
        stopped.reached.clear()
        await tell(redis, ["lost", "q", "before", "n", 0])
        await stopped.reached.wait()
        await tell_lives(redis, 100, 10)
        await redis.xtrim(KEY, maxlen=240, approximate=False)
        stopped.gate.set()
        await caught_up(redis, database)
    # The entry that was read before the cut is not among them, and 60 of 300 are.
    assert lost(caplog) == [60]
    assert recorder._figures.lost == 60
    assert len(await rows_of(database)) == 10 + 1 + 80


async def test_a_stream_without_its_last_entry_may_have_lost_others_and_a_new_recorder_says_so(
    redis: ArqRedis, database: Database, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(make(1)):
        await tell_lives(redis, 10)
        await caught_up(redis, database)
    await tell_lives(redis, 10, 10)
    await redis.xtrim(KEY, maxlen=3, approximate=False)
    async with running(make(2)):
        await caught_up(redis, database)
    assert lost(caplog) == ["unknown"]
    assert (await rows_of(database))["email:19"]["status"] == "COMPLETED"


async def test_the_stream_of_a_redis_that_was_emptied_is_read_from_its_beginning(
    redis: ArqRedis, database: Database, make: Make
) -> None:
    async with database.write() as connection:
        await advance(connection, KEY, "0-0", "1767225600000-5", 1)
    async with running(make(2)):
        await tell(redis, ["enqueued", "email", "email:0", "send", 0], entry="7-1")
        await until(lambda: rows_of(database), "the row is there")
        await tell(redis, ["completed", "email", "email:0", "send", 1], entry="7-2", d0=b"0")
        await caught_up(redis, database)
    assert_lives(await rows_of(database), 1)


async def test_a_redis_from_a_backup_that_is_older_than_the_table_is_recorded_on(
    redis: ArqRedis, database: Database, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    job = ["email", "email:0", "send"]
    async with running(make(1)):
        await tell(redis, ["enqueued", *job, 0])
        await caught_up(redis, database)
        backup = await redis.dump(KEY)
        await tell(redis, ["completed", *job, 1], d0=b'"before"')
        await caught_up(redis, database)
    await redis.restore(KEY, 0, backup, replace=True)
    async with running(make(2)):
        await tell(redis, ["completed", *job, 1], d0=b"0")
        await caught_up(redis, database)
    assert_lives(await rows_of(database), 1)
    # The entry up to which the table is written is not there: others may be gone with it.
    assert lost(caplog) == ["unknown"]


async def test_a_recorder_whose_term_is_over_writes_nothing(
    redis: ArqRedis, database: Database, target: RedisTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tell_lives(redis, 1)
    term = Leadership(1, SYSTEM_CLOCK.monotonic() + 600)
    stopped = Database(database.target)
    recorder = Recorder(lambda: connections.async_client(target), lambda: stopped, "rota", term, Figures())
    read = RecordStream.read

    async def ends(self: RecordStream, after: str) -> Any:
        term.end()
        return await read(self, after)

    monkeypatch.setattr(RecordStream, "read", ends)
    with pytest.raises(LeadershipLost):
        await recorder.run()
    assert await rows_of(database) == {}


async def test_rows_of_jobs_that_have_vanished_are_ended_and_others_are_not(
    redis: ArqRedis, database: Database, make: Make, logged: Callable[[], list[str]]
) -> None:
    for kept in ("email:payload", "email:record", "email:letter", "email:gone", "email:\udcff"):
        await tell(
            redis, ["started", "email", kept.encode("utf-8", "surrogateescape").decode("latin-1"), "n", 1]
        )
    await redis.set("arq:job:email:payload", b"{}")
    await redis.set("arq:result:email:record", b"{}")
    await redis.set("arq:queue:email:dead:email:letter", "n")
    await tell(redis, ["completed", "email", "email:over", "n", 1])
    clock = SYSTEM_CLOCK
    async with running(make(sweep=Sweep(silence=-1000, clock=clock))):
        await until(lambda: "recorder.vanished" in logged(), "a job has vanished")
    rows = await rows_of(database)
    ended = {row["id"]: row["reason"] for row in rows.values() if row["status"] == "FAILED"}
    assert ended == {"email:gone": "vanished"}
    assert rows["email:gone"]["finished_at"] is not None


async def test_a_job_that_comes_back_after_it_had_vanished_goes_on(
    redis: ArqRedis, database: Database, make: Make, logged: Callable[[], list[str]]
) -> None:
    await tell(redis, ["started", "email", "email:0", "send", 1])
    async with running(make(sweep=Sweep(silence=-1000))):
        await until(lambda: "recorder.vanished" in logged(), "the job has vanished")
        await tell(redis, ["completed", "email", "email:0", "send", 1], d0=b"0")
        await caught_up(redis, database)
    rows = await rows_of(database)
    assert_lives(rows, 1)
    assert rows["email:0"]["reason"] is None


async def test_an_end_that_is_told_while_redis_is_looked_at_is_the_one_that_counts(
    redis: ArqRedis, database: Database, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tell(redis, ["started", "email", "email:0", "send", 1])
    gone: Callable[..., Awaitable[Any]] = Sweep.gone
    looked = asyncio.Event()

    async def slowly(self: Sweep, *args: Any) -> Any:
        found = await gone(self, *args)
        await tell(redis, ["completed", "email", "email:0", "send", 1], d0=b"0")
        looked.set()
        return found

    monkeypatch.setattr(Sweep, "gone", slowly)
    async with running(make(sweep=Sweep(silence=-1000))):
        await looked.wait()
        await caught_up(redis, database)
    assert_lives(await rows_of(database), 1)
