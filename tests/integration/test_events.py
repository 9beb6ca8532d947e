"""Reading the stream of events: what each says, from where it goes on, and what was missed."""

import asyncio
import json
import re
from contextlib import aclosing
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis

from rota import (
    Cancel,
    Client,
    Event,
    EventType,
    Run,
    Snooze,
    StreamEvent,
    connect,
    connect_sync,
    each,
    fixed,
    job,
    pipeline,
)
from rota.settings.load import load
from rota.wire.keys import RESULT, events_key
from tests.servers import RedisServer
from tests.waiting import until, until_job
from tests.workers import serving

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "events.md").read_text("utf-8")
#: The fields that every event has.
ALWAYS = {"position", "at", "type", "queue", "id", "task"}


@job(max_attempts=2, backoff=fixed(0))
async def fail(run: Run) -> None:
    raise ValueError("é" * 400)


@job
async def put_off(run: Run) -> list[int]:
    if run.snoozes == 0:
        raise Snooze(0.01)
    return [1, 2]


@job
async def give_up(run: Run) -> None:
    raise Cancel("no")


@job
async def double(run: Run, number: int) -> int:
    return 2 * number


@job
async def wait_long(run: Run) -> None:
    run.progress(50, "half")
    await asyncio.sleep(60)


doubled = pipeline(put_off, each(double))


async def first(client: Client, number: int, **options: Any) -> list[StreamEvent]:
    found: list[StreamEvent] = []
    async with asyncio.timeout(20), aclosing(client.events(**options)) as events:  # type: ignore[type-var]
        async for event in events:
            found.append(event)
            if len(found) == number:
                break
    return found


def documented() -> dict[str, set[str]]:
    """Return the kinds of events that the page names, each with its fields."""
    rows = re.findall(r"(?m)^\| `(\w+)` \| [^|]+ \| ([^|]*) ?\|$", PAGE)
    return {kind: set(re.findall(r"`(\w+)`", named)) for kind, named in rows}


def test_the_page_names_each_kind_of_event_and_each_field() -> None:
    assert list(documented()) == [kind.value for kind in EventType]
    assert re.findall(r"(?m)^\| `(\w+)` \| [^|]+ \|$", PAGE) == [field.name for field in fields(StreamEvent)]
    assert Event._fields[0] == "type"


async def test_each_event_has_the_fields_that_the_page_gives_it(server: RedisServer) -> None:
    everything = (fail, put_off, give_up, double, wait_long)
    async with serving(server.url, *everything) as works:
        client = works.client
        dead = await client.enqueue(fail)
        for handle in [await client.enqueue(give_up), await client.enqueue(doubled)]:
            await until(lambda of=handle: over(of), "it is over")
        await until(lambda: over(dead), "it is dead")
        await client.retry("default", dead.id)
        waiting = await client.enqueue(double.options(delay=60), 1)
        await client.enqueue(double.options(id=waiting.id, delay=5), 1)
        await waiting.cancel()
        running = await client.enqueue(wait_long)
        await until_job(running, lambda info: info.percent == 50, "it has said how far it is")
    async with serving(server.url, double) as works:
        found = [event async for event in kept(works.client)]
    assert {event.type for event in found} >= set(EventType) - {EventType.LOST}
    for event in found:
        filled = {one.name for one in fields(event) if getattr(event, one.name) not in (None, "", 0, False)}
        assert filled - ALWAYS <= documented()[event.type], event
    errors = [event.error for event in found if event.type is EventType.RETRIED]
    assert errors
    assert errors[0]
    assert (errors[0].type, errors[0].message[:200]) == ("ValueError", "é" * 200)
    assert {event.reason for event in found if event.type is EventType.ENQUEUED} >= {"", "replayed"}


async def over(handle: Any) -> bool:
    return (await handle.status()).state in ("completed", "dead", "cancelled")


async def kept(client: Client) -> Any:
    """Yield the events that are kept now."""
    last = await client.event_position()
    async for event in client.events(after="0"):
        yield event
        if event.position == last:
            return


async def test_a_reader_begins_now_and_goes_on_after_an_event(server: RedisServer) -> None:
    async with serving(server.url, double, WORKER_QUEUES="default") as works:
        client = works.client
        await (await client.enqueue(double, 1)).result(timeout=20)
        now = asyncio.create_task(first(client, 1))
        await asyncio.sleep(0.1)
        handle = await client.enqueue(double, 2)
        (event,) = await now
        assert (event.type, event.id, event.queue, event.task) == ("enqueued", handle.id, "default", "double")
        assert [one.type for one in await first(client, 2, after=event.position)] == ["started", "completed"]
        assert [one.type for one in await first(client, 1, after="0-0", types=["completed"])] == ["completed"]


async def test_what_was_trimmed_unread_is_told(server: RedisServer, redis: ArqRedis) -> None:
    client = Client(redis)
    for number in range(3):
        await client.enqueue(double, number)
    before = await client.event_position()
    for number in range(3):
        await client.enqueue(double, number)
    assert [one.gap for one in await first(client, 3, after=before)] == [False] * 3
    await redis.xtrim(events_key("rota"), maxlen=2, approximate=False)
    assert [one.gap for one in await first(client, 2, after=before)] == [True, False]
    assert [one.gap for one in await first(client, 2, after="0-0")] == [False, False]


async def test_a_reader_goes_on_after_an_outage(own_server: RedisServer) -> None:
    with connect_sync(load({"REDIS_URL": own_server.url})) as client:

        def read() -> list[str]:
            events = client.events(after="0")
            return [next(events).id for _ in range(2)]

        reading = asyncio.create_task(asyncio.to_thread(read))
        one = await asyncio.to_thread(client.enqueue, double, 1)
        await asyncio.sleep(0.1)
        own_server.stop()
        await asyncio.sleep(0.2)
        own_server.start()
        two = await asyncio.to_thread(client.enqueue, double, 2)
        assert await asyncio.wait_for(reading, 20) == [one.id, two.id]


async def test_the_rights_of_an_application_and_two_more_are_enough(own_server: RedisServer) -> None:
    (web,) = re.findall(r"(?m)^ {4}ACL SETUSER web on >… (.*)$", (DOCS / "redis.md").read_text("utf-8"))
    with own_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "web", "on", ">secret", *web.split(), "+xrange", "+xrevrange")
    url = own_server.url.replace("//", "//web:secret@")
    async with await connect(load({"REDIS_URL": url})) as client:
        position = await client.event_position()
        await client.enqueue(double, 1)
        assert [one.task for one in await first(client, 1, after=position)] == ["double"]


async def test_finished_jobs_are_listed_by_their_events_while_their_records_are_kept(
    server: RedisServer, redis: ArqRedis
) -> None:
    async with serving(server.url, double, give_up, EVENTS_MAXLEN="100000") as works:
        client = works.client
        handles = await client.enqueue_many(double.call(number) for number in range(300))
        for handle in handles:
            await handle.result(timeout=30)
        gone = await client.enqueue(give_up)
        await until(lambda: over(gone), "it has given up")
        newest = await client.jobs("default", "completed", limit=10)
        assert [one.state for one in newest] == ["completed"] * 10
        every = await client.jobs("default", "completed", limit=1000)
        assert newest == every[:10]
        assert {one.id for one in every} == {one.id for one in handles}
        assert await client.jobs("default", "completed", offset=290, limit=50) == every[290:]
        await redis.delete(RESULT + every[0].id)
        assert len(await client.jobs("default", "completed", limit=1000)) == 299
        assert [(one.id, one.reason) for one in await client.jobs("default", "cancelled")] == [
            (gone.id, "no")
        ]
        assert await client.jobs("other", "completed") == []


async def test_what_no_reader_knows_is_passed_over(redis: ArqRedis) -> None:
    key, due = events_key("rota"), {"due": 2.6e14, "percent": "half", "message": 1}
    await redis.xadd(key, {"type": "lost", "queue": "q", "id": "1", "task": "", "attempt": "0"})
    await redis.xadd(key, {"e": "[["})
    await redis.xadd(key, {"e": '[["reborn","q","1","",0],["lost","q","2","",0],["dead","q","1"]]'})
    await redis.xadd(key, {"e": json.dumps([["lost", "q", "3", "", 0, due]])})
    found = await first(Client(redis), 2, after="0")
    assert [(one.id, one.position.partition(".")[2]) for one in found] == [("2", "1"), ("3", "0")]
    assert (found[1].due, found[1].percent, found[1].message) == (None, None, "")


async def test_a_reader_goes_on_in_the_middle_of_an_entry_or_after_all_of_it(redis: ArqRedis) -> None:
    client = Client(redis)
    handles = await client.enqueue_many(double.call(number) for number in range(5))
    events = await first(client, 5, after="0")
    entry = events[0].position.partition(".")[0]
    assert [one.position for one in events] == [f"{entry}.{number}" for number in range(5)]
    assert await client.event_position() == f"{entry}.4"
    middle = await first(client, 3, after=events[1].position)
    assert [(one.id, one.gap) for one in middle] == [(one.id, False) for one in handles[2:]]
    last = await client.enqueue(double, 5)
    for position in (entry, f"{entry}.4"):
        (event,) = await first(client, 1, after=position)
        assert (event.id, event.gap) == (last.id, False)


async def test_many_events_are_many_entries_none_of_them_long(redis: ArqRedis) -> None:
    client = Client(redis)
    handles = await client.enqueue_many(double.call(number) for number in range(2000))
    entries = await redis.xrange(events_key("rota"))
    assert len(entries) < 200
    sizes = [len(fields[b"e"]) for _, fields in entries]
    assert max(sizes) < 3000
    # What they say alike is written once: an event is little more than its id.
    assert sum(sizes) / len(handles) < len(handles[0].id) + 25
    found = await first(client, 2000, after="0-0")
    assert [one.id for one in found] == [handle.id for handle in handles]


@pytest.mark.parametrize("wrong", ["$", "x", "1-2-3", "1.2", "1-2.x"])
def test_a_position_that_is_none_is_refused(wrong: str) -> None:
    with connect_sync() as client, pytest.raises(ValueError, match="position of an event"):
        client.events(after=wrong)
