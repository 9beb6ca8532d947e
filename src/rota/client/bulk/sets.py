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
    low = scores.low if place is None else place.score
    found = _places(
        await redis.zrangebyscore(key, repr(low), repr(scores.high), start=0, num=most, withscores=True)
    )
    wanted = found if place is None else [one for one in found if one > place]
    if not wanted and len(found) == most and place is not None:
        # More members than that have the score of the place.
        found = await _by_rank(redis, key, place, most)
        wanted = [one for one in found if place < one and one.score <= scores.high]
    return wanted, wanted[-1] if wanted and len(found) >= most else None


async def _by_rank(redis: Any, key: str, place: Place, most: int) -> list[Place]:
    """Return members from a little before a place on, up to `most` of them behind it."""
    while True:
        rank = await _rank(redis, key, place)
        begin = max(0, rank - _MARGIN)
        found = _places(await redis.zrange(key, begin, rank + most - 1, withscores=True))
        # Else more members were removed meanwhile than the margin has, and some behind the place may be missing.
        if begin == 0 or not found or found[0] <= place:
            return found


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
