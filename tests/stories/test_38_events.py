"""Events: whatever happens to a job, on any worker, is told in a stream in Redis, which any number of programs read."""

from rota import Client, EventType, Run, job
from rota.model.event import StreamEvent


@job(max_attempts=1)
async def pack(run: Run, parcel: str) -> str:
    if parcel == "broken":
        raise ValueError("it is broken")
    return parcel


async def read(client: Client, upto: EventType, **options: object) -> list[StreamEvent]:
    """Return the events up to the first of this type, that included."""
    found = []
    async for event in client.events(**options):  # type: ignore[arg-type]
        found.append(event)
        if event.type is upto:
            break
    return found


async def test_a_reader_sees_the_life_of_a_job(client: Client) -> None:
    # The place before the enqueue, so that nothing of the job is missed.
    before = await client.event_position()
    handle = await client.enqueue(pack, "books")
    enqueued, started, completed = await read(client, EventType.COMPLETED, after=before)
    assert [enqueued.type, started.type, completed.type] == ["enqueued", "started", "completed"]
    assert {one.id for one in (enqueued, started, completed)} == {handle.id}
    assert started.worker
    assert enqueued.at <= started.at <= completed.at


async def test_a_reader_that_starts_again_goes_on_where_it_was(client: Client) -> None:
    before = await client.event_position()
    await client.enqueue(pack, "books")
    seen = await read(client, EventType.STARTED, after=before)
    # Keep `position` where you keep your own progress.
    (rest,) = await read(client, EventType.COMPLETED, after=seen[-1].position)
    assert not rest.gap


async def test_a_reader_may_want_deaths_alone(client: Client) -> None:
    before = await client.event_position()
    await client.enqueue_many([pack.call("books"), pack.call("broken")])
    (death,) = await read(client, EventType.DEAD, after=before, types=[EventType.DEAD])
    assert (death.task, death.reason, death.error and death.error.message) == (
        "pack",
        "failed",
        "it is broken",
    )


async def test_a_reader_that_falls_too_far_behind_is_told_of_the_gap(client: Client) -> None:
    await client.enqueue(pack, "books")
    (seen, *_) = await read(client, EventType.COMPLETED, after="0-0")
    # The oldest events are dropped when there are more than EVENTS_MAXLEN entries; here, by hand.
    await client.redis.xtrim("rota:events", maxlen=0)
    await client.enqueue(pack, "more books")
    found = await read(client, EventType.COMPLETED, after=seen.position)
    assert [one.gap for one in found] == [True, False, False]
