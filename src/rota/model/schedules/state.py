"""Where a schedule is, as Redis keeps it: the tick that waits, the moment until which ticks are done with, its runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from rota.model.schedules.definition import Definition

#: The most ticks whose jobs are followed at once.
MOST_OPEN = 20


@dataclass(frozen=True, slots=True)
class State:
    """One schedule in Redis; times are in milliseconds.

    :param version: counts the changes.
    :param text: what it was planned by last, as `Definition.text` has it.
    :param tick: the tick whose job waits for its time; None if none does.
    :param until: the moment until which every tick was put or passed over.
    :param last: the last tick that was put and is due.
    :param open: the ticks that are due, and whose jobs were not over when they were looked at.
    :param paused: since when no tick is put.
    :param missed: how many ticks did not run because nothing could run them.
    :param overlapped: how many were left out because the one before was alive.
    :param outcome: how the last job that is over ended.
    :param ended: when that was.
    :param succeeded: when a job last completed.
    """

    name: str
    version: int = 0
    text: str = ""
    tick: int | None = None
    until: int | None = None
    last: int | None = None
    open: tuple[int, ...] = ()
    paused: int | None = None
    missed: int = 0
    overlapped: int = 0
    outcome: str = ""
    ended: int | None = None
    succeeded: int | None = None

    @classmethod
    def read(cls, name: str, fields: Mapping[str, str]) -> Self:
        """Return the state that lies in Redis; figures that cannot be read count as nothing."""

        def number(field: str) -> int | None:
            text = fields.get(field, "")
            return int(text) if text.isascii() and text.isdigit() else None

        return cls(
            name,
            number("version") or 0,
            fields.get("definition", ""),
            number("tick"),
            number("until"),
            number("last"),
            tuple(int(tick) for tick in fields.get("open", "").split() if tick.isascii() and tick.isdigit()),
            number("paused"),
            number("missed") or 0,
            number("overlapped") or 0,
            fields.get("outcome", ""),
            number("ended"),
            number("succeeded"),
        )

    def fields(self) -> dict[str, str | int]:
        """Return the state as it lies in Redis, without its version; what there is nothing to say of is empty."""
        known = {
            "definition": self.text,
            "tick": self.tick,
            "until": self.until,
            "last": self.last,
            "open": " ".join(map(str, self.open)),
            "paused": self.paused,
            "missed": self.missed or None,
            "overlapped": self.overlapped or None,
            "outcome": self.outcome,
            "ended": self.ended,
            "succeeded": self.succeeded,
        }
        return {name: "" if value is None else value for name, value in known.items()}

    @property
    def definition(self) -> Definition | None:
        """The definition by which the schedule was planned last; None if this version cannot read it."""
        try:
            return Definition.read(json.loads(self.text))
        except ValueError:
            return None

    @property
    def place(self) -> tuple[str, str] | None:
        """The queue and the name of its job, which are read of any version's definition; None without them."""
        try:
            wire = json.loads(self.text)
            return str(wire["queue"]), str(wire["task"])
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def source(self) -> str:
        """The jobs package that it was declared by; empty where that cannot be read."""
        try:
            return str(json.loads(self.text)["source"])
        except (ValueError, KeyError, TypeError):
            return ""
