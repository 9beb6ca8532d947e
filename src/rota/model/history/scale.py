"""The scale on which waits and run times are counted: ten buckets for each power of ten, from 1 ms to 28 hours.

A bucket's upper bound is 1.26 times its lower one. A percentile is told as the bucket's geometric middle, and so is off
by a factor of at most 1.122, which is 12.2 %. The bounds are part of what lies in Redis, and never change.
"""

from collections.abc import Iterator, Mapping

_PER_DECADE = 10
#: The upper bounds of the buckets, in seconds; the last bucket, of index `len(BOUNDS)`, has none.
BOUNDS = tuple(0.001 * 10 ** (index / _PER_DECADE) for index in range(8 * _PER_DECADE + 1))
#: By how much a percentile between 1 ms and the highest bound may be off, as a part of it.
ERROR = 10 ** (1 / (2 * _PER_DECADE)) - 1


def seconds_of(index: int) -> float:
    """Return what stands for all values of a bucket: its middle, or the only bound of the first and the last one."""
    if index <= 0:
        return BOUNDS[0]
    if index >= len(BOUNDS):
        return BOUNDS[-1]
    return float((BOUNDS[index - 1] * BOUNDS[index]) ** 0.5)


def percentile(counts: Mapping[int, int], part: float) -> float | None:
    """Return the value, in seconds, that the given part (from 0 to 1) of all values do not exceed; None without any.

    Raises ValueError for a part that is not one.
    """
    if not 0 <= part <= 1:
        raise ValueError(f"{part!r} is not a part from 0 to 1, such as 0.95")
    rank = part * sum(counts.values())
    for index, passed in _accumulated(counts):
        if passed >= rank:
            return seconds_of(index)
    return None


def _accumulated(counts: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    passed = 0
    for index in sorted(counts):
        if counts[index] > 0:
            passed += counts[index]
            yield index, passed
