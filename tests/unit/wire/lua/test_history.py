"""The history of queues in Redis: minutes that several processes add to, once each, and marks of new versions."""

import random
from datetime import timedelta
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError

from rota import Client
from rota.fleet.heartbeat import Heartbeat
from rota.model.history.series import QueueHistory
from rota.model.history.tallies import Tallies
from rota.process.clock import Clock
from rota.telemetry.history.counting import Deltas
from rota.telemetry.history.sender import HistorySender, Place
from rota.telemetry.metrics.jobs import JobMetrics
from rota.wire.keys import QueueKeys, history_key, queue_key
from tests.unit.fleet.test_heartbeat import Worker
from tests.unit.wire.lua.beds import Bed

EMAIL = history_key("rota", "email")
HOUR = 3600


class Process:
    """A worker process that counts, and sends what it has counted."""

    def __init__(
        self, bed: Bed, name: str = "p", version: str = "", queues: tuple[str, ...] = ("email",)
    ) -> None:
        self.metrics = JobMetrics([(queue, "send") for queue in queues])
        self.lost = dict.fromkeys(queues, 0)
        place = Place("rota", name, queues, version)
        self.sender = HistorySender(bed.redis, place, Deltas(self.metrics, lambda: self.lost))
        workers = [Worker(queue_key(queue)) for queue in queues]
        self.heartbeat = Heartbeat(bed.redis, name, workers, version=version)

    async def complete(self, number: int = 1, queue: str = "email", seconds: float = 1.0) -> None:
        """Complete some jobs, and send that."""
        for _ in range(number):
            self.metrics.started(queue, "send", [0.1])
            self.metrics.completed(queue, "send", [seconds])
        await self.sender.send()

    async def boot(self) -> None:
        """Start: mark the version, and tell that it lives."""
        await self.sender.send()
        await self.heartbeat.beat()


async def history(bed: Bed, queue: str = "email", hours: float = 1, step: int = 60) -> QueueHistory:
    client = Client(bed.redis)
    return await client.history(queue, period=timedelta(hours=hours), step=step)


def completed(found: QueueHistory) -> list[int]:
    return [point.completed for point in found.points if point.completed]


# Counts


async def test_processes_add_up_in_the_minute_and_queues_do_not(bed: Bed) -> None:
    one, other = Process(bed, "one", queues=("email", "video")), Process(bed, "other")
    await one.complete(3)
    await other.complete(4)
    await one.complete(5, "video", seconds=7.0)
    found = await history(bed)
    assert (found.total.completed, found.total.started, found.total.run.count) == (7, 7, 7)
    assert (await history(bed, "video")).total.completed == 5
    assert (await history(bed, "nosuch")).total.completed == 0


async def test_a_process_that_does_nothing_sends_nothing(bed: Bed) -> None:
    process = Process(bed)
    for _ in range(3):
        await process.sender.send()
    assert bed.all_keys() == set()


async def test_minutes_and_hours_are_those_of_the_server(clocked: Bed) -> None:
    clocked.advance(2 * HOUR - clocked.now / 1000 % HOUR - 60)  # a minute before the hour after next
    process = Process(clocked)
    for number in (1, 2, 4):
        await process.complete(number)
        clocked.advance(60)
    clocked.advance(HOUR)
    await process.complete(8)
    found = await history(clocked, hours=2)
    assert completed(found) == [1, 2, 4, 8]
    at = [point.at for point in found.points if point.completed]
    assert at[1].minute == 0
    assert [later - at[0] for later in at] == [timedelta(minutes=minutes) for minutes in (0, 1, 2, 63)]
    # By the hour.
    assert completed(await history(clocked, hours=2, step=HOUR)) == [1, 6, 8]


async def test_a_clock_that_was_set_back_adds_to_the_minute_that_was(clocked: Bed) -> None:
    clocked.advance(HOUR - clocked.now / 1000 % HOUR + 600)
    process = Process(clocked)
    await process.complete(1)
    clocked.advance(120)
    await process.complete(2)
    clocked.set_back(120)
    await process.complete(4)
    clocked.advance(120)
    assert completed(await history(clocked)) == [5, 2]


async def test_minutes_are_kept_for_72_hours_and_then_expire(clocked: Bed) -> None:
    process = Process(clocked)
    await process.complete(1)
    clocked.advance(72 * HOUR - 120)
    assert (await history(clocked, hours=72)).total.completed == 1
    clocked.advance(HOUR + 180)
    assert (await history(clocked, hours=72)).total.completed == 0
    assert clocked.all_keys() == set()


async def test_a_reader_whose_clock_is_wrong_asks_again_for_the_right_hours(bed: Bed) -> None:
    await Process(bed).complete(3)
    for wrong in (-9 * HOUR, 9 * HOUR):
        at = bed.now / 1000 + wrong
        client = Client(bed.redis, clock=Clock(time=lambda at=at: at))  # type: ignore[misc]
        assert (await client.history("email", period=HOUR)).total.completed == 3


async def test_reading_takes_one_round_trip(real: Bed) -> None:
    await Process(real).complete(1)
    client = Client(real.redis)
    before = await real.redis.info("stats")
    await client.history("email", period=timedelta(hours=72))
    after = await real.redis.info("stats")
    assert after["total_commands_processed"] - before["total_commands_processed"] - 1 == 2
    assert after["total_reads_processed"] - before["total_reads_processed"] - 1 <= 2


# Faults


class Deaf:
    """A client of Redis whose answers get lost, as long as `is_deaf`."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self.is_deaf = False

    async def execute_command(self, *args: Any) -> Any:
        answer = await self._redis.execute_command(*args)
        if self.is_deaf:
            raise ConnectionError("the answer was lost")
        return answer


async def test_what_is_sent_again_after_a_lost_answer_counts_once(bed: Bed) -> None:
    redis = Deaf(bed.redis)
    process = Process(bed)
    process.sender._redis = redis
    redis.is_deaf = True
    with pytest.raises(ConnectionError):
        await process.complete(3)
    with pytest.raises(ConnectionError):
        await process.complete(4)
    redis.is_deaf = False
    await process.complete(5)
    assert (await history(bed)).total.completed == 12


async def test_what_never_arrived_is_sent_with_the_next_call(bed: Bed) -> None:
    class Away:
        async def execute_command(self, *_: Any) -> Any:
            raise ConnectionError("away")

    process = Process(bed)
    process.sender._redis = Away()
    with pytest.raises(ConnectionError):
        await process.complete(3)
    process.sender._redis = bed.redis
    await process.complete(4)
    assert (await history(bed)).total.completed == 7


async def test_a_full_redis_gives_up_the_history_first_with_one_line(
    real: Bed, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(real, version="1")
    await real.redis.config_set("maxmemory", 1)
    try:
        for _ in range(3):
            await process.complete(3)
    finally:
        await real.redis.config_set("maxmemory", 0)
    assert real.all_keys() == set()
    await process.complete(4)
    assert (await history(real)).total.completed == 4
    assert [one.message for one in caplog.records] == ["history.given_up"]
    assert [mark.version for mark in (await history(real)).marks] == ["1"]


@pytest.mark.parametrize("garbage", [b"", b"\xff\x00", b"\n7 x", b"\n" * 50, b"9" * 200_000])
async def test_garbage_in_the_keys_is_passed_over(bed: Bed, garbage: bytes) -> None:
    process = Process(bed, version="1")
    hour = bed.now // 3_600_000
    for key in (f"{EMAIL}:{hour}", f"{EMAIL}:{hour - 1}", f"{EMAIL}:marks", "rota:history-sent:p"):
        bed.looking.set(key, garbage)
    await process.complete(3)
    await process.complete(4)
    found = await history(bed, hours=2)
    assert found.total.completed == 7
    assert [mark.version for mark in found.marks] == ["1"]


async def test_a_minute_that_cannot_be_read_begins_again(clocked: Bed) -> None:
    hour, minute = divmod(clocked.now // 60_000, 60)
    clocked.looking.set(f"{EMAIL}:{hour}", f"\n{minute} garbage\n77 more\n{minute + 1} 0B||")
    await Process(clocked).complete(3)
    assert clocked.looking.get(f"{EMAIL}:{hour}").startswith(b"\n%d 0D|" % minute)
    assert b"\n77 more" in clocked.looking.get(f"{EMAIL}:{hour}")


async def test_keys_of_another_type_become_ours_again(bed: Bed) -> None:
    hour = bed.now // 3_600_000
    for key in (f"{EMAIL}:{hour}", f"{EMAIL}:{hour - 1}", f"{EMAIL}:marks", "rota:history-sent:p"):
        bed.looking.rpush(key, "x")
    bed.looking.set(QueueKeys.of(queue_key("email")).workers, "no set")
    process = Process(bed, version="1")
    await process.complete(3)
    found = await history(bed, hours=2)
    assert (found.total.completed, len(found.marks)) == (3, 1)


async def test_counts_that_another_program_made_huge_stay_numbers(bed: Bed) -> None:
    hour, minute = divmod(bed.now // 60_000, 60)
    bed.looking.set(f"{EMAIL}:{hour}", f"\n{minute} 0{'z' * 300}Z||")
    await Process(bed).complete(3)
    assert (await history(bed)).total.completed == 10**12


async def test_a_process_that_ends_leaves_no_number_behind(bed: Bed) -> None:
    process = Process(bed)
    await process.complete(3)
    process.metrics.completed("email", "send", [1.0])
    assert "rota:history-sent:p" in bed.all_keys()
    await process.sender._end()
    assert "rota:history-sent:p" not in bed.all_keys()
    assert (await history(bed)).total.completed == 4


# Marks


async def versions(bed: Bed, queue: str = "email") -> list[tuple[str, str]]:
    return [(mark.version, mark.process) for mark in (await history(bed, queue, hours=72, step=HOUR)).marks]


async def test_a_rolling_deploy_and_its_rollback_give_a_mark_each(clocked: Bed) -> None:
    old = [Process(clocked, f"old-{number}", "1") for number in range(3)]
    for process in old:
        await process.boot()
    assert await versions(clocked) == [("1", "old-0")]
    clocked.advance(1)
    for number in range(3):
        await Process(clocked, f"new-{number}", "2").boot()
        # An old one that crashes meanwhile starts beside others of its version.
        await Process(clocked, f"old-again-{number}", "1").boot()
    assert await versions(clocked) == [("1", "old-0"), ("2", "new-0")]
    clocked.advance(20)  # all heartbeats are over
    await Process(clocked, "new-9", "2").boot()
    assert await versions(clocked) == [("1", "old-0"), ("2", "new-0")]
    clocked.advance(20)
    await Process(clocked, "back", "1").boot()
    assert await versions(clocked) == [("1", "old-0"), ("2", "new-0"), ("1", "back")]
    assert (await history(clocked)).marks[0].at.timestamp() * 1000 < clocked.now


async def test_many_that_start_at_once_give_one_mark_a_queue(bed: Bed) -> None:
    for number in range(5):
        await Process(bed, f"p{number}", "1", ("email", "video")).sender.send()
    assert await versions(bed) == await versions(bed, "video") == [("1", "p0")]


async def test_a_version_that_nobody_knows_is_not_marked(bed: Bed) -> None:
    await Process(bed).boot()
    assert await versions(bed) == []


async def test_old_marks_go_but_for_the_last_which_tells_a_restart_from_a_deploy(clocked: Bed) -> None:
    await Process(clocked, "a", "1").boot()
    clocked.advance(60)
    await Process(clocked, "b", "2").boot()
    clocked.advance(73 * HOUR)
    assert await versions(clocked) == []
    await Process(clocked, "c", "2").boot()
    assert await versions(clocked) == []
    assert clocked.looking.get(f"{EMAIL}:marks").endswith(b"2 b")
    assert b" 1 " not in clocked.looking.get(f"{EMAIL}:marks")


async def test_marks_do_not_grow_without_end(clocked: Bed) -> None:
    for number in range(60):
        clocked.advance(20)
        await Process(clocked, "p", str(number)).boot()
    found = await versions(clocked)
    assert len(found) == 50
    assert found[-1] == ("59", "p")


# Size


async def test_72_hours_of_ten_busy_queues_take_less_than_four_megabytes(real: Bed) -> None:
    """Each queue has ten jobs a second; waits and run times of half of the queues are spread further."""
    chance, pipe = random.Random(1), real.looking.pipeline(transaction=False)
    hours = [_busy_hour(chance, spread) for spread in (0.6, 1.2)]
    for queue in range(10):
        for hour in range(72):
            pipe.set(f"{history_key('rota', f'busy-{queue}')}:{hour}", hours[queue % 2])
    pipe.execute()
    for key in real.looking.keys("*"):
        pipe.memory_usage(key)
    sizes = pipe.execute()
    assert len(sizes) == 720
    assert 3_000_000 < sum(sizes) < 4_000_000


def _busy_hour(chance: random.Random, spread: float) -> str:
    return "".join(f"\n{minute} {_busy(chance, spread).text()}" for minute in range(60))


def _busy(chance: random.Random, spread: float, jobs: int = 600) -> Tallies:
    """Return a minute of ten jobs a second, of which some fail; waits and run times are spread log-normally."""
    metrics = JobMetrics([("q", "t")])
    for _ in range(jobs):
        metrics.started("q", "t", [chance.lognormvariate(-4, spread)])
        metrics.completed("q", "t", [chance.lognormvariate(-1, spread)])
    metrics.read()[0][1].ended["retried"] += chance.randrange(20)
    metrics.read()[0][1].ended["dead"] += chance.randrange(3)
    return Deltas(metrics, dict).take()["q"]


async def test_a_full_redis_is_the_only_thing_that_is_given_up(bed: Bed) -> None:
    class Refusing:
        async def execute_command(self, *_: Any) -> Any:
            raise OutOfMemoryError("command not allowed when used memory > 'maxmemory'")

    process = Process(bed)
    process.sender._redis = Refusing()
    await process.complete(3)
    process.sender._redis = bed.redis
    await process.complete(4)
    assert (await history(bed)).total.completed == 4
