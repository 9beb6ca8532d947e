"""The order of tests where several processes run them: each begins with its share of the long ones.

A process of pytest-xdist begins with as many tests as the others, one after the other in the order of all, and takes
over others' last ones when it is done. In the order of folders one process had all fault tests, and the run ended with
the longest of them while the other processes were idle.
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
}

Test = TypeVar("Test")


def length(file: str) -> float:
    """Return how long a test of `file`, a path below `tests`, takes; 0 if it is short."""
    return LENGTHS.get(file, LENGTHS.get(file.partition("/")[0], 0.0))


def in_shares(tests: Sequence[tuple[str, Test]], processes: int) -> list[Test]:
    """Return tests, given each with its file below `tests`, so that as many equal shares begin with long ones."""
    files = [(file, [test for _, test in group]) for file, group in groupby(tests, key=lambda one: one[0])]
    long = [(length(file) * len(own), own) for file, own in files if length(file)]
    short = [test for file, own in files if not length(file) for test in own]
    shares: list[list[Test]] = [[] for _ in range(processes)]
    spent = [0.0] * processes
    for seconds, own in sorted(long, key=lambda one: -one[0]):
        least = spent.index(min(spent))
        shares[least] += own
        spent[least] += seconds
    left = len(tests)
    for number, share in enumerate(shares):
        # As xdist counts them.
        size = left // (processes - number)
        lacking = max(0, size - len(share))
        share.extend(short[:lacking])
        del short[:lacking]
        left -= size
    return [*(test for share in shares for test in share), *short]
