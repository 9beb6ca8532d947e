"""Tells misspelt variables of ours from the variables of other programs.

A false alarm stops a boot that nothing was wrong with. So a name counts as misspelt only if it has our words in our
order, but for typing errors, which change neither digits nor the first letter of a word.
"""

import re
from collections.abc import Collection, Iterable

from rota.settings.queues import OPTIONS, QUEUES

# In a shorter word one slip makes another word (boot, book; mode, node), so that only letters that changed places count
# there. A name that begins with REDIS_ is more surely meant for us.
_LONG_WORD = 5
_LONG_NAME = 7
_VERY_LONG_WORD = 8
_MOST_SLIPS = 2


#: Behind the name of a variable: the variable holds the path of a file with the value.
FILE = "_FILE"


def misspelt(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Return a problem for each name that is probably meant to be in `known`, or to be under QUEUES__, and is not."""
    spellings = {*known, *(name + FILE for name in known)}
    problems = []
    for name in names:
        if name in spellings or name.startswith(QUEUES):
            continue
        if _means_a_queue(name):
            problems.append(f"{name} is not known; write QUEUES__<QUEUE>__<OPTION> for one queue's option")
        elif meant := near_miss(name, spellings):
            problems.append(f"{name} is not known; did you mean {meant}?")
    return problems


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """Return the name in `known` that `name` was probably meant to be, or None."""
    plain = re.sub("_+", "_", name).upper()
    if "_" not in name.strip("_") and name != name.upper():
        return None
    candidates = [(slips, ours) for ours in known if (slips := _slips(plain, ours)) is not None]
    return min(candidates)[1] if candidates else None


def is_service_variable(name: str, value: str) -> bool:
    """Tell whether a container platform set the variable for a service near by: REDIS_PORT=tcp://10.0.0.1:6379."""
    return name.endswith("_PORT") and value.startswith(("tcp://", "udp://"))


def distance(one: str, other: str) -> int:
    """Return how many letters to add, drop, replace or swap with a neighbour to turn `one` into `other`.

    difflib's matcher does not serve: it takes the longest common part first, and so finds two slips in QUQUE for QUEUE,
    where there is one. Its ratio also cannot tell two swapped neighbours from two other letters.
    """
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


def _means_a_queue(name: str) -> bool:
    head, separator, _ = name.upper().partition("__")
    first = head.partition("_")[0]
    if first == "QUEUES" and name.endswith(tuple(f"_{option}" for option in OPTIONS)):
        return True
    return bool(separator) and first[:1] == "Q" and distance(first, "QUEUES") <= 1


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
