"""Actions on many jobs against a real Redis: counted, carried out in portions, followed, aborted and recorded."""

from datetime import UTC, datetime, timedelta

import pytest
from arq.connections import ArqRedis

from rota import Client, State
from rota.client.bulk import operations, selecting
from rota.errors import InvalidFilter, MoreThanExpected, TooManyOperations, UnknownOperation
from rota.model.bulk.filters import BulkAction, Filter
from rota.model.bulk.operation import Operation
from rota.wire.leading import bulk
from rota.wire.leading.bulk import BulkKeys, Superseded
from tests.integration.bulk.operating import ANN, bury, leading, remind, runner, send
from tests.servers import RedisServer

RETRY, CANCEL, DELETE, RUN_NOW = BulkAction.RETRY, BulkAction.CANCEL, BulkAction.DELETE, BulkAction.RUN_NOW


@pytest.fixture
def client(redis: ArqRedis) -> Client:
    return Client(redis)


async def carried_out(client: Client, url: str, action: BulkAction, **conditions: object) -> Operation:
    """Ask for an action, let a leader do it, and return how it ended."""
    operation = await client.bulk.start(action, Filter.of(conditions), ANN)
    async with leading(url):
        return await client.bulk.follow(operation.id, lambda _: None, every=0.01)


async def test_dead_letters_that_match_are_counted_and_then_brought_back(
    client: Client, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selecting, "PORTION", 20)
    await bury(client, [f"mail:a{number}" for number in range(50)], error="the printer timed out")
    await bury(client, [f"mail:b{number}" for number in range(7)], error="no address")
    await bury(client, ["mail:c"], task="remind", error="timed out")
    wanted = Filter.of({"name": "mail:send", "error_contains": "TIMED out"})

    preview = await client.bulk.preview(RETRY, wanted)

    assert (preview.count, preview.is_whole) == (50, True)
    assert {(one.task, one.state) for one in preview.sample} == {("send", State.DEAD)}
    assert (await client.counts("mail"))[State.DEAD] == 58, "nothing was changed"

    operation = await client.bulk.start(RETRY, wanted, ANN, expect=50)
    assert (operation.state, operation.count) == ("waiting", 50)
    seen = []
    async with leading(server.url):
        over = await client.bulk.follow(operation.id, lambda one: seen.append(one.done), every=0)

    assert (over.state, over.done, over.skipped, over.failed) == ("done", 50, 0, 0)
    assert {0, 20, 40} & set(seen)
    assert seen == sorted(seen)
    assert await client.counts("mail") == {
        State.WAITING: 50,
        State.DELAYED: 0,
        State.ACTIVE: 0,
        State.DEAD: 8,
    }
    (action,) = await client.actions.page()
    assert (action.actor, action.action, action.count, action.outcome) == (ANN, "retry", 50, "done")
    assert action.target == {"name": "mail:send", "error_contains": "TIMED out"}
    assert [one.id for one in await client.bulk.all()] == [operation.id]
    assert 0 < await client.redis.pttl(f"rota:bulk:{operation.id}") <= bulk.KEPT_MS


async def test_nothing_is_done_where_more_jobs_are_there_than_were_seen(client: Client) -> None:
    await bury(client, ["mail:1", "mail:2", "mail:3"])

    with pytest.raises(MoreThanExpected) as raised:
        await client.bulk.start(RETRY, Filter.of({"queue": "mail"}), ANN, expect=2)

    assert (raised.value.count, raised.value.expected) == (3, 2)
    assert await client.bulk.all() == []


async def test_everything_there_is_needs_a_number(client: Client) -> None:
    with pytest.raises(InvalidFilter, match="everything"):
        await client.bulk.start(DELETE, Filter(), ANN)
    assert (await client.bulk.start(DELETE, Filter(), ANN, expect=0)).count == 0


async def test_dead_letters_are_deleted(client: Client, server: RedisServer) -> None:
    await bury(client, ["mail:1", "mail:2"])
    over = await carried_out(client, server.url, DELETE, queue="mail", reason="failed")
    assert (over.state, over.done) == ("done", 2)
    assert await client.redis.keys("arq:queue:mail:dead*") == []


async def test_delayed_jobs_are_run_now_and_live_ones_cancelled(client: Client, server: RedisServer) -> None:
    await client.enqueue_many(send.options(delay=3600).call(number) for number in range(3))
    await client.enqueue_many(remind.options(delay=3600).call(number) for number in range(2))
    await client.enqueue(send, 9)

    over = await carried_out(client, server.url, RUN_NOW, name="mail:send")
    assert (over.state, over.done, over.count) == ("done", 3, 3)
    counts = await client.counts("mail")
    assert (counts[State.WAITING], counts[State.DELAYED]) == (4, 2)

    over = await carried_out(client, server.url, CANCEL, queue="mail", state="waiting")
    assert (over.state, over.done, over.count) == ("done", 4, 4)
    assert (await client.counts("mail"))[State.DELAYED] == 2


async def test_jobs_that_are_named_are_changed_and_others_of_them_are_not_there(
    client: Client, server: RedisServer
) -> None:
    await bury(client, ["mail:1", "mail:2", "loose"])
    over = await carried_out(client, server.url, RETRY, queue="mail", ids=["1", "loose", "none"])
    assert (over.done, over.count) == (2, 2)
    assert [one.id for one in await client.jobs("mail", State.DEAD)] == ["mail:2"]


async def test_times_are_of_the_death_of_letters_and_of_the_enqueueing_of_others(client: Client) -> None:
    day = datetime(2026, 7, 1, tzinfo=UTC)
    for number in range(3):
        at = day + timedelta(days=number)
        await bury(client, [f"mail:{number}"], at=round(at.timestamp() * 1000))

    async def count(action: BulkAction, **fields: object) -> int:
        return (await client.bulk.preview(action, Filter.of({"queue": "mail", **fields}))).count

    one = day + timedelta(days=1)
    assert await count(RETRY, since=one.isoformat()) == 2
    assert await count(RETRY, until=one.isoformat()) == 1
    assert await count(RETRY, since=one.isoformat(), until=(one + timedelta(days=1)).isoformat()) == 1
    await client.enqueue(send)
    assert await count(CANCEL, since=one.isoformat()) == 1
    assert await count(CANCEL, until=one.isoformat()) == 0


async def test_what_cannot_be_brought_back_is_counted_and_named(client: Client, server: RedisServer) -> None:
    await bury(client, ["mail:1", "mail:2", "mail:3"])
    await client.enqueue(send.options(id="1"))
    await client.redis.hdel("arq:queue:mail:dead:mail:2", "payload")
    await client.redis.zadd("arq:queue:mail:dead", {"mail:4": 1})
    over = await carried_out(client, server.url, RETRY, queue="mail")
    assert (over.state, over.done, over.skipped, over.failed) == ("done", 1, 1, 2)
    assert [(one["id"], one["why"]) for one in over.refused] == [
        ("mail:1", "a live job has its id"),
        ("mail:2", "its payload is no longer kept"),
    ]


async def test_a_key_of_another_type_keeps_back_no_other_job(client: Client, server: RedisServer) -> None:
    await client.enqueue_many(send.options(delay=60, id=f"{number}").call() for number in range(3))
    await client.redis.set("arq:queue:mail:terms", "not a hash")
    over = await carried_out(client, server.url, RUN_NOW, queue="mail")
    assert (over.state, over.done, over.failed) == ("done", 0, 3)
    assert "WRONGTYPE" in over.refused[0]["why"]


async def test_an_operation_is_aborted_between_two_portions(
    client: Client, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selecting, "PORTION", 10)
    await bury(client, [f"mail:{number}" for number in range(40)])
    operation = await client.bulk.start(RETRY, Filter.of({"queue": "mail"}), ANN)

    class Ends:
        """A term in which the operation is aborted once its first portion is done."""

        asked = 0

        def check(self) -> None:
            Ends.asked += 1

    leader = runner(server.url, Ends())
    write = BulkKeys.change

    async def then_abort(*args: object, **kwargs: object) -> tuple[int, bool]:
        number, _ = await write(*args, **kwargs)  # type: ignore[arg-type]
        if number == 3:
            await client.bulk.abort(operation.id, ANN)
        return number, number > 3

    monkeypatch.setattr(BulkKeys, "change", then_abort)
    await leader.turn(client.redis)

    over = await client.bulk.look(operation.id)
    assert (over.state, over.done, over.is_aborting) == ("aborted", 10, True)
    assert (await client.counts("mail"))[State.DEAD] == 30
    assert (await client.actions.page())[0].outcome == "aborted"
    assert (await client.bulk.abort(operation.id, ANN)).state == "aborted"


async def test_a_second_leader_goes_on_where_the_first_was_killed_and_nothing_counts_twice(
    client: Client, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selecting, "PORTION", 10)
    await bury(client, [f"mail:{number:02}" for number in range(40)])
    operation = await client.bulk.start(RETRY, Filter.of({"queue": "mail"}), ANN)

    class Killed(Exception):
        """The end of the first leader, amid its second portion."""

    change = BulkKeys.change

    async def killed(*args: object, **kwargs: object) -> tuple[int, bool]:
        if args[3] == 4:
            raise Killed  # the second portion was done, and is not counted
        return await change(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(BulkKeys, "change", killed)
    with pytest.raises(Killed):
        await runner(server.url).turn(client.redis)
    assert ((await client.bulk.look(operation.id)).done, (await client.counts("mail"))[State.WAITING]) == (
        10,
        20,
    )

    monkeypatch.setattr(BulkKeys, "change", change)
    await runner(server.url).turn(client.redis)
    over = await client.bulk.look(operation.id)
    assert (over.state, over.done, over.skipped) == ("done", 40, 0)
    assert (await client.counts("mail"))[State.WAITING] == 40
    with pytest.raises(Superseded):
        # The first one stood still, and wakes up.
        await BulkKeys("rota").change(client.redis, operation.id, 4, {"state": "running"}, {"done": 10})
    assert [one.count for one in await client.actions.page()] == [40]


async def test_what_died_after_the_operation_began_is_not_part_of_it(
    client: Client, server: RedisServer
) -> None:
    await bury(client, ["mail:1"])
    operation = await client.bulk.start(RETRY, Filter.of({"queue": "mail"}), ANN)
    assert operation.created_at is not None
    await bury(client, ["mail:2"], at=round(operation.created_at.timestamp() * 1000) + 1)
    async with leading(server.url):
        over = await client.bulk.follow(operation.id, lambda _: None, every=0.01)
    assert over.done == 1


async def test_many_that_died_at_one_moment_are_gone_through_portion_by_portion(
    client: Client, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selecting, "PORTION", 10)
    await bury(client, [f"mail:{number:03}" for number in range(150)])
    # None of the others is chosen, so they stay in the way.
    await bury(client, [f"mail:z{number:03}" for number in range(25)], error="of its own")
    over = await carried_out(client, server.url, RETRY, queue="mail", error_contains="of its own")
    assert (over.state, over.done) == ("done", 25)


async def test_an_operation_of_another_version_is_ended(client: Client, server: RedisServer) -> None:
    for fields in ({"action": "praise"}, {"filter": '{"colour": "red"}'}, {"state": "odd"}):
        operation = await client.bulk.start(RETRY, Filter.of({"queue": "mail"}), ANN)
        await client.redis.hset(f"rota:bulk:{operation.id}", mapping=fields)
        await runner(server.url).turn(client.redis)
        assert await client.redis.zcard("rota:bulk:open") == 0
        if "state" not in fields:
            over = await client.bulk.look(operation.id)
            assert (over.state, "this version of rota" in over.error) == ("failed", True)


async def test_operations_are_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MOST_OPEN", 2)
    monkeypatch.setattr(bulk, "MOST", 2)
    wanted = Filter.of({"queue": "mail"})
    first, second = [await client.bulk.start(RETRY, wanted, ANN) for _ in range(2)]
    with pytest.raises(TooManyOperations):
        await client.bulk.start(RETRY, wanted, ANN)
    await BulkKeys("rota").change(client.redis, first.id, 0, {"state": "done"}, over={"action": "retry"})
    third = await client.bulk.start(RETRY, wanted, ANN)
    assert [one.id for one in await client.bulk.all()] == [third.id, second.id]
    with pytest.raises(UnknownOperation):
        await client.bulk.look(first.id)
    with pytest.raises(UnknownOperation):
        await client.bulk.look("open")


async def test_counting_ends_after_its_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "COUNTED", 2)
    monkeypatch.setattr(operations, "PATIENCE", 0.0)
    await bury(client, ["mail:1", "mail:2", "mail:3", "mail:4"])
    preview = await client.bulk.preview(RETRY, Filter.of({"queue": "mail", "reason": "failed"}))
    assert (preview.is_whole, preview.count >= 2) == (False, True)
