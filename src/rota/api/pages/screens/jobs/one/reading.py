"""A job as its page needs it: what Redis holds, in one round trip, and what the audit table knows beside that."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from rota.api import shapes
from rota.api.archive import Row
from rota.api.desk import Desk, caller_of, desk_of, known_queue, names_of
from rota.api.pages.frame import base_of
from rota.api.pages.screens.jobs.one.runs import Runs, runs_of
from rota.client.hands.closeup import Closeup, look
from rota.errors import JobError, JobNotFound, UnreadablePayload
from rota.errors.secrets import without_named
from rota.model.access.keys import AccessKey
from rota.model.info import JobInfo
from rota.server.faults import explained
from rota.store.faults import StoreError
from rota.wire import envelopes
from rota.wire.fields import members, shown

#: How long the audit table may let the page wait, in seconds: without it the page says less.
_PATIENCE = 2.0
#: A row of the table is of the same use of the id if it was enqueued at about the same time, in seconds.
_SAME = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A job as its page shows it.

    :param is_recorded: whether Redis has forgotten it, so that all is from the audit table.
    :param refused: why its payload or its result is not shown; empty where it is.
    :param flow: the run of a pipeline, or the batch, that it is part of.
    :param log: what it has logged as the table has it, of a job that Redis has forgotten.
    :param runs: how the last jobs of its name went; None without a table, while that is away, and before `with_runs`.
    :param is_table_away: whether the table could not be asked.
    """

    close: Closeup
    is_recorded: bool = False
    refused: str = ""
    flow: str = ""
    cause: str = ""
    log: str = ""
    runs: Runs | None = None
    is_table_away: bool = False


async def see(request: Request, queue: str, job_id: str) -> Seen:
    """Return a job from Redis, with what the audit table adds, or from that alone. Raises JobNotFound, ServerError."""
    desk, key = desk_of(request), caller_of(request)
    known_queue(queue)
    close, row = await asyncio.gather(close_up(desk, key, queue, job_id), _row(desk, key, queue, job_id))
    if close is None and isinstance(row, StoreError):
        raise row
    is_away = isinstance(row, StoreError)
    known = None if isinstance(row, StoreError) else row
    if close is not None:
        # How many jobs the others have is not for the key of a tenant.
        seen = _of_redis(close if key.tenant is None else replace(close, before=None), known)
    elif known is not None:
        seen = _of_row(known)
    else:
        raise JobNotFound(job_id)
    return replace(seen, close=_discreet(seen.close), is_table_away=is_away)


async def with_runs(request: Request, seen: Seen) -> Seen:
    """Return a job with how the last jobs of its name went, where the audit table says that in time."""
    desk, info = desk_of(request), seen.close.info
    if desk.archive is None or seen.is_table_away or not info.task:
        return seen
    try:
        async with asyncio.timeout(_PATIENCE):
            runs = await runs_of(desk.archive, base_of(request), info, caller_of(request).tenant)
    except (StoreError, TimeoutError):
        return replace(seen, is_table_away=True)
    return replace(seen, runs=runs)


def _discreet(close: Closeup) -> Closeup:
    """Return a job without what is named like a secret in its headers and its log; its texts keep theirs."""
    lines = tuple(replace(line, fields=without_named(line.fields)) for line in close.lines)
    return replace(close, headers=without_named(close.headers), lines=lines)


async def close_up(desk: Desk, key: AccessKey, queue: str, job_id: str) -> Closeup | None:
    """Return a job as Redis has it; None where Redis has none that the caller may see. Raises ServerError."""
    redis, names = desk.client.redis, names_of(key, job_id)
    async with explained(redis):
        return await look(redis, queue, names, desk.settings.sealer, sees=key.sees)


async def _row(desk: Desk, key: AccessKey, queue: str, job_id: str) -> Row | StoreError | None:
    if desk.archive is None:
        return None
    try:
        async with asyncio.timeout(_PATIENCE):
            for name in names_of(key, job_id):
                if row := await desk.archive.job(queue, name, tenant=key.tenant):
                    return row
    except StoreError as error:
        return error
    except TimeoutError:
        return StoreError("the database does not answer")
    return None


def _of_redis(close: Closeup, row: Row | None) -> Seen:
    info = close.info
    if row is not None and info.enqueued_at is not None:
        apart = abs((row["enqueued_at"] - info.enqueued_at).total_seconds())
        row = row if apart < _SAME else None
    known = {} if row is None else _known_of(row)
    is_started = row is not None and row["attempts"] == info.attempts
    close = replace(
        close,
        info=replace(
            info,
            started_at=info.started_at or (row["started_at"] if row is not None and is_started else None),
            due_at=info.due_at or (None if row is None else row["due_at"]),
        ),
        worker=close.worker or known.get("worker", ""),
        version=close.version or known.get("version", ""),
        headers=close.headers or known.get("headers", {}),
        options=close.options or known.get("options", {}),
    )
    flow = _flow_of(close.terms.get("w") or close.terms.get("f"))
    return Seen(
        close=close,
        refused="" if info.refused is None else str(info.refused),
        flow=flow or known.get("flow", ""),
        cause=info.error.cause if info.error else "",
    )


def _of_row(row: Row) -> Seen:
    """Return a job of which only its row is left."""
    known, percent = _known_of(row), row["progress"]
    kind, _, message = (row["error"] or "").partition(": ")
    info = JobInfo(
        row["id"],
        row["queue"],
        shapes.STATE[row["status"]],
        row["name"],
        attempts=row["attempts"],
        percent=percent,
        message=row["message"] or "",
        **{name: row[name] for name in ("enqueued_at", "due_at", "started_at", "finished_at", "tenant")},
        error=JobError(kind, message) if kind else None,
        reason=row["reason"] or "",
    )
    close = Closeup(
        info=info,
        now=datetime.now(UTC),
        result=shown(row["result"]),
        **{name: known[name] for name in ("arguments", "positional", "headers", "options")},
        worker=known["worker"],
        version=known["version"],
    )
    return Seen(
        close=close,
        is_recorded=True,
        refused=row.get("refused", ""),
        flow=known["flow"],
        cause=row["error_key"] or "",
        log=row["log"] or "",
    )


def _known_of(row: Row) -> dict[str, Any]:
    raw = (row["payload"] or "").encode("utf-8", "surrogateescape")
    found, headers, options = members(raw), dict[str, str](), dict[str, Any]()
    try:
        envelope = envelopes.decode_job(raw)
        headers, options = envelope.headers, envelope.options
        positional = shown(found.get("a")) if envelope.args else None
    except UnreadablePayload:
        positional = None
    return {
        "arguments": shown(found.get("k")),
        "positional": positional,
        "headers": headers,
        "options": options,
        "flow": _flow_of(row["flow"]),
        **{name: row[name] or "" for name in ("worker", "version")},
    }


def _flow_of(place: str | None) -> str:
    """Return the id of the flow that a term or a row names by its key in Redis."""
    return (place or "").partition("|")[0].rpartition(":flow:")[2]
