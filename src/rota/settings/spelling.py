"""Tells a misspelt variable of ours from a variable of somebody else.

A wrong alarm stops a boot that nothing was wrong with, so a name counts as misspelt only when it has our
words in our order, but for a slip that fingers make; never with a digit in it, or with another first letter.
"""

import re
from collections.abc import Iterable

# In a shorter word one slip makes another word (boot, book; mode, node), so that only letters that changed
# places count there; what begins with REDIS_ is meant for us more surely.
_LONG_WORD = 5
_LONG_NAME = 7
_VERY_LONG_WORD = 8
_MOST_SLIPS = 2


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `name` was probably meant to be, or None."""
    plain = re.sub("_+", "_", name).upper()
    if "_" not in name.strip("_") and name != name.upper():
        return None
    candidates = [(slips, ours) for ours in known if (slips := _slips(plain, ours)) is not None]
    return min(candidates)[1] if candidates else None


def is_service_variable(name: str, value: str) -> bool:
    """Whether a container platform set it, to tell of a neighbour: REDIS_PORT=tcp://10.0.0.1:6379."""
    return name.endswith("_PORT") and value.startswith(("tcp://", "udp://"))


def distance(one: str, other: str) -> int:
    """How many letters to add, drop, replace or swap with their neighbour to turn `one` into `other`."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, a in enumerate(one):
        row = [i + 1]
        for j, b in enumerate(other):
            best = min(last[j] + (a != b), last[j + 1] + 1, row[j] + 1)
            if i and j and a == other[j - 1] and b == one[i - 1]:
                best = min(best, before[j - 1] + 1)
            row.append(best)
        before, last = last, row
    return last[-1]


def _slips(theirs: str, ours: str) -> int | None:
    their_words, our_words = theirs.split("_"), ours.split("_")
    if len(their_words) != len(our_words) or re.search(r"\d", theirs):
        return None
    total = 0
    sure = theirs.startswith("REDIS_")
    for their, our in zip(their_words, our_words, strict=True):
        slips = distance(their, our)
        if slips > _allowed(their, our, sure=sure, alone=len(our_words) == 1):
            return None
        total += slips
    return total if total <= _MOST_SLIPS else None


def _allowed(their: str, our: str, *, sure: bool, alone: bool) -> int:
    if len(their) == len(our) and sorted(their) == sorted(our):
        return 1
    if their[:1] != our[:1]:
        return 0
    if len(our) >= _VERY_LONG_WORD:
        return 2
    return 1 if sure or len(our) >= (_LONG_NAME if alone else _LONG_WORD) else 0
