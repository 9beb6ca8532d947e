"""A sorted set of Redis, read portion by portion: each begins behind a place, which stays one whatever comes and goes.

A cursor of ZSCAN would be good for one server alone, and after a restart, or a failover, it would pass over members.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

#: How many members before a place are read with those behind it: as many may be removed while it is looked for.
_MARGIN = 100


class Place(NamedTuple):
    """The place of a member in a sorted set, behind which one reads on."""

    score: float
    member: bytes


class Scores(NamedTuple):
    """The scores of the members that are read, the lowest and the highest."""

    low: float = float("-inf")
    high: float = float("inf")


async def after(
    redis: Any, key: str, scores: Scores, place: Place | None, most: int
) -> tuple[list[Place], Place | None]:
    """Return up to `most` members with one of these scores behind a place, and the place of the next ones.

    The place is None where there are no others. Raises what redis-py raises.
    """
    if place is None:
        return _page(await _by_score(redis, key, scores, most), scores, None, most)
    known = await redis.zrank(key, place.member)
    if known is None:
        # It was changed, and has left: mostly, so have all others up to it that have its score.
        found = await _by_score(redis, key, Scores(place.score, scores.high), most)
        if len(found) < most or found[-1] > place:
            return _page(found, scores, place, most)
    return _page(await _by_rank(redis, key, place, most, known), scores, place, most)


def _page(
    found: list[Place], scores: Scores, place: Place | None, most: int
) -> tuple[list[Place], Place | None]:
    wanted = [one for one in found if (place is None or one > place) and one.score <= scores.high]
    return wanted, wanted[-1] if wanted and len(found) >= most else None


async def _by_score(redis: Any, key: str, scores: Scores, most: int) -> list[Place]:
    low, high = map(repr, scores)
    return _places(await redis.zrangebyscore(key, low, high, start=0, num=most, withscores=True))


async def _by_rank(redis: Any, key: str, place: Place, most: int, known: int | None) -> list[Place]:
    """Return members from a little before a place on, up to `most` of them behind it.

    `known` is the rank of its member where that is there, though with another score perhaps.
    """
    rank = None if known is None else known + 1
    while True:
        rank = await _rank(redis, key, place) if rank is None else rank
        begin = max(0, rank - _MARGIN)
        found = _places(await redis.zrange(key, begin, rank + most - 1, withscores=True))
        # Else more members were removed meanwhile than the margin has, and some behind the place may be missing.
        is_whole = begin == 0 or (bool(found) and found[0] <= place)
        if is_whole and (known is None or place in found):
            return found
        rank = known = None


async def _rank(redis: Any, key: str, place: Place) -> int:
    """Return the rank of the first member behind a place."""
    pipe = redis.pipeline(transaction=True)
    pipe.zcount(key, "-inf", f"({place.score!r}")
    pipe.zcount(key, "-inf", repr(place.score))
    low, high = await pipe.execute()
    # Members with one score are sorted by their bytes.
    while low < high:
        middle = (low + high) // 2
        found = _places(await redis.zrange(key, middle, middle, withscores=True))
        if found and found[0] <= place:
            low = middle + 1
        else:
            high = middle
    return int(low)


def _places(found: Sequence[tuple[bytes, float]]) -> list[Place]:
    return [Place(float(score), member) for member, score in found]
