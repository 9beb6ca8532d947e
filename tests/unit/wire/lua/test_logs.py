"""Logs of jobs in the scripts: they live as long as what is kept of the job, and no end is refused for them."""

from collections.abc import Callable

import pytest

from rota.wire.claims import Claim, Settlement
from rota.wire.events import Record, read_records
from rota.wire.log.pieces import NOTHING_NEW, Piece, content, received, sent
from tests.unit.wire.lua.beds import LEASE, Bed, Worker, again, bury, finish, interrupted, with_retention
from tests.unit.wire.lua.test_records import RECORDS, record

KEY = b"arq:log:a"
HOUR, WEEK, MONTH = 3_600_000, 7 * 86_400_000, 30 * 86_400_000


def piece(last: int = 1, *, started: int = 10, enqueued: int = 5, size: int = 30) -> tuple[bytes, bytes]:
    """Return the name and the content of a piece."""
    return Piece(enqueued, started, 1, last, size).wire(), content([b'[1,"info","line %d"]' % last])


def logged(settlement: Settlement, *pieces: tuple[bytes, bytes]) -> Settlement:
    return settlement._replace(log=sent(pieces) or NOTHING_NEW)


async def flush(worker: Worker, claim: Claim, *pieces: tuple[bytes, bytes]) -> bool:
    """Write what a running job has logged, as the pulse does; tell whether it was written."""
    (answer,) = await worker.scripts.keep_logs(worker.bed.redis, [(claim, sent(pieces))])
    return answer


def kept(bed: Bed) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = bed.looking.hgetall(KEY)
    return found


def about(bed: Bed, life: int) -> bool:
    """Tell whether the log lives for about so long, ms."""
    return bool(life - 60_000 <= bed.looking.pttl(KEY) <= life)


class TestWhileTheJobRuns:
    async def test_new_pieces_are_added_and_old_ones_go(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        first, second, third = piece(1), piece(2), piece(3)
        assert await flush(worker, claim, first, second)
        assert await flush(worker, claim, third, (second[0], b""))
        assert kept(bed) == dict([first, third])
        assert about(bed, WEEK)

    async def test_what_is_sent_twice_is_there_once(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        assert await flush(worker, claim, piece())
        assert await flush(worker, claim, piece())
        assert kept(bed) == dict([piece()])

    async def test_a_claim_that_was_lost_or_settled_writes_nothing(self, clocked: Bed) -> None:
        worker, (claim,) = await clocked.claimed("a")
        await clocked.pass_time(LEASE + 1)
        newer = await clocked.worker("v").claim_one()
        assert not await flush(worker, claim, piece())
        await clocked.worker("v").settle(finish(newer))
        assert not await flush(worker, newer, piece())
        assert kept(clocked) == {}

    async def test_a_full_redis_takes_none_and_says_so(self, real: Bed) -> None:
        worker, (claim,) = await real.claimed("a")
        with real.full():
            assert not await flush(worker, claim, piece())
        assert await flush(worker, claim, piece())


class TestWithTheEnd:
    @pytest.mark.parametrize(
        ("settle", "life"),
        [(finish, HOUR), (bury, MONTH), (lambda claim: again(claim, 0), WEEK), (interrupted, WEEK)],
        ids=["completed", "dead", "retried", "interrupted"],
    )
    async def test_a_log_lives_as_long_as_what_is_kept_of_the_job(
        self, bed: Bed, settle: Callable[[Claim], Settlement], life: int
    ) -> None:
        worker, (claim,) = await bed.claimed("a")
        await with_retention(worker, MONTH / 1000).settle(logged(settle(claim), piece()))
        assert kept(bed) == dict([piece()])
        assert about(bed, life)

    async def test_the_log_of_earlier_attempts_lives_as_long_where_the_last_one_logs_nothing(
        self, bed: Bed
    ) -> None:
        worker, (claim,) = await bed.claimed("a")
        await flush(worker, claim, piece())
        await worker.settle(logged(finish(claim)))
        assert kept(bed) == dict([piece()])
        assert about(bed, HOUR)

    async def test_a_record_that_is_kept_for_ever_has_its_log_for_ever(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        await flush(worker, claim, piece())
        await worker.settle(logged(finish(claim, record_ms=0)))
        assert bed.looking.pttl(KEY) == -1

    async def test_without_a_record_no_log_is_kept(self, real: Bed) -> None:
        worker, (claim,) = await real.claimed("a")
        await worker.settle(logged(finish(claim, record=b""), piece()))
        assert real.looking.pttl(KEY) <= 1

    async def test_one_that_does_not_count_brings_nothing(self, clocked: Bed) -> None:
        worker, (claim,) = await clocked.claimed("a")
        await clocked.pass_time(LEASE + 1)
        await clocked.worker("v").claim_one()
        assert await worker.settle(logged(finish(claim), piece())) == [False]
        assert kept(clocked) == {}

    async def test_a_step_that_is_sent_again_keeps_it_once(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        settlement = logged(finish(claim), piece())
        await worker.settle(settlement)
        await worker.step(0, [settlement], seq=worker.last, resend=True)
        assert kept(bed) == dict([piece()])

    async def test_a_bare_worker_keeps_none(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a", service=False)
        assert await worker.settle(logged(finish(claim), piece())) == [True]
        assert kept(bed) == {}

    async def test_of_a_full_redis_the_job_ends_without_its_log(self, real: Bed) -> None:
        real.put("a", "b", "c")
        worker = real.worker("w")
        one, other, third = await worker.claim(3)
        await flush(worker, third, piece())
        with real.full():
            ends = [
                logged(finish(one), piece()),
                logged(again(other, 0), piece()),
                logged(finish(third), piece(2)),
            ]
            assert await worker.settle(*ends) == [True, True, True]
            assert real.result("a") is not None
            assert real.story("c")[-1] == "completed"
        assert real.looking.exists(b"arq:log:a", b"arq:log:b") == 0
        assert real.looking.hkeys(b"arq:log:c") == [piece()[0]], "what was written before stays"
        assert real.looking.pttl(b"arq:log:c") <= HOUR

    async def test_more_pieces_than_a_call_takes_stop_nothing(self, real: Bed) -> None:
        worker, (claim,) = await real.claimed("a")
        many = [piece(last) for last in range(1, 9001)]
        real.looking.hset(KEY, mapping=dict(many) | {f"another program's {n}": "" for n in range(9000)})
        gone = [(name, b"") for name, _ in many[1:]]
        assert await flush(worker, claim, *gone)
        assert await worker.settle(logged(finish(claim), *gone)) == [True]
        assert kept(real) == dict(many[:1])

    async def test_a_key_of_another_type_stops_nothing(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        bed.looking.set(KEY, "another program's")
        assert not await flush(worker, claim, piece())
        assert await worker.settle(logged(finish(claim), piece())) == [True]
        assert bed.story("a")[-1] == "completed"


class TestBounds:
    async def test_of_all_attempts_together_the_oldest_pieces_go(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        old = [piece(last, started=10, size=60_000) for last in (9, 100)]
        new = [piece(last, started=11, size=60_000) for last in (1, 2, 3)]
        await flush(worker, claim, *old)
        await worker.settle(logged(finish(claim), *new))
        assert kept(bed) == dict([old[1], *new])

    async def test_the_log_of_a_former_job_of_the_same_id_goes(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        bed.looking.hset(KEY, *piece(enqueued=4, started=9))
        bed.looking.hset(KEY, "no name", "of a piece")
        await worker.settle(logged(finish(claim), piece()))
        assert kept(bed) == dict([piece()])


class TestRecords:
    async def test_an_end_is_recorded_with_the_whole_log_so_far(self, bed: Bed) -> None:
        record(bed.looking)
        worker, (claim,) = await bed.claimed("a")
        await flush(worker, claim, piece(1))
        await worker.settle(logged(again(claim, 0), piece(2)))
        (claim,) = await worker.claim()
        await worker.settle(logged(finish(claim), piece(1, started=11)))
        ends = {one.type: one.log for one in self.records(bed) if one.type in ("retried", "completed")}
        assert dict(received(ends["retried"] or b"")) == dict([piece(1), piece(2)])
        assert dict(received(ends["completed"] or b"")) == dict([piece(1), piece(2), piece(1, started=11)])

    async def test_one_whose_log_is_not_kept_is_recorded_with_it(self, real: Bed) -> None:
        record(real.looking)
        worker, (claim,) = await real.claimed("a")
        await worker.settle(logged(finish(claim, record=b""), piece()))
        assert [one.log for one in self.records(real) if one.type == "completed"] == [b"\n".join(piece())]

    async def test_near_the_bound_of_the_records_it_is_left_out(self, bed: Bed) -> None:
        record(bed.looking, level=2)
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(logged(finish(claim), piece()))
        assert [one.log for one in self.records(bed)] == [None, None]

    async def test_events_have_nothing_of_it(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(logged(finish(claim), piece()))
        assert "line 1" not in str(bed.looking.xrange("rota:events"))

    def records(self, bed: Bed) -> list[Record]:
        return [one for entry, fields in bed.looking.xrange(RECORDS) for one in read_records(entry, fields)]
