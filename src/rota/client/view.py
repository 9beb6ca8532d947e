"""What Redis holds of jobs, read without changing anything: one job, or a page of a queue."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from rota.errors import UnreadablePayload
from rota.model.info import JobInfo
from rota.model.state import State
from rota.wire import envelopes
from rota.wire.claims import Checkpoint, decode_id, encode_id
from rota.wire.keys import IN_PROGRESS, JOB, RESULT, RETRY, QueueKeys

#: Members read at a time while a page is filled.
_PAGE = 200


@dataclass(frozen=True, slots=True)
class _Raw:
    now: int
    result: bytes | None
    payload: bytes | None
    score: float | None
    deadline: float | None
    held: int
    attempts: bytes | None
    run: bytes | None
    progress: bytes | None
    parked: float | None
    checkpoint: bytes | None
    snoozes: bytes | None
    letter: dict[bytes, bytes]


async def find(
    redis: Any, queue: str, keys: QueueKeys, ids: Sequence[str], *, letters: bool = False
) -> list[JobInfo | None]:
    """Each job of `ids`, or None for one that Redis does not hold; one round trip.

    Of an id that was used again, the newest job; with `letters` the dead letter, if there is one.
    """
    pipe = redis.pipeline(transaction=True)
    pipe.time()
    for job_id in ids:
        member = encode_id(job_id)
        pipe.get(RESULT.encode() + member)
        pipe.get(JOB.encode() + member)
        pipe.zscore(keys.queue, member)
        pipe.zscore(keys.active, member)
        pipe.exists(IN_PROGRESS.encode() + member)
        pipe.get(RETRY.encode() + member)
        pipe.hget(keys.runs, member)
        pipe.hget(keys.progress, member)
        pipe.zscore(keys.parked, member)
        pipe.hget(keys.checkpoint, member)
        pipe.hget(keys.snoozes, member)
        pipe.hgetall(f"{keys.dead}:".encode() + member)
    (seconds, micros), *rows = await pipe.execute()
    now, width = seconds * 1000 + micros // 1000, 12
    found = []
    for index, job_id in enumerate(ids):
        raw = _Raw(now, *rows[index * width : (index + 1) * width])
        letter = letters and raw.letter
        found.append(_dead(job_id, queue, letter) if letter else _info(job_id, queue, raw))
    return found


async def page(
    redis: Any, queue: str, keys: QueueKeys, state: State, *, offset: int, limit: int
) -> list[JobInfo]:
    """A page of the jobs in `state`, in the order in which they come up (dead ones: newest first)."""
    ids = await _ids(redis, keys, state, offset, limit)
    found = await find(redis, queue, keys, ids, letters=state is State.DEAD) if ids else []
    return [info for info in found if info is not None]


async def counts(redis: Any, keys: QueueKeys) -> dict[State, int]:
    """How many jobs wait, are delayed, run, and are dead."""
    seconds, micros = await redis.time()
    now = seconds * 1000 + micros // 1000
    pipe = redis.pipeline(transaction=True)
    pipe.zcard(keys.queue)
    pipe.zcount(keys.queue, "-inf", now)
    pipe.zcard(keys.active)
    pipe.zcard(keys.dead)
    pipe.zcount(keys.parked, f"({now}", "+inf")
    alive, ready, active, dead, parked = await pipe.execute()
    return {
        State.WAITING: ready + parked,
        State.DELAYED: max(0, alive - ready - active - parked),
        State.ACTIVE: active,
        State.DEAD: dead,
    }


async def _ids(redis: Any, keys: QueueKeys, state: State, offset: int, limit: int) -> list[str]:
    if state is State.DEAD:
        return [decode_id(raw) for raw in await redis.zrevrange(keys.dead, offset, offset + limit - 1)]
    if state is State.ACTIVE:
        return [decode_id(raw) for raw in await redis.zrange(keys.active, offset, offset + limit - 1)]
    seconds, micros = await redis.time()
    now = seconds * 1000 + micros // 1000
    ids: list[str] = []
    if state is State.WAITING:
        ids = await _scored(redis, keys.queue, ("-inf", f"{now}"), (keys.active,), offset + limit)
        more = offset + limit - len(ids)
        # Due, and kept back by a limit.
        ids += await _scored(redis, keys.parked, (f"({now}", "+inf"), (), more) if more > 0 else []
    else:
        # A claimed job is scored by its lease's deadline, a parked one by its turn: both among the delayed ones.
        others = (keys.active, keys.parked)
        ids = await _scored(redis, keys.queue, (f"({now}", "+inf"), others, offset + limit)
    return ids[offset : offset + limit]


async def _scored(
    redis: Any, key: str, scores: tuple[str, str], without: tuple[str, ...], most: int
) -> list[str]:
    """The first members of a sorted set that are in none of `without`."""
    ids: list[str] = []
    start = 0
    while len(ids) < most:
        members = await redis.zrangebyscore(key, *scores, start=start, num=_PAGE)
        if not members:
            break
        start += len(members)
        elsewhere = [
            await cast(Awaitable[list[float | None]], redis.zmscore(other, members)) for other in without
        ]
        ids += [
            decode_id(raw)
            for index, raw in enumerate(members)
            if all(found[index] is None for found in elsewhere)
        ]
    return ids[:most]


def _info(job_id: str, queue: str, raw: _Raw) -> JobInfo | None:
    if raw.score is not None:
        return _live(job_id, queue, raw, raw.score)
    finished = _finished(job_id, queue, raw.result) if raw.result is not None else None
    # A record that is no failure is of a later job, which had the letter's id again.
    if raw.letter and (finished is None or finished.state is State.DEAD):
        return _dead(job_id, queue, raw.letter)
    return finished


def _live(job_id: str, queue: str, raw: _Raw, score: float) -> JobInfo:
    task, enqueued_at, payload = _contents(raw.payload)
    active = raw.deadline is not None or bool(raw.held)
    waits = score <= raw.now or raw.parked is not None
    state = State.ACTIVE if active else State.WAITING if waits else State.DELAYED
    percent, message = _progress(raw.progress)
    started = raw.run.split() if raw.run and active else []
    return JobInfo(
        job_id,
        queue,
        state,
        task,
        attempts=int(raw.attempts or 0),
        percent=percent,
        message=message,
        enqueued_at=enqueued_at,
        due_at=None if active else _time(int(score)),
        started_at=_time(int(started[2])) if started else None,
        snoozes=int(raw.snoozes or 0),
        payload=payload,
        # Without a counter it is a former job's of the same id.
        checkpoint=None if raw.attempts is None else read_checkpoint(raw.checkpoint),
    )


def _dead(job_id: str, queue: str, letter: dict[bytes, bytes]) -> JobInfo:
    task, enqueued_at, payload = _contents(letter.get(b"payload"))
    return JobInfo(
        job_id,
        queue,
        State.DEAD,
        letter[b"task"].decode("utf-8", "replace") or task,
        attempts=int(letter[b"attempt"]),
        enqueued_at=enqueued_at,
        finished_at=_time(int(letter[b"at"])),
        error=envelopes.error_of(letter[b"error"]),
        reason=letter[b"reason"].decode(),
        payload=payload,
        checkpoint=read_checkpoint(letter.get(b"checkpoint")),
    )


def _finished(job_id: str, queue: str, raw: bytes) -> JobInfo | None:
    try:
        record = envelopes.decode_result(raw)
    except UnreadablePayload:
        return None
    done = State.COMPLETED if record.success else State.CANCELLED if record.cancelled else State.DEAD
    return JobInfo(
        job_id,
        queue,
        done,
        record.name,
        attempts=record.attempt,
        percent=100.0 if record.success else None,
        enqueued_at=_time(record.enqueued_ms),
        started_at=_time(record.started_ms),
        finished_at=_time(record.finished_ms),
        result=record.result,
        error=record.error,
        reason=record.reason,
        payload=record.kwargs,
    )


def _contents(payload: bytes | None) -> tuple[str, datetime | None, dict[str, Any] | None]:
    if payload is None:
        return "", None, None
    try:
        envelope = envelopes.decode_job(payload)
    except UnreadablePayload:
        return "", None, None
    return envelope.name, _time(envelope.enqueued_ms), envelope.kwargs


def _progress(raw: bytes | None) -> tuple[float | None, str]:
    if raw is None:
        return None, ""
    percent, _, message = raw.decode("utf-8", "replace").partition(" ")
    return float(percent), message


def read_checkpoint(raw: bytes | None) -> Any:
    """The state in a checkpoint as it lies in Redis; None where there is none, or none that can be read."""
    try:
        return Checkpoint.read(raw).value
    except ValueError:
        return None


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
