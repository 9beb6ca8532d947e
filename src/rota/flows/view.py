"""How far a run of a pipeline is, read from the fields of its hash."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rota.errors import UnreadablePayload
from rota.model.flows.handle import FlowInfo, StageInfo
from rota.model.state import State
from rota.wire import results

#: The fields that describe a run as a whole.
FIELDS = ("id", "name", "state", "at", "ended", "error", "failed", "stages")
#: The fields that count a stage's jobs, behind the stage's number.
_COUNTS = ("total", "completed", "dead", "cancelled")


@contextmanager
def readable(flow_id: str) -> Iterator[None]:
    """Raise UnreadablePayload for what lies under a flow's keys and is not what rota wrote."""
    try:
        yield
    except (AttributeError, TypeError, ValueError) as error:
        raise UnreadablePayload(f"what Redis holds of {flow_id!r} cannot be read: {error}") from error


def counts_of(stages: Sequence[Sequence[Any]]) -> list[str]:
    """Return the names of the fields that count the jobs of each stage."""
    return [f"{number}:{count}" for number in range(len(stages)) for count in _COUNTS]


def info_of(
    fields: Mapping[str, bytes | None], stages: Sequence[Sequence[Any]], counts: Sequence[bytes | None]
) -> FlowInfo:
    """Return what a look at a run shows.

    :param fields: the values of FIELDS.
    :param stages: each stage's name, and whether it is an `each`.
    :param counts: the values of the fields that `counts_of` names.
    """

    def text(name: str) -> str:
        return (fields[name] or b"").decode("utf-8", "replace")

    state = State(text("state"))
    return FlowInfo(
        text("id"),
        text("name"),
        state,
        tuple(_stage_infos(stages, counts)),
        time_of(text("at")),
        time_of(text("ended")) if fields["ended"] else None,
        results.error_of(fields["error"] or b"") if state is State.DEAD else None,
        text("failed"),
    )


def _stage_infos(stages: Sequence[Sequence[Any]], counts: Sequence[bytes | None]) -> list[StageInfo]:
    width = len(_COUNTS)
    infos = []
    for place, (name, is_each) in enumerate(stages):
        total, *ended = counts[place * width : (place + 1) * width]
        infos.append(
            StageInfo(name, is_each, None if total is None else int(total), *(int(one or 0) for one in ended))
        )
    return infos


def time_of(ms: bytes | str) -> datetime:
    """Return the moment of a timestamp in Redis, which is in milliseconds."""
    return datetime.fromtimestamp(int(ms) / 1000, UTC)
