"""Records of events, folded: of each job that they tell of, what they change of its row in the audit table.

They either begin the row, which then holds nothing of before, or go on with it: only the columns that are named change.
The order of the records is that of the stream, and the last one decides.

    enqueued      the row begins: PENDING
      replaced    the same: what was enqueued before never runs, and its attempts do not count
      replayed    goes on: PENDING again, with no attempt and nothing of the end
      rescheduled goes on: due at another time
    started       goes on: RUNNING. A stock client's job begins with its first attempt, since nobody told of its enqueue
    progress      goes on: how far it is
    retried, snoozed, interrupted, lost        goes on: PENDING
    completed, dead, cancelled                 goes on: COMPLETED, FAILED, CANCELLED

Runs of pipelines and batches as a whole have no queue and no row.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rota.errors import JobError
from rota.errors.causes import cause_of
from rota.model.audit import columns
from rota.model.event import EventType
from rota.wire.events import Record
from rota.wire.results import begun_error_of, error_of
from rota.wire.sealing.values import unsigned

PENDING, RUNNING, COMPLETED, FAILED, CANCELLED = "PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"
#: The reason of a job that is not in Redis any more, and of whose end nothing was told.
VANISHED = "vanished"

_NEVER = datetime.fromtimestamp(0, UTC)
_OPEN = dict.fromkeys(("finished_at", "reason", "result", "progress", "message"))

#: A row, or the columns of it that change, by name.
Row = dict[str, Any]


def fold(records: Iterable[Record]) -> list[Row]:
    """Return what records change: one row a job, in the order in which the jobs appear first.

    A row has its `id`, `event` (the position of its last record, in a fixed width that sorts as the stream does),
    `queue`, `name` (empty where no record has it) and `status`, and the columns that change; all columns if it begins.
    """
    rows: dict[str, Row] = {}
    last, place, at = "", "", _NEVER
    for record in records:
        apply = _APPLY.get(record.type)
        if apply is None or not record.queue:
            continue
        entry, _, index = record.position.partition(".")
        if entry != last:
            last, place, at = entry, columns.entry_place_of(entry), columns.moment_of(entry)
        row = rows.get(record.id)
        if row is None:
            row = rows[record.id] = {"id": record.id, "name": ""}
        apply(row, record, at)
        row["event"], row["queue"] = f"{place}.{index:0>5}", record.queue
        if record.task:
            row["name"] = record.task
        if record.log is not None:
            row["log"] = columns.log_of(record.log)
    return list(rows.values())


def _set_payload(row: Row, record: Record) -> None:
    if record.payload is not None:
        row["payload"] = columns.text_of(record.payload)
        row["tenant"] = columns.tenant_of(record.payload)
    # The script knows it of the terms, also where records are without payloads.
    if tenant := columns.plain(record.extras.get("tenant")):
        row["tenant"] = tenant


def _set_flow(row: Row, extras: Mapping[str, Any]) -> None:
    # The terms name a place in a flow, `<flow>|<stage>|<item>`.
    flow = columns.plain(extras.get("flow"))
    if flow is not None:
        row["flow"] = flow.partition("|")[0]


def _set_due(row: Row, extras: Mapping[str, Any]) -> None:
    due = columns.time_of(extras.get("due"))
    if due is not None:
        row["due_at"] = due


def _enqueued(row: Row, record: Record, at: datetime) -> None:
    extras = record.extras
    reason = extras.get("reason")
    if reason not in ("replayed", "rescheduled"):
        row.update(columns.BLANK)
        row["enqueued_at"] = at
    elif reason == "replayed":
        row.update(_OPEN, attempts=0, error=None, error_key=None)
    row["status"] = PENDING
    _set_payload(row, record)
    _set_flow(row, extras)
    _set_due(row, extras)


def _started(row: Row, record: Record, at: datetime) -> None:
    extras = record.extras
    if record.payload is not None:
        if record.attempt <= 1:
            row.update(columns.BLANK)
        row["enqueued_at"] = columns.enqueued_at(record.payload) or at
        _set_payload(row, record)
    row.update(_OPEN)
    row["status"] = RUNNING
    row["attempts"] = record.attempt
    row["started_at"] = at
    row["worker"] = columns.plain(extras.get("worker"))
    row["version"] = record.version or None
    _set_flow(row, extras)
    _set_due(row, extras)


def _progressed(row: Row, record: Record, at: datetime) -> None:
    row["status"] = RUNNING
    row["progress"] = columns.number_of(record.extras.get("percent"))
    row["message"] = columns.plain(record.extras.get("message"))


def _put_back(row: Row, record: Record, at: datetime) -> None:
    # Also what a step that failed on the way may have told of an end that did not come to be.
    row.update(_OPEN, status=PENDING)
    _set_due(row, record.extras)
    if record.type == EventType.RETRIED:
        row["attempts"] = record.attempt
        _set_error(row, record)
    elif record.attempt:
        # The attempt was not spent.
        row["attempts"] = record.attempt - 1


def _end(row: Row, record: Record, at: datetime, status: str) -> None:
    row["status"], row["finished_at"], row["attempts"] = status, at, record.attempt
    row["reason"], row["result"] = columns.plain(record.extras.get("reason")), None


def _completed(row: Row, record: Record, at: datetime) -> None:
    _end(row, record, at, COMPLETED)
    row["progress"], row["error"], row["error_key"] = 100.0, None, None
    if record.detail is not None:
        row["result"] = columns.text_of(unsigned(record.detail))


def _dead(row: Row, record: Record, at: datetime) -> None:
    _end(row, record, at, FAILED)
    if record.version:
        # Many of these never started: nobody could read them, or they had been lost too often.
        row["version"] = record.version
    _set_error(row, record)


def _cancelled(row: Row, record: Record, at: datetime) -> None:
    _end(row, record, at, CANCELLED)
    row |= {"error": None, "error_key": None}
    if row["reason"] is None and (error := _error_of(record)) is not None:
        row["reason"] = columns.plain(error.message)


def _set_error(row: Row, record: Record) -> None:
    error = _error_of(record)
    if error is None:
        row |= {"error": None, "error_key": None}
    else:
        row |= {"error": columns.told(error), "error_key": cause_of(error, error.type)}


def _error_of(record: Record) -> JobError | None:
    """Return the error that a record has: whole, or its beginning where the whole was left out."""
    if record.detail:
        return error_of(record.detail)
    begun = record.extras.get("detail")
    return begun_error_of(begun.encode("utf-8", "replace")) if isinstance(begun, str) and begun else None


_APPLY: dict[str, Callable[[Row, Record, datetime], None]] = {
    EventType.ENQUEUED: _enqueued,
    EventType.STARTED: _started,
    EventType.PROGRESS: _progressed,
    **dict.fromkeys((EventType.RETRIED, EventType.SNOOZED, EventType.INTERRUPTED, EventType.LOST), _put_back),
    EventType.COMPLETED: _completed,
    EventType.DEAD: _dead,
    EventType.CANCELLED: _cancelled,
}
