"""Records of events, folded: of each job that they tell of, one change of its row in the audit table.

A change either begins the row, which then holds nothing of before, or goes on with it: only the columns that it names
are changed. The order of the records is that of the stream, and the last one decides.

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

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rota.errors import JobError
from rota.model.audit import columns
from rota.model.event import EventType
from rota.wire.events import Record
from rota.wire.results import begun_error_of, error_of

PENDING, RUNNING, COMPLETED, FAILED, CANCELLED = "PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"
#: The reason of a job that is not in Redis any more, and of whose end nothing was told.
VANISHED = "vanished"

_OPEN = dict.fromkeys(("finished_at", "reason", "result", "progress", "message"))


@dataclass(slots=True)
class Change:
    """The change that a batch of records makes to one job's row.

    :param id: the id of the row.
    :param event: the position of the last record, in a fixed width that sorts as the stream does.
    :param begins: whether the row begins; `values` then has all columns.
    :param values: the columns that change, by name.
    :param defaults: columns for a row that is not there yet, though the job did not begin here.
    """

    id: str
    event: str = ""
    begins: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)


def fold(records: Iterable[Record]) -> list[Change]:
    """Return the changes that records make, one a job, in the order in which the jobs appear first."""
    changes: dict[str, Change] = {}
    for record in records:
        apply = _APPLY.get(record.type)
        if apply is None or not record.queue:
            continue
        place, at = columns.place_of(record.position)
        key = columns.key_of(record.id)
        change = changes.get(key)
        if change is None:
            change = changes[key] = Change(key)
        apply(change, record, at)
        change.event = place
        _name(change, record, at)
    return list(changes.values())


def _name(change: Change, record: Record, at: datetime) -> None:
    """Say whose row it is, which every event tells; a lost job's does not have its name."""
    change.values["queue"] = columns.plain(record.queue)
    if record.task:
        change.values["name"] = columns.plain(record.task)
    if not change.begins and not change.defaults:
        change.defaults = {"name": "", "attempts": 0, "enqueued_at": at}


def _begin(change: Change) -> None:
    change.begins = True
    change.values = dict(columns.BLANK)
    change.defaults = {}


def _set_payload(change: Change, record: Record) -> None:
    if record.payload is not None:
        change.values["payload"] = columns.text_of(record.payload)
        change.values["tenant"] = columns.tenant_of(record.payload)


def _set_flow(change: Change, record: Record) -> None:
    # The terms name a place in a flow, `<flow>|<stage>|<item>`.
    flow = columns.plain(record.extras.get("flow"))
    if flow is not None:
        change.values["flow"] = flow.partition("|")[0]


def _set_due(change: Change, record: Record) -> None:
    due = columns.time_of(record.extras.get("due"))
    if due is not None:
        change.values["due_at"] = due


def _enqueued(change: Change, record: Record, at: datetime) -> None:
    reason = record.extras.get("reason")
    if reason not in ("replayed", "rescheduled"):
        _begin(change)
        change.values["enqueued_at"] = at
    elif reason == "replayed":
        change.values |= _OPEN | {"attempts": 0, "error": None, "error_key": None}
    change.values["status"] = PENDING
    _set_payload(change, record)
    _set_flow(change, record)
    _set_due(change, record)


def _started(change: Change, record: Record, at: datetime) -> None:
    if record.payload is not None and record.attempt <= 1:
        _begin(change)
        change.values["enqueued_at"] = at
    if record.payload is not None:
        change.values["enqueued_at"] = columns.enqueued_at(record.payload) or at
    change.values |= _OPEN
    change.values["status"] = RUNNING
    change.values["attempts"] = columns.attempts_of(record.attempt)
    change.values["started_at"] = at
    change.values["worker"] = columns.plain(record.extras.get("worker"))
    _set_payload(change, record)
    _set_flow(change, record)
    _set_due(change, record)


def _progressed(change: Change, record: Record, at: datetime) -> None:
    change.values["status"] = RUNNING
    change.values["progress"] = columns.number_of(record.extras.get("percent"))
    change.values["message"] = columns.plain(record.extras.get("message"))


def _put_back(change: Change, record: Record, at: datetime) -> None:
    # Also what a step that failed on the way may have told of an end that did not come to be.
    change.values |= {"status": PENDING, **_OPEN}
    _set_due(change, record)
    if record.type == EventType.RETRIED:
        change.values["attempts"] = columns.attempts_of(record.attempt)
        _set_error(change, record)
    elif record.attempt:
        # The attempt was not spent.
        change.values["attempts"] = columns.attempts_of(record.attempt - 1)


def _end(change: Change, record: Record, at: datetime, status: str) -> None:
    change.values |= {"status": status, "finished_at": at, "attempts": columns.attempts_of(record.attempt)}
    change.values |= {"reason": columns.plain(record.extras.get("reason")), "result": None}


def _completed(change: Change, record: Record, at: datetime) -> None:
    _end(change, record, at, COMPLETED)
    change.values |= {"progress": 100.0, "error": None, "error_key": None}
    if record.detail is not None:
        change.values["result"] = columns.text_of(record.detail)


def _dead(change: Change, record: Record, at: datetime) -> None:
    _end(change, record, at, FAILED)
    _set_error(change, record)


def _cancelled(change: Change, record: Record, at: datetime) -> None:
    _end(change, record, at, CANCELLED)
    change.values |= {"error": None, "error_key": None}
    if change.values["reason"] is None and (error := _error_of(record)) is not None:
        change.values["reason"] = columns.plain(error.message)


def _set_error(change: Change, record: Record) -> None:
    error = _error_of(record)
    if error is None:
        change.values |= {"error": None, "error_key": None}
    else:
        change.values |= {"error": columns.told(error), "error_key": columns.group_of(error)}


def _error_of(record: Record) -> JobError | None:
    """Return the error that a record has: whole, or its beginning where the whole was left out."""
    if record.detail:
        return error_of(record.detail)
    begun = record.extras.get("detail")
    return begun_error_of(begun.encode("utf-8", "replace")) if isinstance(begun, str) and begun else None


_APPLY: dict[str, Callable[[Change, Record, datetime], None]] = {
    EventType.ENQUEUED: _enqueued,
    EventType.STARTED: _started,
    EventType.PROGRESS: _progressed,
    **dict.fromkeys((EventType.RETRIED, EventType.SNOOZED, EventType.INTERRUPTED, EventType.LOST), _put_back),
    EventType.COMPLETED: _completed,
    EventType.DEAD: _dead,
    EventType.CANCELLED: _cancelled,
}
