"""The script that sends rows of an outbox: each row is put once, and only by who knows this Redis and may."""

from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from rota.wire.envelopes import encode_job
from rota.wire.leading.outbox import NotRecorded, OutboxKeys, Reborn, Sending, Superseded, made_at
from tests.unit.wire.lua.beds import Bed, bury, finish

KEYS = OutboxKeys("rota", 1000)
PAYLOAD = encode_job("work", b"{}", enqueued_ms=1_767_225_600_000)


def row(job_id: str, sends: int = 0, **changes: Any) -> Sending:
    made = made_at(PAYLOAD) if sends else ""
    fields = {"name": "work", "payload": PAYLOAD, "terms": "", "unique": "", "on_taken": "refuse"} | changes
    return Sending(mark=f"{job_id}:{sends}", id=job_id, made=made, **fields)


async def send(bed: Bed, *rows: Sending, epoch: int = 1) -> list[tuple[str, str]]:
    bed.looking.set("rota:recording", "0 1000")
    birth = await KEYS.birth(bed.redis)
    return [sent[:2] for sent in await KEYS.send(bed.redis, "q", rows, birth=birth, epoch=epoch)]


async def test_a_row_that_was_sent_gets_the_same_answer_and_is_not_put_again(bed: Bed) -> None:
    assert await send(bed, row("a"), row("b")) == [("put", "a"), ("put", "b")]
    worker = bed.worker("w")
    await worker.settle(*(finish(claim) for claim in await worker.claim(2)))
    assert await send(bed, row("a"), row("b"), row("c")) == [("put", "a"), ("put", "b"), ("put", "c")]
    assert [claim.id for claim in await worker.claim(3)] == ["c"]
    assert sorted(await KEYS.marks(bed.redis)) == ["a:0", "b:0", "c:0"]
    await KEYS.forget(bed.redis, ["a:0", "b:0", "c:0"])
    assert not bed.looking.exists("rota:outbox:sent")


async def test_the_time_of_the_first_answer_is_kept(clocked: Bed) -> None:
    clocked.looking.set("rota:recording", "0 1000")
    birth, first = await KEYS.birth(clocked.redis), clocked.now
    for _ in range(2):
        (sent,) = await KEYS.send(clocked.redis, "q", [row("a")], birth=birth, epoch=1)
        assert sent.at_ms == first
        clocked.advance(5)


@pytest.mark.parametrize("end", [finish, bury])
async def test_what_is_sent_again_is_not_put_where_its_own_end_is_kept(bed: Bed, end: Any) -> None:
    await send(bed, row("a"))
    worker = bed.worker("w")
    await worker.settle(end(await worker.claim_one()))
    # A job of a test leaves a record that says nothing of its job.
    if end is finish:
        bed.looking.set("arq:result:a", b'{"t":1,"et":1767225600000,"s":true}')
    assert await send(bed, row("a", 1)) == [("over", "a")]
    assert await worker.claim(1) == []


async def test_it_is_put_where_another_job_s_end_is_kept_under_its_id(bed: Bed) -> None:
    bed.looking.set("arq:result:a", b'{"t":1,"et":1600000000000,"s":true}')
    assert await send(bed, row("a", 1)) == [("put", "a")]
    assert not bed.looking.exists("arq:result:a")


async def test_a_live_job_keeps_its_id_and_its_unique_key(bed: Bed) -> None:
    terms: dict[str, Any] = {"terms": "u=rota:u:k|f", "unique": "rota:u:k 0"}
    assert await send(bed, row("a", **terms)) == [("put", "a")]
    assert await send(bed, row("a", 1)) == [("taken", "a")]
    assert await send(bed, row("b", **terms)) == [("taken", "a")]
    assert await send(bed, row("c", on_taken="replace", **terms)) == [("replaced", "a")]
    assert await send(bed, row("c", on_taken="replace", **terms)) == [("replaced", "a")]


async def test_nothing_is_put_into_a_redis_that_is_another_one(bed: Bed) -> None:
    bed.looking.set("rota:recording", "0 1000")
    birth = await KEYS.birth(bed.redis)
    assert birth == await KEYS.birth(bed.redis)
    bed.looking.delete("rota:outbox:birth")
    with pytest.raises(Reborn):
        await KEYS.send(bed.redis, "q", [row("a")], birth=birth, epoch=1)
    assert birth != await KEYS.birth(bed.redis)
    with pytest.raises(Reborn):
        await KEYS.send(bed.redis, "q", [row("a")], birth=birth, epoch=1)
    assert await bed.worker("w").claim(1) == []


async def test_nothing_is_put_while_nobody_records_or_by_a_leader_that_was_followed(bed: Bed) -> None:
    with pytest.raises(NotRecorded):
        await KEYS.send(bed.redis, "q", [row("a")], birth=await KEYS.birth(bed.redis), epoch=1)
    bed.looking.set("rota:leader:epoch", 7)
    with pytest.raises(Superseded):
        await send(bed, row("a"), epoch=6)
    assert await bed.worker("w").claim(1) == []
    assert await send(bed, row("a"), epoch=7) == [("put", "a")]


async def test_a_full_redis_refuses_all(real: Bed) -> None:
    real.looking.set("rota:recording", "0 1000")
    birth = await KEYS.birth(real.redis)
    with real.full(), pytest.raises(OutOfMemoryError):
        await KEYS.send(real.redis, "q", [row("a")], birth=birth, epoch=1)
    assert not real.looking.exists("arq:job:a", "rota:outbox:sent")


async def test_a_key_of_another_type_in_the_place_of_the_marks_puts_nothing(bed: Bed) -> None:
    bed.looking.set("rota:outbox:sent", "by hand")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await send(bed, row("a"))
    assert not bed.looking.exists("arq:job:a")
