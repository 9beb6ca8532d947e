"""Reads what the fleet's gauges show: two round trips for all queues, and no command that grows with what waits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rota.fleet.heartbeat import Beat, beat_keys
from rota.model.state import State
from rota.server.check import Facts
from rota.wire.keys import IN_PROGRESS, QueueKeys, queue_key

#: The oldest of so many due jobs is told; a stock worker's running jobs stand among them, and are passed over.
_HEADS = 50
#: Run entries asked for at once.
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class QueueReading:
    """One queue at a moment; times in seconds.

    `ready` jobs wait for a slot and for nothing else; waiting ones are these and those that a limit keeps back.
    `latency` is the age of the oldest ready one, `oldest_active` of the execution that runs longest. `ended` and `busy`
    count since ever: executions, and their slot-seconds.
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

    def workers(self, status: str) -> int:
        """Processes of this status that serve the queue."""
        return sum(beat.status == status for beat in self.beats)

    @property
    def slots(self) -> int:
        """Of workers that claim."""
        return sum(beat.slots for beat in self.beats if beat.status == "running")

    @property
    def slots_busy(self) -> int:
        """Of all workers, those that drain too."""
        return sum(beat.busy for beat in self.beats)


@dataclass(frozen=True, slots=True)
class Reading:
    """The fleet at a moment of the server's clock, seconds."""

    at: float
    queues: dict[str, QueueReading]
    server: Facts


@dataclass(slots=True)
class _Raw:
    alive: int
    due: int
    active: int
    expired: int
    dead: int
    parked: int
    heads: list[tuple[bytes, float]]
    paused: int
    stats: list[bytes | None]
    processes: set[bytes]
    ids: list[bytes]
    names: list[bytes] = field(default_factory=list)


async def read(redis: Any, queues: Sequence[str]) -> Reading:
    """The reading of `queues` and of the server itself. Raises what redis-py raises; its caller sets a deadline."""
    keys = [QueueKeys.of(queue_key(queue)) for queue in queues]
    seconds, micros = await redis.time()
    now = seconds * 1000 + micros // 1000
    pipe = redis.pipeline(transaction=True)
    pipe.info()
    for one in keys:
        _ask(pipe, one, now)
    facts, *answers = await pipe.execute()
    width = len(answers) // len(keys) if keys else 0
    raws = [_Raw(*answers[index * width : (index + 1) * width]) for index in range(len(keys))]
    details = iter(await _details(redis, keys, raws))
    found = {queue: _reading(raw, now, details) for queue, raw in zip(queues, raws, strict=True)}
    return Reading(now / 1000, found, Facts.of(facts))


def _ask(pipe: Any, keys: QueueKeys, now: int) -> None:
    pipe.zcard(keys.queue)
    pipe.zcount(keys.queue, "-inf", now)
    pipe.zcard(keys.active)
    pipe.zcount(keys.active, "-inf", now)
    pipe.zcard(keys.dead)
    pipe.zcount(keys.parked, f"({now}", "+inf")
    pipe.zrangebyscore(keys.queue, "-inf", now, start=0, num=_HEADS, withscores=True)
    pipe.exists(keys.paused)
    pipe.hmget(keys.stats, "ended", "busy")
    pipe.smembers(keys.workers)
    # As many as the fleet has slots, whatever waits.
    pipe.zrange(keys.active, 0, -1)


async def _details(redis: Any, keys: Sequence[QueueKeys], raws: Sequence[_Raw]) -> list[list[bytes | None]]:
    """For each queue: its heartbeats, who holds its oldest due jobs, and the entries of what runs."""
    pipe = redis.pipeline(transaction=False)
    shapes: list[list[int]] = []
    for one, raw in zip(keys, raws, strict=True):
        raw.names = sorted(raw.processes)
        held = [IN_PROGRESS.encode() + job_id for job_id, _ in raw.heads]
        chunks = [raw.ids[start : start + _CHUNK] for start in range(0, len(raw.ids), _CHUNK)]
        for wanted in (beat_keys(one, raw.names), held):
            if wanted:
                pipe.mget(wanted)
        for chunk in chunks:
            pipe.hmget(one.runs, chunk)
        shapes.append([int(bool(raw.names)), int(bool(held)), len(chunks)])
    answers = iter(await pipe.execute())
    return [[value for _ in range(count) for value in next(answers)] for shape in shapes for count in shape]


def _reading(raw: _Raw, now: int, details: Iterator[list[bytes | None]]) -> QueueReading:
    beats, held, entries = next(details), next(details), next(details)
    # A claim whose lease has ended stands among the due ones, and is taken back with the next step.
    ready = max(0, raw.due - raw.expired)
    active = raw.active
    delayed = max(0, raw.alive - raw.due - (active - raw.expired) - raw.parked)
    ages = [(now - started) / 1000 for started in map(_started, entries) if started is not None]
    ended, busy = (int(value or 0) for value in raw.stats)
    return QueueReading(
        states={
            State.WAITING: ready + raw.parked,
            State.DELAYED: delayed,
            State.ACTIVE: active,
            State.DEAD: raw.dead,
        },
        ready=ready,
        latency=_latency(raw, held, now) if ready else 0.0,
        oldest_active=max([0.0, *ages]),
        mean_active=sum(ages) / len(ages) if ages else 0.0,
        paused=bool(raw.paused),
        ended=ended,
        busy=busy / 1000,
        beats=tuple(
            beat
            for name, value in zip(raw.names, beats, strict=True)
            if value is not None and (beat := Beat.read(name.decode("utf-8", "replace"), value))
        ),
    )


def _latency(raw: _Raw, held: Sequence[bytes | None], now: int) -> float:
    free = [score for (_, score), holder in zip(raw.heads, held, strict=True) if holder is None]
    return max(0.0, (now - free[0]) / 1000) if free else 0.0


def _started(entry: bytes | None) -> int | None:
    """When a claim was made, ms; None for what is no claim any more."""
    if entry is None or entry.startswith(b"-"):
        return None
    return int(entry.split(b" ")[2])
