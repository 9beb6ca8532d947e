"""The processes of a fleet by queue, read from their heartbeats, which of them leads, and what they run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rota.fleet.heartbeat import LIFE, Beat, beat_keys
from rota.fleet.reading import claimed_at
from rota.names import full_name
from rota.wire.claims import decode_id, progress_of
from rota.wire.envelopes import name_in
from rota.wire.keys import JOB, QueueKeys, leader_key, queue_key
from rota.wire.leader import Leader

#: The most running jobs of a queue that are looked at.
MOST = 1000
#: As many bytes of a payload have the name of its job in them.
NAMED = 200


@dataclass(frozen=True, slots=True)
class Running:
    """A job that runs.

    :param task: its name, without that of its queue; empty where it is not ours.
    :param worker: the name under which it was claimed.
    :param since: when that was, in milliseconds of the server's clock.
    :param percent: how far it is, and `message` of it, as the job says itself; None: it says nothing.
    """

    queue: str
    id: str
    task: str
    worker: str
    since: int
    percent: float | None = None
    message: str = ""

    @property
    def name(self) -> str:
        """Its full name; empty where it is not ours."""
        return full_name(self.queue, self.task) if self.task else ""

    @property
    def started(self) -> datetime | None:
        """When it was claimed; None for a figure that can be no time."""
        try:
            return datetime.fromtimestamp(self.since / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            return None


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its heartbeats by queue, whether it leads, and the jobs that run in it, the longest first."""

    name: str
    beats: dict[str, Beat]
    leads: bool
    running: tuple[Running, ...]

    @property
    def latest(self) -> Beat:
        """The heartbeat that was written last; what it says of the process all of them say."""
        return min(self.beats.values(), key=lambda beat: beat.age)

    @property
    def slots(self) -> int:
        """The slots that it may use at once."""
        total = sum(beat.slots for beat in self.beats.values())
        return min(total, self.latest.cap or total)

    @property
    def busy(self) -> int:
        """The slots in which jobs run."""
        return sum(beat.busy for beat in self.beats.values())


@dataclass(frozen=True, slots=True)
class Roster:
    """The processes that serve some queues, at one moment.

    :param beats: the last heartbeat of each process, by queue.
    :param leader: the process that leads the deployment; None: none does.
    :param running: the jobs that run, the longest first, where the reader has asked.
    """

    beats: dict[str, tuple[Beat, ...]]
    leader: Leader | None
    running: tuple[Running, ...] = ()

    def rows(self) -> Iterator[tuple[str, Beat, bool]]:
        """Yield each queue of each process with the heartbeat, and whether that process leads; by process."""
        every = [(queue, beat) for queue, beats in self.beats.items() for beat in beats]
        for queue, beat in sorted(every, key=lambda one: (one[1].process, one[0])):
            yield queue, beat, self.leader is not None and beat.process == self.leader.worker

    @property
    def processes(self) -> list[Process]:
        """The processes, by name."""
        beats: dict[str, dict[str, Beat]] = {}
        for queue, beat, _ in self.rows():
            beats.setdefault(beat.process, {})[queue] = beat
        claims = {
            (queue, beat.worker): name
            for name, own in beats.items()
            for queue, beat in own.items()
            if beat.worker
        }
        runs: dict[str, list[Running]] = {name: [] for name in beats}
        for one in self.running:
            if name := claims.get((one.queue, one.worker)):
                runs[name].append(one)
        leader = self.leader and self.leader.worker
        return [Process(name, own, name == leader, tuple(runs[name])) for name, own in beats.items()]

    @property
    def leads_elsewhere(self) -> bool:
        """Whether the leader is none of these processes."""
        return self.leader is not None and not any(leads for _, _, leads in self.rows())


@dataclass(frozen=True, slots=True)
class _Place:
    """One queue, the processes that are said to serve it, and the jobs that run, where they were asked for."""

    queue: str
    keys: QueueKeys
    names: list[bytes]
    ids: list[bytes]
    is_detailed: bool

    def ask(self, pipe: Any) -> None:
        """Ask for what the processes and the jobs say."""
        beats = beat_keys(self.keys, self.names)
        if beats:
            pipe.mget(beats)
        for key in beats if self.is_detailed else ():
            pipe.pttl(key)
        if self.ids:
            pipe.hmget(self.keys.runs, self.ids)
            pipe.hmget(self.keys.progress, self.ids)
        for one in self.ids:
            # A payload may be large, and begins with the name.
            pipe.getrange(JOB.encode() + one, 0, NAMED - 1)

    def beats(self, answers: Iterator[Any]) -> Iterator[Beat]:
        """Yield the heartbeats: a process that died is in the list for a while, and its heartbeat has expired."""
        values = next(answers) if self.names else ()
        ages = [LIFE - next(answers) / 1000 if self.is_detailed else 0.0 for _ in self.names]
        for name, value, age in zip(self.names, values, ages, strict=True):
            if value is not None and (
                beat := Beat.read(name.decode("utf-8", "replace"), value, max(0.0, age))
            ):
                yield beat

    def running(self, answers: Iterator[Any]) -> Iterator[Running]:
        """Yield the jobs that run, each of which has a claim."""
        entries, progress = (next(answers), next(answers)) if self.ids else ((), ())
        heads = [next(answers) for _ in self.ids]
        for one, entry, told, head in zip(self.ids, entries, progress, heads, strict=True):
            if entry is not None and (since := claimed_at(entry)) is not None:
                worker = entry.partition(b":")[0].decode("utf-8", "replace")
                yield Running(self.queue, decode_id(one), name_in(head), worker, since, *progress_of(told))


async def roster(redis: Any, queues: Sequence[str], namespace: str, *, detailed: bool = False) -> Roster:
    """Read who serves `queues` and who leads, in two round trips. Raises what redis-py raises.

    :param detailed: whether to read how old the heartbeats are, and what runs.
    """
    keys = [QueueKeys.of(queue_key(queue)) for queue in queues]
    pipe = redis.pipeline(transaction=False)
    pipe.get(leader_key(namespace))
    for one in keys:
        pipe.smembers(one.workers)
        if detailed:
            pipe.zrange(one.active, 0, MOST - 1)
    leader, *found = await pipe.execute()
    each = iter(found)
    places = [
        _Place(queue, one, sorted(next(each)), next(each) if detailed else [], detailed)
        for queue, one in zip(queues, keys, strict=True)
    ]
    pipe = redis.pipeline(transaction=False)
    for place in places:
        place.ask(pipe)
    answers = iter(await pipe.execute() if len(pipe) else ())
    beats: dict[str, tuple[Beat, ...]] = {}
    running: list[Running] = []
    for place in places:
        beats[place.queue] = tuple(place.beats(answers))
        running += place.running(answers)
    return Roster(beats, Leader.read(leader), tuple(sorted(running, key=lambda one: one.since)))
