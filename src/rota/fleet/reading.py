"""Reads the queues of a fleet: two round trips for all of them, and no command that grows with the waiting jobs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from rota.fleet.heartbeat import Beat, beat_keys
from rota.model.state import State
from rota.server.check import Facts
from rota.wire.claims import ms_of
from rota.wire.keys import IN_PROGRESS, QueueKeys, queue_key

#: How many of the oldest due jobs are read. Jobs that stock workers run are among them, and are passed over.
_HEADS = 50
#: How many run entries are asked for in one command.
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class QueueReading:
    """One queue at one moment; times are in seconds.

    :param states: the jobs in each state; waiting are the ready jobs and those that a limit keeps back.
    :param ready: jobs that wait for a slot and for nothing else.
    :param latency: the age of the oldest ready job.
    :param oldest_active: for how long the oldest running job has been running.
    :param mean_active: for how long running jobs have been running, on average.
    :param paused: whether workers claim nothing from the queue.
    :param ended: executions that ended since ever.
    :param busy: the slot-seconds of these executions.
    :param beats: the heartbeats of the processes that serve the queue.
    :param unreadable: what of the queue nobody can read, and counts as nothing here; "" for the ordinary case.
    """

    states: dict[State, int]
    ready: int = 0
    latency: float = 0.0
    oldest_active: float = 0.0
    mean_active: float = 0.0
    paused: bool = False
    ended: int = 0
    busy: float = 0.0
    beats: tuple[Beat, ...] = ()
    unreadable: str = ""

    def workers(self, status: str) -> int:
        """Return how many processes of this status serve the queue."""
        return sum(beat.status == status for beat in self.beats)

    @property
    def slots(self) -> int:
        """The slots of the workers that claim jobs."""
        return sum(beat.slots for beat in self.beats if beat.status == "running")

    @property
    def slots_busy(self) -> int:
        """The busy slots of all workers, draining ones included, as their heartbeats say."""
        return sum(beat.busy for beat in self.beats)

    @property
    def slots_taken(self) -> int:
        """The slots of running workers in which jobs run: heartbeats are seconds old, so active jobs count too."""
        return min(self.slots, max(self.slots_busy, self.states.get(State.ACTIVE, 0)))


@dataclass(frozen=True, slots=True)
class Reading:
    """The fleet at one moment: `at`, in seconds of the server's clock.

    `strays` are the queues that nothing names: they are shown, and need no workers, as none would serve them.
    """

    at: float
    queues: dict[str, QueueReading]
    server: Facts
    strays: dict[str, QueueReading] = field(default_factory=dict)

    @property
    def every_queue(self) -> dict[str, QueueReading]:
        """The queues of the fleet, and the strays."""
        return self.queues | self.strays


@dataclass(frozen=True, slots=True)
class _Names:
    """The names that a queue is asked for: of its oldest jobs, with when each is due, its processes and what runs."""

    heads: list[tuple[bytes, float]]
    processes: list[bytes]
    ids: list[bytes]


@dataclass(frozen=True, slots=True)
class _Raw:
    """The answers to what `_ask` asks of one queue, in the same order."""

    alive: int
    due: int
    active: int
    expired: int
    dead: int
    parked: int
    paused: int
    stats: list[bytes | None]


async def read(redis: Any, queues: Sequence[str], strays: Sequence[str] = ()) -> Reading:
    """Read `queues`, strays and the server itself. Raises what redis-py raises; the caller sets a deadline."""
    every = (*queues, *strays)
    keys = [QueueKeys.of(queue_key(queue)) for queue in every]
    now, names = await _names(redis, keys)
    # All that is counted is of one moment.
    pipe = redis.pipeline(transaction=True)
    pipe.info()
    for one in keys:
        _ask(pipe, one, now)
    shapes = [_ask_by_name(pipe, one, of_it) for one, of_it in zip(keys, names, strict=True)]
    facts, *answers = await pipe.execute()
    width = len(fields(_Raw))
    raws = [_Raw(*answers[place * width : (place + 1) * width]) for place in range(len(keys))]
    rest = iter(answers[len(keys) * width :])
    details = ([value for _ in range(count) for value in next(rest)] for shape in shapes for count in shape)
    found = {
        queue: _reading(raw, of_it, now, details)
        for queue, raw, of_it in zip(every, raws, names, strict=True)
    }
    return Reading(
        now / 1000,
        {queue: found[queue] for queue in queues},
        Facts.of(facts),
        {queue: found[queue] for queue in strays},
    )


async def _names(redis: Any, keys: Sequence[QueueKeys]) -> tuple[int, list[_Names]]:
    """Return the server's time in milliseconds, and what each queue is then asked for by name."""
    pipe = redis.pipeline(transaction=True)
    pipe.time()
    for one in keys:
        pipe.zrange(one.queue, 0, _HEADS - 1, withscores=True)
        pipe.smembers(one.workers)
        # At most as many jobs as the fleet has slots.
        pipe.zrange(one.active, 0, -1)
    clock, *found = await pipe.execute()
    now = ms_of(clock)
    return now, [
        _Names([head for head in heads if head[1] <= now], sorted(processes), ids)
        for heads, processes, ids in zip(found[::3], found[1::3], found[2::3], strict=True)
    ]


def _ask(pipe: Any, keys: QueueKeys, now: int) -> None:
    pipe.zcard(keys.queue)
    pipe.zcount(keys.queue, "-inf", now)
    pipe.zcard(keys.active)
    pipe.zcount(keys.active, "-inf", now)
    pipe.zcard(keys.dead)
    pipe.zcount(keys.parked, f"({now}", "+inf")
    pipe.exists(keys.paused)
    pipe.hmget(keys.stats, "ended", "busy")


def _ask_by_name(pipe: Any, keys: QueueKeys, names: _Names) -> tuple[int, int, int]:
    """Ask for heartbeats, in-progress keys of the oldest due jobs and entries of running ones; return how often."""
    held = [IN_PROGRESS.encode() + job_id for job_id, _ in names.heads]
    for wanted in (beat_keys(keys, names.processes), held):
        if wanted:
            pipe.mget(wanted)
    chunks = [names.ids[start : start + _CHUNK] for start in range(0, len(names.ids), _CHUNK)]
    for chunk in chunks:
        pipe.hmget(keys.runs, chunk)
    return int(bool(names.processes)), int(bool(held)), len(chunks)


def _reading(raw: _Raw, names: _Names, now: int, details: Iterator[list[bytes | None]]) -> QueueReading:
    beats, held, entries = next(details), next(details), next(details)
    # A claim whose lease has ended is among the due jobs, until the next step takes it back.
    ready = max(0, raw.due - raw.expired)
    ages = [(now - started) / 1000 for started in map(claimed_at, entries) if started is not None]
    ended, busy = map(_figure, raw.stats)
    return QueueReading(
        states=_states(raw, ready),
        ready=ready,
        latency=_latency(names, held, now) if ready else 0.0,
        oldest_active=max([0.0, *ages]),
        mean_active=sum(ages) / len(ages) if ages else 0.0,
        paused=bool(raw.paused),
        ended=ended or 0,
        busy=(busy or 0) / 1000,
        beats=tuple(_beats(names, beats)),
        unreadable="stats" if ended is None or busy is None else "",
    )


def _states(raw: _Raw, ready: int) -> dict[State, int]:
    return {
        State.WAITING: ready + raw.parked,
        State.DELAYED: max(0, raw.alive - raw.due - (raw.active - raw.expired) - raw.parked),
        State.ACTIVE: raw.active,
        State.DEAD: raw.dead,
    }


def _beats(names: _Names, values: Sequence[bytes | None]) -> Iterator[Beat]:
    for name, value in zip(names.processes, values, strict=True):
        if value is not None and (beat := Beat.read(name.decode("utf-8", "replace"), value)):
            yield beat


def _latency(names: _Names, held: Sequence[bytes | None], now: int) -> float:
    free = [score for (_, score), holder in zip(names.heads, held, strict=True) if holder is None]
    return max(0.0, (now - free[0]) / 1000) if free else 0.0


def _figure(value: bytes | None) -> int | None:
    """Return a count as the scripts keep it; None for what cannot be one."""
    try:
        return int(value or 0)
    except ValueError:
        return None


def claimed_at(entry: bytes | None) -> int | None:
    """Return when a claim was made, in milliseconds; None where the entry is not, or no longer, a claim's."""
    if entry is None or entry.startswith(b"-"):
        return None
    try:
        return int(entry.split(b" ")[2])
    except (ValueError, IndexError):
        return None
