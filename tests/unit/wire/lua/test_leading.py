"""The leader's place: one worker has it, for a lease, in a term whose epoch is greater than all before."""

from typing import Any

import pytest
from redis.exceptions import ResponseError

from rota.wire.leader import Leader, Place, leader_of
from tests.unit.wire.lua.beds import Bed

LEASE = 10.0
KEY, EPOCH, VACANT = "rota:leader", "rota:leader:epoch", "rota:leader:vacant"


def place(worker: str = "w", lease: float = LEASE) -> Place:
    return Place("rota", worker, lease)


async def epoch_of(bed: Bed, worker: str = "w", lease: float = LEASE) -> int:
    """Take the place, which must be free, and return the epoch of the term."""
    epoch, left = await place(worker, lease).take(bed.redis)
    assert (epoch > 0, left) == (True, 0.0)
    return epoch


class TestTaking:
    async def test_a_vacant_place_is_taken_for_a_lease(self, bed: Bed) -> None:
        before = bed.now
        epoch = await epoch_of(bed)
        assert before <= epoch <= bed.now
        assert await leader_of(bed.redis, "rota") == Leader("w", epoch)
        assert LEASE - 1 < bed.looking.pttl(KEY) / 1000 <= LEASE

    async def test_a_place_that_is_held_is_not_taken_before_its_lease_ends(self, clocked: Bed) -> None:
        first = await epoch_of(clocked)
        clocked.advance(LEASE - 3)
        assert await place("v").take(clocked.redis) == (0, 3.0)
        assert await place("v").left(clocked.redis) == 3.0
        clocked.advance(3.001)
        assert await place("v").left(clocked.redis) == 0.0
        assert await epoch_of(clocked, "v") > first

    async def test_the_same_worker_begins_a_new_term(self, clocked: Bed) -> None:
        first = await epoch_of(clocked)
        assert await epoch_of(clocked) == first + 1

    async def test_another_deployment_on_the_server_has_its_own_leader(self, bed: Bed) -> None:
        await epoch_of(bed)
        assert (await Place("team", "v", LEASE).take(bed.redis))[0] > 0

    async def test_a_full_redis_has_a_leader_still(self, real: Bed) -> None:
        with real.full():
            epoch = await epoch_of(real)
            assert await place().renew(real.redis, epoch)
            await place().give_back(real.redis)
            assert await epoch_of(real, "v") > epoch


class TestEpochs:
    async def test_it_grows_although_the_clock_was_set_back(self, clocked: Bed) -> None:
        first = await epoch_of(clocked)
        await place().give_back(clocked.redis)
        clocked.set_back(3600)
        assert await epoch_of(clocked, "v") == first + 1

    async def test_it_grows_although_all_keys_were_deleted(self, clocked: Bed) -> None:
        first = await epoch_of(clocked)
        clocked.looking.flushall()
        clocked.advance(0.001)
        assert await epoch_of(clocked, "v") > first

    async def test_the_last_one_is_remembered_for_ever(self, bed: Bed) -> None:
        epoch = await epoch_of(bed)
        assert (int(bed.looking.get(EPOCH)), bed.looking.ttl(EPOCH)) == (epoch, -1)


class TestRenewing:
    async def test_a_lease_that_is_renewed_goes_on(self, clocked: Bed) -> None:
        epoch = await epoch_of(clocked)
        for _ in range(3):
            clocked.advance(LEASE - 1)
            assert await place().renew(clocked.redis, epoch)
        assert (await place("v").take(clocked.redis))[0] == 0

    async def test_a_place_that_is_another_s_is_not_held(self, clocked: Bed) -> None:
        epoch = await epoch_of(clocked)
        clocked.advance(LEASE + 1)
        theirs = await epoch_of(clocked, "v")
        assert not await place().renew(clocked.redis, epoch)
        assert await leader_of(clocked.redis, "rota") == Leader("v", theirs)

    async def test_a_term_before_is_over(self, clocked: Bed) -> None:
        epoch = await epoch_of(clocked)
        await epoch_of(clocked)
        assert not await place().renew(clocked.redis, epoch)

    async def test_a_place_that_was_deleted_is_not_held(self, bed: Bed) -> None:
        epoch = await epoch_of(bed)
        bed.looking.flushall()
        assert not await place().renew(bed.redis, epoch)
        assert bed.all_keys() == set()

    async def test_it_costs_one_command(self, real: Bed) -> None:
        epoch = await epoch_of(real)
        before = real.commands()
        await place().renew(real.redis, epoch)
        assert dict(real.commands() - before) == {"getex": 1, "info": 1}


class TestGivingBack:
    async def test_one_of_those_who_wait_is_woken(self, bed: Bed) -> None:
        first = await epoch_of(bed)
        await place().give_back(bed.redis)
        assert await leader_of(bed.redis, "rota") is None
        assert bed.looking.llen(VACANT) == 1
        await place("v").vacancy(bed.redis, 5)
        assert bed.looking.llen(VACANT) == 0
        assert await epoch_of(bed, "v") > first

    async def test_where_nobody_waits_the_word_of_it_expires(self, clocked: Bed) -> None:
        await epoch_of(clocked)
        await place().give_back(clocked.redis)
        clocked.advance(5.001)
        assert clocked.all_keys() == {EPOCH}

    async def test_whoever_takes_the_place_takes_the_word_of_it_too(self, bed: Bed) -> None:
        await epoch_of(bed)
        await place().give_back(bed.redis)
        await epoch_of(bed, "v")
        assert bed.all_keys() == {KEY, EPOCH}

    async def test_another_s_place_is_left_alone(self, bed: Bed) -> None:
        epoch = await epoch_of(bed)
        await place("v").give_back(bed.redis)
        assert await leader_of(bed.redis, "rota") == Leader("w", epoch)
        assert bed.looking.llen(VACANT) == 0


class TestWhatAnotherHandWrote:
    @pytest.mark.parametrize("value", ["", "w", "one two three", "w -5"])
    async def test_what_names_no_worker_holds_no_place(self, bed: Bed, value: str) -> None:
        bed.looking.set(KEY, value, px=60_000)
        assert await leader_of(bed.redis, "rota") is None
        await epoch_of(bed, "v")

    async def test_a_lease_without_an_end_holds_none(self, bed: Bed) -> None:
        bed.looking.set(KEY, "w 5")
        await epoch_of(bed, "v")

    @pytest.mark.parametrize("value", ["", "soon", "1e300", "-7", "nan"])
    async def test_an_epoch_that_cannot_be_one_counts_as_nothing(self, bed: Bed, value: str) -> None:
        bed.looking.set(EPOCH, value)
        before = bed.now
        assert before <= await epoch_of(bed) <= bed.now

    async def test_keys_of_other_types_are_written_over(self, bed: Bed) -> None:
        for key in (KEY, EPOCH, VACANT):
            bed.looking.hset(key, "a", "b")
        with pytest.raises(ResponseError):
            await place().renew(bed.redis, 1)
        epoch = await epoch_of(bed)
        assert await place().renew(bed.redis, epoch)


@pytest.mark.parametrize("raw", [None, b"", b"w", b"w x", b"a b 1", 5, [b"w", b"1"]])
def test_what_is_no_leader_s_reads_as_nobody(raw: Any) -> None:
    assert Leader.read(raw) is None
