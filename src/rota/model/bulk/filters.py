"""Which jobs an action on many is done to: the conditions of a filter, and what each action is possible for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from rota.errors import InvalidFilter, JobError
from rota.model.state import State
from rota.wire.keys import check_queue

#: The most jobs that a filter may name by their ids.
MOST_IDS = 1000


class BulkAction(StrEnum):
    """The actions that can be done to many jobs at once."""

    RETRY = "retry"
    CANCEL = "cancel"
    DELETE = "delete"
    RUN_NOW = "run_now"


#: The states of the jobs that each action is done to.
POSSIBLE: dict[BulkAction, tuple[State, ...]] = {
    BulkAction.RETRY: (State.DEAD,),
    BulkAction.DELETE: (State.DEAD,),
    BulkAction.CANCEL: (State.WAITING, State.DELAYED, State.ACTIVE),
    BulkAction.RUN_NOW: (State.DELAYED,),
}
Status = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
_OF_STATUS: dict[str, tuple[State, ...]] = {
    "PENDING": (State.WAITING, State.DELAYED),
    "RUNNING": (State.ACTIVE,),
    "COMPLETED": (State.COMPLETED,),
    "FAILED": (State.DEAD,),
    "CANCELLED": (State.CANCELLED,),
}


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside of the years 1 to 9999 in UTC") from None


_Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]
_Queue = Annotated[str, AfterValidator(check_queue)]
_Text = Annotated[str, Field(min_length=1, max_length=200)]
_Id = Annotated[str, Field(min_length=1, max_length=1000)]


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one job that a filter looks at, beside its queue and its state.

    :param at_ms: when a dead job died; when any other was enqueued.
    """

    name: str = ""
    error: JobError | None = None
    cause: str = ""
    reason: str = ""
    flow: str = ""
    tenant: str | None = None
    at_ms: float = 0.0


class Filter(BaseModel):
    """The conditions that jobs have to meet, all of them; None: any.

    `name` may have its queue before it. `error` is the fingerprint of a cause, `error_contains` a text in the type or
    the message of the error. `since` and `until` are of the death of dead jobs, and of the enqueueing of all others.
    `id` and `ids` are ids in Redis, or those that were given to the jobs. `queues` are several in place of one `queue`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    queue: _Queue | None = None
    queues: Annotated[tuple[_Queue, ...], Field(min_length=1, max_length=MOST_IDS)] | None = None
    state: State | None = None
    status: Status | None = None
    name: _Text | None = None
    error: _Text | None = None
    error_contains: _Text | None = None
    reason: _Text | None = None
    flow: _Text | None = None
    tenant: _Text | None = None
    since: _Time | None = None
    until: _Time | None = None
    id: _Id | None = None
    ids: Annotated[tuple[_Id, ...], Field(min_length=1, max_length=MOST_IDS)] | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the filter with these fields, as JSON has them. Raises InvalidFilter."""
        try:
            found = cls.model_validate_json(json.dumps(dict(given), default=str))
        except ValidationError as error:
            raise InvalidFilter(
                dict(map(_problem, error.errors(include_url=False, include_input=False)))
            ) from None
        if found.named and not found.on_queues:
            raise InvalidFilter({"queue": "is needed beside ids"})
        if found.queues and found.on_queue:
            raise InvalidFilter({"queues": "goes without a queue, and with names that have none"})
        return found

    @property
    def on_queue(self) -> str | None:
        """The one queue of the jobs: the one that is said, or that of the name."""
        return self.queue or (self.name or "").rpartition(":")[0] or None

    @property
    def on_queues(self) -> tuple[str, ...]:
        """The queues of the jobs, each once; () where they may be on any."""
        return tuple(dict.fromkeys(self.queues or filter(None, [self.on_queue])))

    @property
    def named(self) -> tuple[str, ...]:
        """The ids of the jobs; () where a filter names none."""
        return (*(() if self.id is None else (self.id,)), *(self.ids or ()))

    @property
    def is_empty(self) -> bool:
        """Whether it has no condition but state, tenant and queues, so that it chooses everything there is of these."""
        return not self.model_dump(exclude_none=True, exclude={"queues", "state", "status", "tenant"})

    @property
    def asks_for_error(self) -> bool:
        """Whether it looks at what only dead jobs have."""
        return (self.error, self.error_contains, self.reason) != (None, None, None)

    def looks_at_jobs(self, dead: bool) -> bool:
        """Tell whether each job must be read to choose it. The time of a death is known without."""
        times = () if dead else (self.since, self.until)
        fields = (self.name, self.error, self.error_contains, self.reason, self.flow, self.tenant, *times)
        return any(one is not None for one in fields)

    def states(self, action: BulkAction) -> tuple[State, ...]:
        """Return the states of the jobs that are chosen for an action. Raises InvalidFilter where that is none."""
        chosen = possible = POSSIBLE[action]
        if self.state is not None:
            chosen = tuple(state for state in chosen if state is self.state)
        if self.status is not None:
            chosen = tuple(state for state in chosen if state in _OF_STATUS[self.status])
        done_to = f"{action} is done to jobs that are {' or '.join(possible)}"
        if not chosen:
            raise InvalidFilter({"status" if self.state is None else "state": done_to})
        if self.asks_for_error and chosen != (State.DEAD,):
            wrong = next(name for name in ("error", "error_contains", "reason") if getattr(self, name))
            raise InvalidFilter({wrong: f"goes with dead jobs; {done_to}"})
        return chosen

    def includes(self, facts: Facts) -> bool:
        """Tell whether a job of the right queue and state meets the conditions."""
        task, flow = (
            self.name and self.name.rpartition(":")[2],
            self.flow and self.flow.rpartition(":flow:")[2],
        )
        asked = (
            *((task, facts.name), (self.error, facts.cause), (self.reason, facts.reason)),
            *((flow, facts.flow), (self.tenant, facts.tenant)),
        )
        if any(wanted is not None and wanted != found for wanted, found in asked):
            return False
        return self._has_text(facts.error) and self._is_in_time(facts.at_ms)

    def _has_text(self, error: JobError | None) -> bool:
        if self.error_contains is None:
            return True
        text = "" if error is None else f"{error.type}: {error.message}"
        return self.error_contains.casefold() in text.casefold()

    def _is_in_time(self, ms: float) -> bool:
        after = self.since is None or ms >= self.since.timestamp() * 1000
        return after and (self.until is None or ms < self.until.timestamp() * 1000)

    def fields(self) -> dict[str, Any]:
        """Return the conditions that there are, as JSON has them."""
        return self.model_dump(mode="json", exclude_none=True)


def _problem(error: Any) -> tuple[str, str]:
    place = error["loc"]
    why = "is not known" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
    return str(place[0]) if place else "", why
