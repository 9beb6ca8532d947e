"""The stream of records: all that the audit table has of a job, and nothing where nobody records."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from rota import Client, each, pipeline
from rota.settings.settings import Settings
from rota.testing import Bench
from rota.testing.clock import BenchClock
from rota.testing.server import clients
from rota.wire.events import Record, read_records
from rota.wire.keys import ABORT, recording_key, records_key
from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, again, bury, finish, interrupted, payload
from tests.unit.wire.lua.faults import Faults
from tests.unit.wire.lua.test_faults import EVERY, Run, over
from tests.unit.wire.lua.test_flows import note, numbers, work

RECORDS, RECORDING = records_key("rota"), recording_key("rota")
LONG = b'"' + b"x" * 10_000 + b'"'


def record(looking: Any, level: int = 0, most: int = 1000) -> None:
    looking.set(RECORDING, f"{level} {most}", ex=86_400)


def records(looking: Any, job_id: str | None = None) -> list[Record]:
    found = [one for entry, fields in looking.xrange(RECORDS) for one in read_records(entry, fields)]
    return [one for one in found if job_id in (None, one.id)]


@pytest.fixture
def recorded(bed: Bed) -> Bed:
    record(bed.looking)
    return bed


async def test_without_the_key_nothing_is_recorded(bed: Bed) -> None:
    await bed.enqueue("a")
    worker = bed.worker("w")
    await worker.settle(finish(await worker.claim_one()))
    assert not {RECORDS, RECORDING} & bed.all_keys()


@pytest.mark.parametrize("value", ["", "0", "3 100", "0 x", "0 -1"])
async def test_a_value_that_cannot_be_read_records_nothing(bed: Bed, value: str) -> None:
    bed.looking.set(RECORDING, value)
    await bed.enqueue("a")
    bed.looking.delete(RECORDING)
    bed.looking.hset(RECORDING, "of another", "type")
    await bed.enqueue("b")
    assert RECORDS not in bed.all_keys()
    assert bed.story("a") == bed.story("b") == ["enqueued"]


async def test_what_is_enqueued_has_its_payload(recorded: Bed) -> None:
    await recorded.enqueue("a", "b", payload=b'{"a":"\xff"}')
    await recorded.enqueue("c", payload=b"first", terms="p=5 w=rota:flow:f|0|1", delay=60)
    await recorded.enqueue("c", payload=b"second", terms="p=6", delay=60, taken="replace")
    await recorded.enqueue("c", payload=b"third", delay=60, taken="debounce")
    a, b, *others = records(recorded.looking)
    assert (a.type, a.id, a.queue, a.task, a.payload) == ("enqueued", "a", "q", "work", b'{"a":"\xff"}')
    assert (b.id, b.payload) == ("b", b'{"a":"\xff"}')
    assert [(one.payload, one.extras.get("reason"), one.extras.get("flow")) for one in others] == [
        (b"first", None, "rota:flow:f|0|1"),
        (b"second", "replaced", None),
        (b"third", "replaced", None),
    ]
    assert all(one.extras["due"] > 0 for one in (a, b, *others))


async def test_a_stock_client_s_job_has_its_payload_once_it_starts(recorded: Bed) -> None:
    recorded.put("ours")
    recorded.put("stock", stock=True)
    worker = recorded.worker("w")
    await worker.claim(2)
    ours, stock = records(recorded.looking)
    assert (ours.type, ours.attempt, ours.payload, ours.extras["worker"]) == ("started", 1, None, "w")
    assert (stock.type, stock.task, stock.payload) == ("started", "work", payload(stock=True))


async def test_what_a_worker_tells_has_the_version_of_its_code_once_an_entry(recorded: Bed) -> None:
    await recorded.enqueue("a", "b")
    worker = recorded.worker("w", version="1.4.2")
    a, b = await worker.claim(2)
    await worker.settle(finish(a), bury(b))
    found = [(one.type, one.version) for one in records(recorded.looking, "b")]
    assert found == [("enqueued", ""), ("started", "1.4.2"), ("dead", "1.4.2")]
    written = [fields for _, fields in recorded.looking.xrange(RECORDS)]
    assert [fields.get(b"v") for fields in written] == [None, b"1.4.2", b"1.4.2"]
    assert all(b"1.4.2" not in fields[b"e"] for _, fields in recorded.looking.xrange("rota:events"))
    assert recorded.looking.hget(f"{KEYS.dead}:b", "version") == b"1.4.2"


async def test_a_worker_that_does_not_know_its_version_says_none(recorded: Bed) -> None:
    recorded.put("a")
    worker = recorded.worker("w")
    await worker.settle(bury(await worker.claim_one()))
    assert all(b"v" not in fields for _, fields in recorded.looking.xrange(RECORDS))
    assert not recorded.looking.hexists(f"{KEYS.dead}:a", "version")


async def test_an_attempt_s_end_has_the_whole_result_or_error(recorded: Bed) -> None:
    recorded.put("done", "dead", "retried", "snoozed", "shut")
    worker = recorded.worker("w")
    done, dead, retried, snoozed, shut = await worker.claim(5)
    await worker.settle(
        finish(done, detail=LONG),
        bury(dead, detail=LONG),
        again(retried, 60, detail=LONG),
        again(snoozed, 60, event="snoozed"),
        interrupted(shut),
    )
    ends = {one.id: one for one in records(recorded.looking) if one.type != "started"}
    assert {one.id: (one.type, one.attempt, one.detail) for one in ends.values()} == {
        "done": ("completed", 1, LONG),
        "dead": ("dead", 1, LONG),
        "retried": ("retried", 1, LONG),
        "snoozed": ("snoozed", 1, None),
        "shut": ("interrupted", 1, None),
    }
    assert all("detail" not in one.extras for one in ends.values())
    assert ends["dead"].extras["reason"] == "failed"
    assert all(ends[job_id].extras["due"] > 0 for job_id in ("retried", "snoozed", "shut"))


async def test_the_loss_of_a_job_is_recorded(clocked: Bed) -> None:
    record(clocked.looking)
    clocked.put("a")
    await clocked.worker("w").claim_one()
    await clocked.pass_time(LEASE + 1)
    await clocked.worker("v").claim_one()
    assert [one.type for one in records(clocked.looking)] == ["started", "lost", "started"]


async def test_a_cancel_is_recorded_of_a_job_that_waits_and_of_one_that_runs(recorded: Bed) -> None:
    await recorded.enqueue("waits", "runs")
    recorded.looking.zadd(KEYS.queue, {"runs": 1})
    worker = recorded.worker("w")
    claim = await worker.claim_one()
    assert await recorded.cancel("waits") == "cancelled"
    assert await recorded.cancel("runs") == "requested"
    assert recorded.looking.zscore(ABORT, "runs")
    await worker.settle(finish(claim, event="cancelled", detail=LONG, reason="no"))
    ends = [one for one in records(recorded.looking) if one.type == "cancelled"]
    assert [(one.id, one.detail, one.extras["reason"]) for one in ends] == [
        ("waits", b'"why"', "cancelled"),
        ("runs", LONG, "no"),
    ]


async def test_what_is_replayed_or_rescheduled_is_recorded(recorded: Bed) -> None:
    await recorded.enqueue("a", payload=payload())
    worker = recorded.worker("w")
    await worker.settle(bury(await worker.claim_one()))
    assert await recorded.replay("a") == ["replayed"]
    client = Client(recorded.redis, Settings(default_queue="q"))
    assert await client.reschedule("q", "a", delay=60) == "rescheduled"
    replayed, rescheduled = records(recorded.looking)[-2:]
    assert (replayed.extras["reason"], replayed.payload) == ("replayed", payload())
    assert (rescheduled.extras["reason"], rescheduled.payload) == ("rescheduled", None)


async def test_each_job_of_a_flow_names_its_place() -> None:
    with Bench([numbers, work, note]) as bench:
        record(bench._looking)
        handle = await bench.client.enqueue(pipeline(numbers, each(work)), 2)
        await bench.drain()
        put = [one for one in records(bench._looking) if one.type == "enqueued" and one.queue]
    flow = f"rota:flow:{handle.id}"
    assert [(one.task, one.extras.get("flow")) for one in put] == [
        ("numbers", f"{flow}|0|0"),
        ("_each", f"{flow}|1|each"),
        ("work", f"{flow}|1|0"),
        ("work", f"{flow}|1|1"),
    ]
    assert all(one.payload for one in put)


@pytest.mark.parametrize(
    ("level", "kinds", "has_payload"),
    [(1, ["enqueued", "started"], True), (2, ["enqueued", "started"], False)],
)
async def test_a_level_leaves_progress_out_and_then_payloads(
    bed: Bed, level: int, kinds: list[str], has_payload: bool
) -> None:
    record(bed.looking, level)
    await bed.enqueue("a", payload=b"p")
    worker = bed.worker("w")
    claim = await worker.claim_one()
    assert await worker.scripts.report(bed.redis, [(claim, "work", 50.0, "half")]) == 1
    found = records(bed.looking)
    assert [one.type for one in found] == kinds
    assert (found[0].payload is not None) is has_payload
    record(bed.looking)
    await worker.scripts.report(bed.redis, [(claim, "work", 60.0, "")])
    assert (records(bed.looking)[-1].type, records(bed.looking)[-1].extras) == ("progress", {"percent": 60})
    await worker.settle(finish(claim, detail=b"1"))
    assert records(bed.looking)[-1].detail == b"1"


async def test_an_entry_is_no_longer_than_its_bounds_and_the_stream_no_longer_than_its_own(real: Bed) -> None:
    record(real.looking, most=100)
    await real.enqueue(*map(str, range(100)))
    await real.enqueue(*(f"large{number}" for number in range(4)), payload=b"x" * 200_000)
    counts = [len(read_records(entry, fields)) for entry, fields in real.looking.xrange(RECORDS)]
    assert counts == [64, 36, 2, 2]
    assert len(json.loads(real.looking.xrange(RECORDS)[0][1][b"e"])) == 64
    for number in range(500):
        await real.enqueue(f"more{number}")
    assert 100 <= real.looking.xlen(RECORDS) < 300


async def test_whichever_command_of_a_step_fails_each_end_is_recorded(
    monkeypatch: pytest.MonkeyPatch, scripts_end: None
) -> None:
    faults = Faults(monkeypatch, never=[b"XADD"])
    at, has_failed = 1, True
    while has_failed:
        clock = BenchClock(datetime(2026, 1, 1, tzinfo=UTC))
        redis, looking = clients()
        with clock.opened():
            record(looking)
            faults.arm(0)
            await over(Run(Bed(redis, looking, clock), faults, at))
            ends = {one.id: one.type for one in records(looking) if one.detail is not None}
        has_failed = faults.failed is not None
        expected = {"full": "completed", "plain": "completed", "cron": "completed", "dead": "dead"}
        assert ends == expected, f"{at}: {faults.failed}"
        at += EVERY
