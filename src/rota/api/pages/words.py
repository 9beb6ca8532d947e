"""What the dashboard says in words: how long, how many, and in what state the whole of it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rota.fleet.reading import Reading
from rota.model.access.keys import AccessKey, Scope

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))
#: How many queues the first line of the overview tells of.
_TOLD = 5


def duration(seconds: float | None) -> str:
    """Return a time in its two largest units, as people say it: `3 min 20 s`."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 0.001:  # noqa: PLR2004 - a millisecond
        return "0 s"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004 - whole seconds are exact enough from there
        return f"{seconds:.1f} s".replace(".0 s", " s")
    left = round(seconds)
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    parts.append(f"{left} s")
    return " ".join(part for part in parts[:2] if not part.startswith("0 ")) or "0 s"


def role(key: AccessKey) -> str:
    """Return what the holder of a key is to the dashboard."""
    if key.lets(Scope.ADMIN):
        return "administrator"
    roles = ("operator",) if key.lets(Scope.OPERATE) else ("viewer",) if key.lets(Scope.READ) else ()
    return ", ".join((*roles, *(("makes jobs",) if key.lets(Scope.ENQUEUE) else ())))


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 job`, `12,409 jobs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """The facts of one queue that the first line of the overview needs. Times are in seconds.

    :param late: the age of the oldest job that waits for a slot.
    :param slo: the longest acceptable wait.
    :param missing: how many workers more would keep it.
    """

    name: str
    ready: int
    late: float
    slo: float
    slots: int
    busy: int
    workers: int
    missing: int
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that is not as it should be: which queue, in words, and how bad."""

    queue: str
    text: str
    level: Literal["late", "bad"]


def of_queue(queue: QueueFacts) -> Said | None:
    """Say what is wrong with a queue, why, and what would help; None where all of it is on time."""
    jobs = counted(queue.ready, "job")
    if queue.is_paused and queue.ready:
        return Said(queue.name, f"is paused, and {jobs} {_verb(queue.ready)} for it to be resumed", "late")
    if queue.ready and not queue.workers:
        return Said(queue.name, f"has {jobs} and no worker that serves it: start one", "bad")
    if queue.late <= queue.slo:
        return None
    why = f"{queue.busy} of {counted(queue.slots, 'slot')} busy"
    helps = f"{counted(queue.missing, 'more worker')} wanted" if queue.missing else _what_holds(queue)
    text = f"is {duration(queue.late - queue.slo)} late (objective {duration(queue.slo)}): {why}, {helps}"
    return Said(queue.name, text, "late")


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that is to be known on whatever page one is, and where more is said of it."""

    text: str
    path: str
    level: Literal["late", "bad"] = "late"


def notices(reading: Reading, said: Iterable[Said] = ()) -> list[Notice]:
    """Return what a reading of queues has for the bar across the top of a page that has not `said` so already."""
    found = []
    known = {one.queue for one in said}
    paused = [name for name, one in reading.queues.items() if one.paused and name not in known]
    if paused:
        path = f"/queues/{paused[0]}" if len(paused) == 1 else "/queues"
        shown = ", ".join(paused[:_TOLD]) + (" and others" if len(paused) > _TOLD else "")
        found.append(Notice(f"{shown} {'is' if len(paused) == 1 else 'are'} paused", path))
    versions = {beat.version for one in reading.queues.values() for beat in one.beats if beat.version}
    if len(versions) > 1:
        shown = ", ".join(sorted(versions)[:_TOLD])
        found.append(Notice(f"Workers run {len(versions)} versions of the code: {shown}", "/workers"))
    return found


def _verb(count: int) -> str:
    return "waits" if count == 1 else "wait"


def _what_holds(queue: QueueFacts) -> str:
    if queue.busy < queue.slots:
        return "so a rate or a limit may keep jobs back"
    return "and the workers that there are will work it off"


def overall(queues: Iterable[QueueFacts], dead: int) -> tuple[Literal["good", "late", "bad"], Sequence[Said]]:
    """Return how all of it stands, and what is wrong, the worst first.

    :param dead: how many jobs have died within the last hour.
    """
    found = [said for said in map(of_queue, queues) if said is not None]
    found.sort(key=lambda said: said.level != "bad")
    if any(said.level == "bad" for said in found):
        return "bad", found[:_TOLD]
    return ("late" if found or dead else "good"), found[:_TOLD]
