"""Tells misspelt variables of ours from the variables of other programs.

A false alarm stops a boot that nothing was wrong with. So a name counts as misspelt only if it has our words in our
order, but for typing errors, which change neither digits nor the first letter of a word.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from rota.settings.queues import OPTIONS, QUEUES

# In a shorter word one slip makes another word (boot, book; mode, node), so that only letters that changed places count
# there. A name that begins with REDIS_ is more surely meant for us.
_LONG_WORD = 5
_LONG_NAME = 7
_VERY_LONG_WORD = 8
_MOST_SLIPS = 2
_SHORTEST_QUEUE = 4


#: Behind the name of a variable: the variable holds the path of a file with the value.
FILE = "_FILE"
#: Before the name of a variable: it is meant for rota, and wins over the bare name, which others may set too.
OWN = "ROTA_"
#: What cannot stand beside a name: with the prefix, the name wins over these too where they are bare.
_INSTEAD_OF = {
    "REDIS_URL": (
        *("REDIS_HOST", "REDIS_PORT", "REDIS_SENTINELS", "REDIS_SENTINEL_MASTER"),
        *("REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_DB", "REDIS_SSL"),
    ),
    "REDIS_HOST": ("REDIS_URL", "REDIS_SENTINELS", "REDIS_SENTINEL_MASTER"),
    "REDIS_SENTINELS": ("REDIS_URL", "REDIS_HOST", "REDIS_PORT"),
}
_QUOTED = re.compile(r"""(["'])(?:(?!\1).)+\1""", re.DOTALL)


def own_first(
    sources: Sequence[Mapping[str, str]], known: Collection[str]
) -> tuple[list[dict[str, str]], frozenset[str]]:
    """Return each source with bare names alone, and the names that were written with ROTA_ before them.

    A bare name that stands with the prefix in any of the sources is left out of all of them, and so are its NAME_FILE,
    and the bare names that say the same in another way.
    """
    spellings = {*known, *(name + FILE for name in known)}

    def bare(name: str, value: str) -> str | None:
        rest = name.removeprefix(OWN)
        is_ours = rest != name and (rest in spellings or rest.startswith(QUEUES))
        return rest if is_ours and not is_service_variable(name, value) else None

    own = [
        {rest: value for name, value in source.items() if (rest := bare(name, value))} for source in sources
    ]
    prefixed = frozenset().union(*own)
    hidden = {part for name in prefixed for part in _same_setting(name, known)}
    return [
        {name: value for name, value in source.items() if name not in hidden and not bare(name, value)} | mine
        for source, mine in zip(sources, own, strict=True)
    ], prefixed


def as_written(problem: str, prefixed: Collection[str]) -> str:
    """Return a problem in which the names that were written with ROTA_ before them have it."""
    if not prefixed:
        return problem
    names = "|".join(sorted(map(re.escape, prefixed), key=len, reverse=True))
    return re.sub(rf"(?<![A-Za-z0-9_])(?:{names})(?![A-Za-z0-9_])", lambda one: OWN + one[0], problem)


def _same_setting(name: str, known: Collection[str]) -> tuple[str, ...]:
    if name.startswith(QUEUES):
        return (name,)
    base = name if name in known else name.removesuffix(FILE)
    return tuple(one + end for one in (base, *_INSTEAD_OF.get(base, ())) for end in ("", FILE))


def quoted(values: Mapping[str, str]) -> dict[str, str]:
    """Return what is within the quotes of each value that stands in quotes; a password may have them.

    Who set it meant a shell, or a file that is read as one.
    """
    whole = ((name, value) for name, value in values.items() if not name.endswith("PASSWORD"))
    return {name: value[1:-1] for name, value in whole if _QUOTED.fullmatch(value)}


def misspelt(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Return a problem for each name that is probably meant to be in `known`, or to be under QUEUES__, and is not."""
    spellings = {*known, *(name + FILE for name in known)}
    problems = []
    for name in names:
        if name in spellings or name.startswith(QUEUES):
            continue
        if name.startswith(OWN) and (meant := near_miss(name.removeprefix(OWN), spellings, sure=True)):
            problems.append(f"{name} is not known; did you mean {OWN}{meant}?")
        elif _means_a_queue(name):
            problems.append(f"{name} is not known; write QUEUES__<QUEUE>__<OPTION> for one queue's option")
        elif meant := near_miss(name, spellings):
            problems.append(f"{name} is not known; did you mean {meant}?")
    return problems


def near_miss(name: str, known: Iterable[str], *, sure: bool = False) -> str | None:
    """Return the name in `known` that `name` was probably meant to be, or None; `sure` says that it is one of ours."""
    plain = re.sub("_+", "_", name).upper()
    if "_" not in name.strip("_") and name != name.upper():
        return None
    candidates = [(slips, ours) for ours in known if (slips := _slips(plain, ours, sure=sure)) is not None]
    return min(candidates)[1] if candidates else None


def misspelt_queues(names: Iterable[str], declared: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each of `names` that is probably meant to be one of the `declared` queues, with that one."""
    for name in names:
        others = [one.upper() for one in declared if len(one) >= _SHORTEST_QUEUE]
        if meant := near_miss(name.upper(), others, sure=True):
            yield name, meant.lower()


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


def _slips(theirs: str, ours: str, *, sure: bool = False) -> int | None:
    their_words, our_words = theirs.split("_"), ours.split("_")
    if len(their_words) != len(our_words) or re.search(r"\d", theirs):
        return None
    total = 0
    sure = sure or theirs.startswith("REDIS_")
    for their, our in zip(their_words, our_words, strict=True):
        if their == our:
            continue
        allowed = _allowed(their, our, sure=sure, alone=len(our_words) == 1)
        # Here nearly every pair ends, unless an unknown name has our words: the distance takes twenty times as long.
        if allowed == 0 or (slips := distance(their, our)) > allowed:
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
