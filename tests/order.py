"""The order of tests where several processes run them: each has its share of the long ones, with short ones between.

A process of pytest-xdist begins with as many tests as the others, one after the other in the order of all, and takes
over others' last ones when it is done. In the order of folders one process had all fault tests, and the run ended with
the longest of them while the other processes were idle.

Long tests mostly wait, and short ones compute. One after the other, the cores would be idle in the first half of a run,
and too few in the second. The last ones are short, so that the processes end together.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import TypeVar

#: How long a test of each folder, or of a file in it, takes, about, in seconds; all others are short.
LENGTHS = {
    "faults": 3.0,
    "integration": 0.4,
    "integration/test_arq_suite.py": 25.0,
    "samples": 0.7,
    "samples/test_demo.py": 3.0,
    "stories": 0.5,
    "unit/template/test_benchmarks.py": 0.5,
    "unit/template/test_conditions.py": 0.5,
    "unit/template/test_peers.py": 0.2,
}

#: The part of the short tests that is left for the end.
AT_THE_END = 0.2

Test = TypeVar("Test")


def length(file: str) -> float:
    """Return how long a test of `file`, a path below `tests`, takes; 0 if it is short."""
    return LENGTHS.get(file, LENGTHS.get(file.partition("/")[0], 0.0))


def in_shares(tests: Sequence[tuple[str, Test]], processes: int) -> list[Test]:
    """Return tests, given each with its file below `tests`, so that as many equal shares have as many long ones."""
    files = _whole(tests)
    long = [(length(file[0][0]) * len(file), file) for file in files if length(file[0][0])]
    short = [test for file in files if not length(file[0][0]) for test in file]
    shares: list[list[list[tuple[str, Test]]]] = [[] for _ in range(processes)]
    spent = [0.0] * processes
    for seconds, file in sorted(long, key=lambda one: -one[0]):
        least = spent.index(min(spent))
        shares[least].append(file)
        spent[least] += seconds
    left = len(tests)
    ordered: list[tuple[str, Test]] = []
    for number, share in enumerate(shares):
        # As xdist counts them.
        size = left // (processes - number)
        lacking = max(0, size - sum(map(len, share)))
        ordered += _mixed(share, short[:lacking])
        del short[:lacking]
        left -= size
    return [test for _, test in [*ordered, *short]]


def _whole(tests: Sequence[tuple[str, Test]]) -> list[list[tuple[str, Test]]]:
    return [list(file) for _, file in groupby(tests, key=lambda one: one[0])]


def _mixed(
    long: Sequence[list[tuple[str, Test]]], short: Sequence[tuple[str, Test]]
) -> list[tuple[str, Test]]:
    """Return files of long tests with as many short tests after each, and more of them at the end.

    Files stay whole: what the tests of a file share is made once.
    """
    left, between = _whole(short), len(short) * (1 - AT_THE_END) / max(1, len(long))
    mixed: list[tuple[str, Test]] = []
    placed = 0
    for number, file in enumerate(long, 1):
        mixed += file
        while left and placed + len(left[0]) <= number * between:
            placed += len(left[0])
            mixed += left.pop(0)
    return [*mixed, *(test for file in left for test in file)]
