"""The results of a stage that is `each` of a list: put together here, outside of Redis, from where each item's lies."""

from typing import Any

#: The first page has this many results, and each further one as many as have about this size together, in bytes.
_FIRST_PAGE, _MOST_RESULTS, _PAGE_BYTES = 8, 1000, 2_000_000
#: How a result begins that says how many results lie where: no JSON does.
_ELSEWHERE = b"@"


async def gathered(redis: Any, key: str, total: int) -> bytes | None:
    """Return the results that lie in the hash at `key` as one JSON list, or None where one of the `total` is gone.

    They are read in portions, between which Redis does other work. Raises the faults of Redis as they are.
    """
    results: list[bytes] = []
    size, page = 0, _FIRST_PAGE
    while len(results) < total:
        items = range(len(results), min(len(results) + page, total))
        portion: list[bytes | None] = await redis.hmget(key, [str(item) for item in items])
        found = [result for result in portion if result is not None]
        if len(found) < len(items):
            return None
        for result in found:
            if result.startswith(_ELSEWHERE):
                count, _, place = result[1:].partition(b" ")
                inner = await gathered(redis, place.decode(), int(count))
                if inner is None:
                    return None
                results.append(inner)
            else:
                results.append(result)
        size += sum(map(len, found))
        page = max(1, min(_MOST_RESULTS, _PAGE_BYTES * len(results) // max(1, size)))
    return b"[%b]" % b",".join(results)
