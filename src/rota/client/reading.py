"""What Redis holds of a job, as a look at the job shows it; what another program wrote there is passed over."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rota.errors import JobError, RefusedPayload, UnreadablePayload
from rota.model.info import Failure, JobInfo
from rota.model.policies.terms import tenant_in
from rota.model.state import State
from rota.model.trace import tenant_of
from rota.wire import envelopes, results
from rota.wire.claims import Checkpoint, progress_of
from rota.wire.keys import queue_key
from rota.wire.sealing.sealed import unseal_job, unseal_record
from rota.wire.sealing.seals import Sealer

#: A failed attempt as it lies in Redis: its number, the time in milliseconds, its error.
_FAILURE = re.compile(rb"(\d{1,9}) (\d{1,14}) (.*)")


@dataclass(frozen=True, slots=True)
class Raw:
    """The values that Redis holds of one job, in the order in which `rota.client.view` asks for them.

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


#: The number of these values.
WIDTH = len(fields(Raw))


def info_of(job_id: str, queue: str, raw: Raw, now: int, sealer: Sealer | None = None) -> JobInfo | None:
    """Return what a look at a job shows, or None for a job that Redis does not hold.

    `now` is the server's, in ms. `sealer` opens what is sealed.
    """
    if raw.score is not None:
        return _live(job_id, queue, raw, raw.score, now=now, sealer=sealer)
    finished = _finished(job_id, queue, raw.result, sealer) if raw.result is not None else None
    # A record that is not a failure belongs to a later job, which was given the letter's id again.
    if raw.letter and (finished is None or finished.state is State.DEAD):
        return letter_of(job_id, queue, raw.letter, sealer)
    return finished


def _live(job_id: str, queue: str, raw: Raw, score: float, *, now: int, sealer: Sealer | None) -> JobInfo:
    contents = _contents(job_id, queue, raw.payload, sealer)
    active = raw.deadline is not None or bool(raw.held)
    waits = score <= now or raw.parked is not None
    state = State.ACTIVE if active else State.WAITING if waits else State.DELAYED
    percent, message = progress_of(raw.progress)
    started = raw.run.split()[2:3] if raw.run and active else []
    # The service counts an attempt when it ends: one that runs counts besides.
    uncounted = active and not counts_itself(raw.run)
    # What is kept of attempts without a counter of attempts is of a former job of the same id.
    failures = () if raw.attempts is None else _failures(raw.failures)
    return JobInfo(
        job_id,
        queue,
        state,
        contents.task,
        attempts=_figure(raw.attempts) + uncounted,
        percent=percent,
        message=message,
        enqueued_at=contents.enqueued_at,
        due_at=None if active else time_of(score),
        started_at=time_of(_figure(started[0])) if started else None,
        error=failures[-1].error if failures else None,
        snoozes=_figure(raw.snoozes),
        payload=contents.arguments,
        refused=contents.refused,
        # So is a checkpoint, until the claim of a new one has deleted it.
        checkpoint=_checkpoint(raw.checkpoint) if uncounted or raw.attempts is not None else None,
        failures=failures,
        tenant=contents.tenant,
        worker=worker_in(raw.run) if active else "",
    )


def counts_itself(entry: bytes | None) -> bool:
    """Tell whether the counter has the attempt that runs: with arq's contract, and on a stock worker."""
    token = (entry or b"-").partition(b" ")[0].partition(b"!")[0]
    return token == b"" or token.startswith(b"-") or token.endswith(b"+")


def worker_in(entry: bytes | None) -> str:
    """Return the worker that a run entry names; empty for a job that no worker of ours has."""
    token = (entry or b"").decode("utf-8", "replace").partition(" ")[0].partition("!")[0]
    return "" if token.startswith("-") else token.rpartition(":")[0].rpartition(":")[0].rpartition(":")[0]


def letter_of(
    job_id: str, queue: str, letter: Mapping[bytes, bytes], sealer: Sealer | None = None
) -> JobInfo:
    """Return what a look at a dead letter shows; a field that was lost is empty. `sealer` opens what is sealed."""
    contents = _contents(job_id, queue, letter.get(b"payload"), sealer)
    return JobInfo(
        job_id,
        queue,
        State.DEAD,
        letter.get(b"task", b"").decode("utf-8", "replace") or contents.task,
        attempts=_figure(letter.get(b"attempt")),
        enqueued_at=contents.enqueued_at,
        finished_at=time_of(_figure(letter.get(b"at"))),
        error=results.error_of(letter.get(b"error", b"")),
        reason=letter.get(b"reason", b"").decode("utf-8", "replace"),
        payload=contents.arguments,
        refused=contents.refused,
        checkpoint=_checkpoint(letter.get(b"checkpoint")),
        failures=_failures(letter.get(b"attempts")),
        # A letter may be without a payload, which had expired before the job died.
        tenant=contents.tenant or tenant_in(letter.get(b"terms", b"").decode("utf-8", "replace")),
    )


def _finished(job_id: str, queue: str, raw: bytes, sealer: Sealer | None) -> JobInfo | None:
    refused = None
    try:
        raw = unseal_record(sealer, raw, queue=queue, job_id=job_id)
    except RefusedPayload as error:
        refused = error
        if not error.needs_key:
            return _forged(job_id, queue, error)
    try:
        record = results.decode_result(raw)
    except UnreadablePayload:
        return None
    if record.queue not in ("", queue_key(queue)):
        return None  # the key of a record has no queue in it, and this job was on another one
    if record.is_encrypted and refused is None:
        refused = RefusedPayload("sealed")
    done = State.COMPLETED if record.success else State.CANCELLED if record.cancelled else State.DEAD
    return JobInfo(
        job_id,
        queue,
        done,
        record.name,
        attempts=record.attempt,
        percent=100.0 if record.success else None,
        enqueued_at=time_of(record.enqueued_ms),
        started_at=time_of(record.started_ms),
        finished_at=time_of(record.finished_ms),
        result=record.result,
        error=record.error,
        reason=record.reason,
        payload=None if refused else record.kwargs,
        refused=refused,
        tenant=record.tenant,
    )


def _forged(job_id: str, queue: str, error: RefusedPayload) -> JobInfo:
    """Return what is shown of a job that is over, and whose record nobody with a key has written."""
    told = JobError(f"rota.errors.{type(error).__name__}", str(error))
    return JobInfo(job_id, queue, State.DEAD, error=told, reason=error.reason, refused=error)


class _Contents(NamedTuple):
    """The parts of a payload that are shown; nothing of one that is missing, or cannot be read."""

    task: str = ""
    enqueued_at: datetime | None = None
    arguments: dict[str, Any] | None = None
    tenant: str | None = None
    refused: RefusedPayload | None = None


def _contents(job_id: str, queue: str, payload: bytes | None, sealer: Sealer | None) -> _Contents:
    if payload is None:
        return _Contents()
    try:
        envelope = envelopes.decode_job(unseal_job(sealer, payload, queue=queue, job_id=job_id))
    except RefusedPayload as error:
        return _sealed(payload, error)
    except UnreadablePayload:
        return _Contents()
    return _Contents(
        envelope.name, time_of(envelope.enqueued_ms), envelope.kwargs, tenant_of(envelope.headers)
    )


def _sealed(payload: bytes, error: RefusedPayload) -> _Contents:
    """Return what stands open of a payload that others can read; nothing of one that nobody is to trust."""
    if not error.needs_key:
        return _Contents(refused=error)
    try:
        envelope = envelopes.outlined(payload)
    except UnreadablePayload:
        return _Contents(refused=error)
    tenant = tenant_of(envelope.headers)
    return _Contents(envelope.name, time_of(envelope.enqueued_ms), tenant=tenant, refused=error)


def _checkpoint(raw: bytes | None) -> Any:
    """Return the state in a checkpoint as it lies in Redis, or None where there is none that can be read."""
    try:
        return Checkpoint.read(raw).value
    except ValueError:
        return None


def _failures(raw: bytes | None) -> tuple[Failure, ...]:
    """Return the failed attempts that lie in Redis, but for lines that cannot be read."""
    failures = []
    for line in (raw or b"").split(b"\n"):
        if (found := _FAILURE.fullmatch(line)) and (at := time_of(_figure(found[2]))):
            failures.append(Failure(_figure(found[1]), at, results.error_of(found[3])))
    return tuple(failures)


def _figure(raw: bytes | None) -> int:
    """Return a count or a time as it lies in Redis; 0 for what is none."""
    try:
        return int(raw or 0)
    except ValueError:
        return 0


def time_of(ms: float) -> datetime | None:
    """Return a time of the server's clock; None for one that no calendar has, as another program may have written."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
