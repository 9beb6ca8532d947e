"""An action on many jobs that the leader carries out: what it is, and how far it has come."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from rota.model.bulk.actions import Action, Actor

#: "waiting": no leader has begun it. "failed": it could not go on; `error` says why.
OperationState = Literal["waiting", "running", "done", "aborted", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An action on many jobs, as it is kept in Redis.

    :param action: what is done, one of `BulkAction`.
    :param filter: the conditions of the jobs, as JSON.
    :param count: how many jobs it is about, as counted at its beginning; None where that took too long.
    :param done: to how many it was done. `skipped` were not what they had been any more, `failed` could not be changed.
    :param refused: a few of those that failed: `{"queue", "id", "why"}`.
    :param reason: why it is done, as was said at its beginning.
    :param is_aborting: whether it is to stop.
    """

    id: str
    action: str
    filter: Mapping[str, Any]
    actor: Actor
    tenant: str | None = None
    state: OperationState = "waiting"
    count: int | None = None
    done: int = 0
    skipped: int = 0
    failed: int = 0
    refused: tuple[Mapping[str, str], ...] = field(default=())
    error: str = ""
    reason: str = ""
    is_aborting: bool = False
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "aborted", "failed")

    def ended(self, state: OperationState, error: str = "") -> "Operation":
        """Return the operation as it is once it is over."""
        return replace(self, state=state, error=error)

    def told(self) -> Action:
        """Return what is recorded of it at its end."""
        detail: dict[str, Any] = {"operation": self.id, "skipped": self.skipped, "failed": self.failed}
        more = {name: value for name, value in (("error", self.error), ("reason", self.reason)) if value}
        return Action(
            actor=self.actor,
            action=self.action,
            target=self.filter,
            count=self.done,
            outcome=self.state,
            tenant=self.tenant,
            detail=detail | more,
        )


def read_operation(operation_id: str, raw: Mapping[bytes, bytes]) -> Operation | None:
    """Return an operation as its hash in Redis has it; None for any other hash."""
    found = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in raw.items()}
    via: Any = found.get("via", "code")
    state: Any = found.get("state")
    if state not in get_args(OperationState) or "action" not in found:
        return None
    return Operation(
        id=operation_id,
        action=found["action"],
        filter=_json(found.get("filter"), {}),
        actor=Actor(via, found.get("by", ""), found.get("name", "")),
        tenant=found.get("tenant"),
        state=state,
        count=_number(found["count"]) if "count" in found else None,
        **{name: _number(found.get(name)) for name in ("done", "skipped", "failed")},
        refused=tuple(_json(found.get("refused"), [])),
        error=found.get("error", ""),
        reason=found.get("reason", ""),
        is_aborting="abort" in found,
        created_at=_time(found.get("created")),
        started_at=_time(found.get("started")),
        finished_at=_time(found.get("finished")),
    )


def _json(text: str | None, default: Any) -> Any:
    try:
        found = json.loads(text) if text else default
    except ValueError:
        return default
    return found if type(found) is type(default) else default


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() else 0


def _time(ms: str | None) -> datetime | None:
    return datetime.fromtimestamp(_number(ms) / 1000, UTC) if _number(ms) else None
