"""Jobs as Redis holds them, read without changing anything: by their ids, or a page of a queue."""

import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, cast

from rota.errors import UnreadablePayload
from rota.model.info import Failure, JobInfo
from rota.model.state import State
from rota.names import ids_of
from rota.wire import envelopes
from rota.wire.claims import Checkpoint, decode_id, encode_id
from rota.wire.keys import IN_PROGRESS, JOB, RESULT, RETRY, QueueKeys, queue_key

#: The number of members that are read at a time while a page is filled.
_PAGE = 200
#: A failed attempt as it lies in Redis: its number, the time in milliseconds, its error.
_FAILURE = re.compile(rb"(\d{1,9}) (\d{1,14}) (.*)")


@dataclass(frozen=True, slots=True)
class _Raw:
    """The values that Redis holds of one job, in the order in which `_ask` asks for it.

    :param score: in the queue's set: when the job is due, or its lease's deadline.
    :param deadline: in the set of claimed jobs.
    :param held: 1 while a stock worker has the job.
    :param run: the claim that runs, or the memory of the last one.
    :param parked: the turn of a job that a limit keeps back.
    """

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
    failures: bytes | None
    letter: dict[bytes, bytes]


_WIDTH = len(fields(_Raw))


async def find(
    redis: Any, queue: str, keys: QueueKeys, ids: Sequence[str], *, letters: bool = False
) -> list[JobInfo | None]:
    """Return each job of `ids`, or None for a job that Redis does not hold; in one round trip.

    Of an id that was used again the newest job is returned; with `letters`, the dead letter, if there is one.
    """
    pipe = redis.pipeline(transaction=True)
    pipe.time()
    for job_id in ids:
        _ask(pipe, keys, encode_id(job_id))
    (seconds, micros), *replies = await pipe.execute()
    now = seconds * 1000 + micros // 1000
    found = []
    for index, job_id in enumerate(ids):
        raw = _Raw(*replies[index * _WIDTH : (index + 1) * _WIDTH])
        is_letter = letters and raw.letter
        found.append(_dead(job_id, queue, raw.letter) if is_letter else _info(job_id, queue, raw, now))
    return found


async def find_given(redis: Any, queue: str, job_id: str) -> JobInfo | None:
    """Return the job of an id in Redis, or of one that its user gave; None for a job that Redis does not hold."""
    found = await find(redis, queue, QueueKeys.of(queue_key(queue)), ids_of(queue, job_id))
    return next(filter(None, found), None)


async def page(
    redis: Any, queue: str, keys: QueueKeys, state: State, *, offset: int, limit: int
) -> list[JobInfo]:
    """Return a page of the jobs in `state`, in the order in which they are due; dead ones newest first."""
    ids = await _ids(redis, keys, state, offset, limit)
    found = await find(redis, queue, keys, ids, letters=state is State.DEAD) if ids else []
    return [info for info in found if info is not None]


async def counts(redis: Any, keys: QueueKeys) -> dict[State, int]:
    """Return how many jobs are waiting, delayed, active and dead."""
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


async def workers(redis: Any, keys: QueueKeys) -> int:
    """Return how many processes serve the queue, by their heartbeats."""
    names = await redis.smembers(keys.workers)
    return int(await redis.exists(*(f"{keys.worker}:".encode() + name for name in names))) if names else 0


def _ask(pipe: Any, keys: QueueKeys, member: bytes) -> None:
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
    pipe.hget(keys.attempts, member)
    pipe.hgetall(f"{keys.dead}:".encode() + member)


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
        # Parked jobs are due as well; a limit keeps them back until their turn.
        ids += await _scored(redis, keys.parked, (f"({now}", "+inf"), (), more) if more > 0 else []
    else:
        # The scores of claimed jobs (their lease's deadline) and of parked ones (their turn) look like delayed jobs'.
        others = (keys.active, keys.parked)
        ids = await _scored(redis, keys.queue, (f"({now}", "+inf"), others, offset + limit)
    return ids[offset : offset + limit]


async def _scored(
    redis: Any, key: str, scores: tuple[str, str], without: tuple[str, ...], most: int
) -> list[str]:
    """Return the first `most` members of a sorted set, within `scores`, that are in none of the sets `without`."""
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


def _info(job_id: str, queue: str, raw: _Raw, now: int) -> JobInfo | None:
    if raw.score is not None:
        return _live(job_id, queue, raw, raw.score, now)
    finished = _finished(job_id, queue, raw.result) if raw.result is not None else None
    # A record that is not a failure belongs to a later job, which was given the letter's id again.
    if raw.letter and (finished is None or finished.state is State.DEAD):
        return _dead(job_id, queue, raw.letter)
    return finished


def _live(job_id: str, queue: str, raw: _Raw, score: float, now: int) -> JobInfo:
    task, enqueued_at, payload = _contents(raw.payload)
    active = raw.deadline is not None or bool(raw.held)
    waits = score <= now or raw.parked is not None
    state = State.ACTIVE if active else State.WAITING if waits else State.DELAYED
    percent, message = _progress(raw.progress)
    started = raw.run.split()[2:3] if raw.run and active else []
    # What is kept of attempts without a counter of attempts is of a former job of the same id.
    failures = () if raw.attempts is None else read_failures(raw.failures)
    return JobInfo(
        job_id,
        queue,
        state,
        task,
        attempts=_figure(raw.attempts),
        percent=percent,
        message=message,
        enqueued_at=enqueued_at,
        due_at=None if active else _time(score),
        started_at=_time(_figure(started[0])) if started else None,
        error=failures[-1].error if failures else None,
        snoozes=_figure(raw.snoozes),
        payload=payload,
        # So is a checkpoint.
        checkpoint=None if raw.attempts is None else read_checkpoint(raw.checkpoint),
        failures=failures,
    )


def _dead(job_id: str, queue: str, letter: dict[bytes, bytes]) -> JobInfo:
    task, enqueued_at, payload = _contents(letter.get(b"payload"))
    return JobInfo(
        job_id,
        queue,
        State.DEAD,
        letter.get(b"task", b"").decode("utf-8", "replace") or task,
        attempts=_figure(letter.get(b"attempt")),
        enqueued_at=enqueued_at,
        finished_at=_time(_figure(letter.get(b"at"))),
        error=envelopes.error_of(letter.get(b"error", b"")),
        reason=letter.get(b"reason", b"").decode("utf-8", "replace"),
        payload=payload,
        checkpoint=read_checkpoint(letter.get(b"checkpoint")),
        failures=read_failures(letter.get(b"attempts")),
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
    try:
        return float(percent), message
    except ValueError:
        return None, message


def read_checkpoint(raw: bytes | None) -> Any:
    """Return the state in a checkpoint as it lies in Redis, or None where there is none that can be read."""
    try:
        return Checkpoint.read(raw).value
    except ValueError:
        return None


def read_failures(raw: bytes | None) -> tuple[Failure, ...]:
    """Return the failed attempts that lie in Redis, but for lines that cannot be read."""
    failures = []
    for line in (raw or b"").split(b"\n"):
        if (found := _FAILURE.fullmatch(line)) and (at := _time(_figure(found[2]))):
            failures.append(Failure(_figure(found[1]), at, envelopes.error_of(found[3])))
    return tuple(failures)


def _figure(raw: bytes | None) -> int:
    """Return a count or a time as it lies in Redis; 0 for what is none."""
    try:
        return int(raw or 0)
    except ValueError:
        return 0


def _time(ms: float) -> datetime | None:
    """Return a time of the server's clock; None for one that no calendar has, as another program may have written."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
