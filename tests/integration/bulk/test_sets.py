"""A sorted set is read to its end from any place, whatever leaves it, comes to it and moves in it meanwhile."""

import random

import pytest
from arq.connections import ArqRedis

from rota.client.bulk import sets
from rota.client.bulk.sets import Place, Scores, after


async def whole(redis: ArqRedis, scores: Scores, most: int = 10) -> list[Place]:
    found: list[Place] = []
    place: Place | None = None
    while True:
        page, place = await after(redis, "set", scores, place, most)
        found += page
        if place is None:
            return found


@pytest.mark.parametrize("of_one_score", [1, 7, 300])
async def test_all_members_are_read_in_their_order(redis: ArqRedis, of_one_score: int) -> None:
    members = {f"{number:03}": float(number // of_one_score) for number in range(300)}
    await redis.zadd("set", members)
    every = [Place(score, member.encode()) for member, score in members.items()]
    assert await whole(redis, Scores()) == every
    assert await whole(redis, Scores(1.0, 20.0)) == [one for one in every if 1 <= one.score <= 20]


@pytest.mark.parametrize("margin", [1, 3, 100])
async def test_nothing_that_stays_is_missed_or_read_twice(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch, margin: int
) -> None:
    monkeypatch.setattr(sets, "_MARGIN", margin)
    chance = random.Random(margin)
    await redis.zadd("set", {f"{number:03}": float(number // 90) for number in range(300)})
    stay = {f"{number:03}".encode() for number in range(0, 300, 3)}
    read: list[bytes] = []
    place: Place | None = None
    while True:
        page, place = await after(redis, "set", Scores(), place, 10)
        read += [one.member for one in page]
        if place is None:
            break
        for number in chance.sample(range(300), 12):
            member = f"{number:03}"
            if member.encode() not in stay:
                # It leaves, or moves to the end.
                await (redis.zrem("set", member) if number % 2 else redis.zadd("set", {member: 9.0}))
    assert sorted(one for one in read if one in stay) == sorted(stay)
    assert read.count(read[0]) == 1


async def test_a_place_whose_member_has_left_or_moved_is_found_again(redis: ArqRedis) -> None:
    await redis.zadd("set", {f"{number:02}": 1.0 for number in range(60)})
    place = Place(1.0, b"40")
    await redis.zrem("set", "40")
    page, following = await after(redis, "set", Scores(), place, 5)
    assert ([one.member for one in page], following) == (
        [b"41", b"42", b"43", b"44", b"45"],
        Place(1.0, b"45"),
    )
    await redis.zadd("set", {"40": 7.0})
    page, _ = await after(redis, "set", Scores(), place, 5)
    assert [one.member for one in page] == [b"41", b"42", b"43", b"44", b"45"]
    assert await after(redis, "set", Scores(), Place(8.0, b"x"), 5) == ([], None)
