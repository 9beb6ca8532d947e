"""What was done to jobs by hand, as it is kept: who did it, to which, to how many, and with what result."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from rota.names import printable

#: How it was done: by a request to the API, a command, or code that has a client.
Via = Literal["api", "cli", "code"]


@dataclass(frozen=True, slots=True)
class Actor:
    """The one who acts.

    :param id: the id of the key of the API, or `user@host` of a command.
    :param name: the name of the key.
    """

    via: Via
    id: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One entry of the list of actions.

    :param action: what was done, such as "retry", "cancel", "delete", "run_now".
    :param target: to which jobs: `{"queue", "id"}` of one, or the filter that chose many.
    :param count: to how many it was done.
    :param outcome: how it ended: "done", or another word.
    :param tenant: whose jobs these are; None where they may be anybody's.
    :param detail: more that a reader may want, such as the id of the operation.
    :param at: when it was recorded, and its place in the list; the server gives both.
    """

    actor: Actor
    action: str
    target: Mapping[str, Any]
    count: int = 1
    outcome: str = "done"
    tenant: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None
    position: str = ""

    def fields(self) -> dict[str, str]:
        """Return the fields of its entry in the stream."""
        return {
            "action": self.action,
            "via": self.actor.via,
            "by": printable(self.actor.id),
            "name": printable(self.actor.name),
            "target": _text(self.target),
            "count": str(self.count),
            "outcome": self.outcome,
            **({} if self.tenant is None else {"tenant": self.tenant}),
            **({"detail": _text(self.detail)} if self.detail else {}),
        }

    @classmethod
    def read(cls, position: str, fields: Mapping[bytes, bytes]) -> "Action":
        """Return the action that an entry of the stream tells of; what cannot be read of it is empty."""
        found = {
            name.decode("utf-8", "replace"): raw.decode("utf-8", "replace") for name, raw in fields.items()
        }
        via: Any = found.get("via", "code")
        return cls(
            actor=Actor(via, found.get("by", ""), found.get("name", "")),
            action=found.get("action", ""),
            target=_object(found.get("target")),
            count=_number(found.get("count")),
            outcome=found.get("outcome", ""),
            tenant=found.get("tenant"),
            detail=_object(found.get("detail")),
            at=_time(position),
            position=position,
        )


def _text(value: Mapping[str, Any]) -> str:
    # An id may be no text that UTF-8 can write; JSON in ASCII can.
    return json.dumps(dict(value), default=str)


def _object(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() else 0


def _time(position: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(position.partition("-")[0]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
