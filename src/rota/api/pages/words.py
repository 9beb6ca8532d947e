"""What the dashboard says in words: how long, how many, and in what state the whole of it is."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rota.fleet.reading import Reading
from rota.model.access.keys import AccessKey, Scope

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))
#: How many things that are wrong the overview tells of.
_TOLD = 5
#: From which part on slots count as all busy: workers say every few seconds how many are.
_FULL = 0.9
#: The page of what jobs died of.
FAILURES = "/failures"

#: How good or bad a thing is, by which it is coloured.
Level = Literal["good", "late", "bad"]


def part(amount: float, whole: float) -> str:
    """Return a part of a whole in percent: `0.3 %`, and what is almost none or almost all not as none or all."""
    if not whole:
        return "\N{EN DASH}"
    percent = 100 * amount / whole
    if 0 < percent < 0.1:  # noqa: PLR2004 - the smallest that is written
        return "< 0.1 %"
    if 99.9 < percent < 100:  # noqa: PLR2004
        return "> 99.9 %"
    return f"{percent:.1f} %".replace(".0 %", " %")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """The facts of one queue by which it is said how it stands. Times are in seconds.

    :param ready: jobs that wait for a slot and for nothing else.
    :param wait: the age of the oldest of them.
    :param slo: the longest acceptable wait.
    :param workers: processes that claim from the queue; `draining` are about to stop.
    :param missing: how many workers more would keep the objective.
    :param running: its jobs that run, by the queue's own count; `busy` is what the workers said last.
    :param held: jobs that a limit of their own keeps back.
    :param rate: the rate limit of the queue, as it is written; empty without one.
    :param most: how many of its jobs may run at once in the fleet; 0: any number.
    :param is_crowded: whether its workers run as many jobs as they may, over all of their queues.
    :param paused_by: who paused it, and why; empty where that is not known.
    """

    name: str
    ready: int
    wait: float
    slo: float
    slots: int
    busy: int
    workers: int
    missing: int
    running: int = 0
    draining: int = 0
    held: int = 0
    rate: str = ""
    most: int = 0
    is_crowded: bool = False
    is_paused: bool = False
    paused_by: str = ""
    paused_why: str = ""

    @property
    def nearness(self) -> float:
        """The oldest wait as a part of the objective: above 1, the queue is late."""
        return self.wait / self.slo

    @property
    def is_unserved(self) -> bool:
        """Whether jobs wait, and no worker would claim them."""
        return self.ready > 0 and not self.workers


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that is said of how all of it stands, and how bad it is.

    :param subject: what it is said of, which leads to the page at `path`.
    """

    subject: str
    path: str
    text: str
    level: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Deaths:
    """The deaths of the last hour, as far as they are known.

    :param count: how many died.
    :param of_one: how many of them died of `cause`, the one that most died of.
    :param error: an error of that cause.
    """

    count: int = 0
    of_one: int = 0
    cause: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of all of it, in words.

    :param said: what is not as it should be, the worst first.
    :param more: how many things more could be said.
    :param notes: what is as it should be, and good to know.
    """

    level: Level
    said: Sequence[Said]
    more: int
    notes: Sequence[Said]

    @property
    def is_on_time(self) -> bool:
        """Whether no queue is late."""
        return all(one.path.startswith(FAILURES) for one in self.said)


def of_queue(queue: QueueFacts) -> Said | None:
    """Say what is wrong with a queue, why, and what would help; None where all of it is on time."""
    if queue.is_paused:
        waiting = queue.ready + queue.held
        return _of(queue, "late", _paused(queue, waiting)) if waiting else None
    if queue.is_unserved:
        return _of(queue, "bad", _unserved(queue))
    if queue.wait <= queue.slo:
        return None
    by = f"{duration(queue.wait - queue.slo)} late (objective {duration(queue.slo)})"
    return _of(queue, "late", f"is {by}: {_why_late(queue)}")


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that is to be known on whatever page one is, and where more is said of it."""

    text: str
    path: str
    level: Level = "late"


def notices(reading: Reading, said: Iterable[Said] = ()) -> list[Notice]:
    """Return what a reading of queues has for the bar across the top of a page that has not `said` so already."""
    found = []
    known = {one.subject for one in said}
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


def _paused(queue: QueueFacts, waiting: int) -> str:
    by = f" by {queue.paused_by}" if queue.paused_by else ""
    why = f" ({cut(queue.paused_why, 60)})" if queue.paused_why else ""
    text = f"is paused{by}{why}, and {counted(waiting, 'job')} {_wait(waiting)} for it to be resumed"
    return f"{text}, the oldest for {duration(queue.wait)}" if queue.wait >= 1 else text


def _unserved(queue: QueueFacts) -> str:
    jobs = counted(queue.ready, "job")
    if queue.draining:
        return f"has {jobs}, and its {'last worker is' if queue.draining == 1 else 'workers are'} stopping: start one"
    return f"has {jobs} and no worker that serves it: start one"


def _why_late(queue: QueueFacts) -> str:
    """Return why the jobs of a queue wait too long, and what would help."""
    busy = f"{queue.busy:,} of {counted(queue.slots, 'slot')} busy"
    if queue.most and queue.running >= queue.most:
        return f"its limit lets {counted(queue.most, 'job')} run at once, and so many run; raise it, or wait"
    if queue.rate and queue.busy < queue.slots:
        return f"{busy}, as its rate of {queue.rate} lets no more start; raise the rate, or wait"
    if queue.is_crowded and queue.busy < queue.slots:
        busy += ", as its workers are full with jobs of other queues"
    if queue.missing:
        return f"{busy}, {counted(queue.missing, 'more worker')} wanted"
    if queue.is_crowded or queue.busy >= _FULL * queue.slots:
        return f"{busy}, and the workers that are up will catch up"
    return f"{busy}, so its workers could claim them: look at the workers"


def _wait(count: int) -> str:
    return "waits" if count == 1 else "wait"


def _of(queue: QueueFacts, level: Level, text: str) -> Said:
    return Said(queue.name, f"/queues/{queue.name}", text, level)


def of_deaths(deaths: Deaths) -> Said | None:
    """Say how many jobs died within the last hour, and of what; None where none did."""
    if not deaths.count:
        return None
    path = f"{FAILURES}/{deaths.cause}" if deaths.of_one == deaths.count else FAILURES
    text = f"in the last hour{_of_what(deaths)}"
    return Said(f"{counted(deaths.count, 'job')} died", path, text, "late")


def _of_what(deaths: Deaths) -> str:
    if not deaths.of_one or not deaths.error:
        return ""
    error = cut(deaths.error)
    if deaths.count == 1:
        return f", of {error}"
    if deaths.of_one == deaths.count:
        return f", all of one cause: {error}"
    if deaths.of_one == 1:
        return ", of different causes"
    return f", {deaths.of_one:,} of them of one cause: {error}"


def cut(text: str, most: int = 120) -> str:
    """Return the first line of a text, without the end where it is long, and without a full stop."""
    line = text.strip().partition("\n")[0].rstrip(". ")
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def shortened(text: str, most: int = 36) -> str:
    """Return a text without its middle where it is long: the ends of ids tell them apart."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (most - 1) // 2 :]}"


def overall(queues: Iterable[QueueFacts], deaths: Deaths) -> Standing:
    """Return how all of it stands, the worst first."""
    every = sorted(queues, key=lambda one: (-one.nearness, one.name))
    found = [said for said in map(of_queue, every) if said is not None]
    if died := of_deaths(deaths):
        found.append(died)
    found.sort(key=lambda said: said.level != "bad")
    level: Level = "bad" if found and found[0].level == "bad" else "late" if found else "good"
    return Standing(level, found[:_TOLD], len(found[_TOLD:]), list(_notes(every)))


def _notes(queues: Sequence[QueueFacts]) -> Iterator[Said]:
    """Yield what is good to know while all is on time."""
    if queues and not any(one.workers for one in queues) and not any(one.is_unserved for one in queues):
        yield Said("No worker is up", "/workers", "and what is enqueued waits until one is", "good")
    for one in queues:
        if one.held and not one.is_paused:
            yield _of(one, "good", f"has {counted(one.held, 'job')} that limits of their own keep back")
