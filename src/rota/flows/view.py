"""What a run of a pipeline looks like from outside: how far each of its stages is, read from the fields of its hash."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rota.model.flows.handle import FlowInfo, StageInfo
from rota.model.state import State
from rota.wire import envelopes

#: What is read of the run as a whole.
FIELDS = ("id", "kind", "name", "state", "at", "ended", "error", "failed", "stages", "stage")
_COUNTS = ("total", "completed", "dead", "cancelled")


def counts_of(stages: Sequence[Sequence[Any]]) -> list[str]:
    """The fields of the hash that count what has become of each stage's jobs."""
    return [f"{number}:{count}" for number in range(len(stages)) for count in _COUNTS]


def info_of(
    fields: Mapping[str, bytes | None], stages: Sequence[Sequence[Any]], numbers: Sequence[bytes | None]
) -> FlowInfo:
    """From FIELDS, the stages' names and kinds, and the values of `counts_of`."""

    def text(name: str) -> str:
        return (fields[name] or b"").decode("utf-8", "replace")

    width = len(_COUNTS)
    found = []
    for place, (name, is_each) in enumerate(stages):
        total, *over = numbers[place * width : (place + 1) * width]
        found.append(
            StageInfo(name, is_each, None if total is None else int(total), *(int(n or 0) for n in over))
        )
    state = State(text("state"))
    error = envelopes.error_of(fields["error"] or b"") if state is State.DEAD else None
    ended = _time(int(text("ended"))) if fields["ended"] else None
    return FlowInfo(
        text("id"), text("name"), state, tuple(found), _time(int(text("at"))), ended, error, text("failed")
    )


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
