"""What a list of jobs is asked for: the parameters of a request, and the text that can ask for all these and more."""

from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from rota.api import shapes
from rota.api.asking.conditions import Condition, is_of
from rota.api.asking.language import read
from rota.api.problems import wrong_parameter
from rota.client.looking.live import LISTED
from rota.errors.causes import cause_of
from rota.model.info import JobInfo
from rota.model.state import State
from rota.wire.keys import check_queue

#: What the text may name as a state beside those that Redis has lists of: jobs that are over, as they were recorded.
OVER = {"completed": "COMPLETED", "failed": "FAILED", "cancelled": "CANCELLED"}
STATES = (*(state.value for state in LISTED), *OVER)


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside of the years 1 to 9999 in UTC") from None


Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Filters(BaseModel):
    """The parameters of the list of jobs."""

    model_config = ConfigDict(extra="forbid")

    queue: str | None = None
    state: State | None = None
    """waiting, delayed, active or dead: as it is now in Redis."""
    status: str | None = None
    """PENDING, RUNNING, COMPLETED, FAILED or CANCELLED, of all jobs that were ever recorded."""
    name: str | None = None
    error: str | None = None
    """The fingerprint of an error's cause."""
    flow: str | None = None
    tenant: str | None = None
    """Whose jobs; a key of a tenant lists its own alone."""
    since: Time | None = None
    until: Time | None = None
    id: str | None = None
    """One job of the queue, whose id cannot stand in a path."""
    q: str | None = None
    """Conditions like these, and others, in one text: `name:greet attempt>2 payload.user_id:42`."""
    limit: Annotated[int, Query(ge=1, le=200)] = 50
    cursor: str | None = None

    def known(self) -> dict[str, Any]:
        """Return what makes the list, which a cursor is good for."""
        return self.model_dump(exclude={"cursor", "limit"}, exclude_none=True)


class Asking(NamedTuple):
    """The conditions of a list, those of parameters and text together.

    :param conditions: what each job is looked at for.
    """

    filters: Filters
    conditions: tuple[Condition, ...]

    @property
    def is_live(self) -> bool:
        """Whether Redis has the list, and not the audit table."""
        return self.filters.state in LISTED

    @property
    def is_narrow(self) -> bool:
        """Whether a list of Redis is to have less than all jobs in a state of a queue, or of a tenant there."""
        one = self.filters
        given = (one.name, one.error, one.since, one.until)
        return bool(self.conditions) or any(value is not None for value in given)

    @property
    def is_chosen(self) -> bool:
        """Whether each job of a list of Redis must be read to know whether it is asked for."""
        return self.is_narrow or self.filters.tenant is not None

    def missed(self, info: JobInfo) -> list[str]:
        """Return what a job of a list of Redis does not meet: names of parameters, and conditions as they were written.

        Of dead jobs the time of their death counts.
        """
        one, job = self.filters, shapes.job(info, frozenset({"payload"}))
        at = info.finished_at if info.state is State.DEAD else info.enqueued_at
        cause = None if info.error is None else cause_of(info.error, info.error.type)
        meets = {
            "name": one.name is None or is_of(one.name, job),
            "tenant": one.tenant in (None, info.tenant),
            "error": one.error in (None, cause),
            "since": one.since is None or (at is not None and at >= one.since),
            "until": one.until is None or (at is not None and at < one.until),
        }
        unmet = [condition.text for condition in self.conditions if not condition.fits(job)]
        return [name for name, is_met in meets.items() if not is_met] + unmet


def understood(filters: Filters) -> Asking:
    """Return what parameters and text ask for together. Raises Mistake for the text, Problem for what cannot be."""
    asked = read(filters.q or "")
    known = filters.known()
    more = dict(asked.parameters)
    if more.get("state") in OVER:
        more["status"] = OVER[more.pop("state")]
    for name, value in more.items():
        if name in known and known[name] != value:
            raise wrong_parameter(f"{name} is asked for twice, as {known[name]} and as {value}")
    if more.get("state", "dead") not in STATES:
        raise wrong_parameter(f"there is no state {more['state'][:40]!r}; choose from: {', '.join(STATES)}")
    if ":" in (name := str(more.get("name") or filters.name or "")):
        more.setdefault("queue", filters.queue or name.partition(":")[0])
    whole = filters.model_copy(update=more | ({"state": State(more["state"])} if "state" in more else {}))
    check(whole)
    return Asking(whole, asked.conditions)


def check(filters: Filters) -> None:
    """Raise Problem for filters that do not go together."""
    if filters.queue is not None:
        try:
            check_queue(filters.queue)
        except ValueError as error:
            raise wrong_parameter(str(error)) from None
    if filters.id is not None and filters.queue is None:
        raise wrong_parameter("id needs the queue of the job")
    if filters.state is not None and (filters.status is not None or filters.flow is not None):
        raise wrong_parameter("state is as Redis has it; status and flow are of jobs as they were recorded")
    if filters.state in (State.COMPLETED, State.CANCELLED):
        raise wrong_parameter(
            f"Redis has no list of {filters.state.value} jobs; use status={shapes.STATUS[filters.state]}"
        )
    if filters.error is not None and filters.state not in (None, State.DEAD):
        raise wrong_parameter("the cause of an error is one of dead jobs, or of failed ones")
    if filters.status is not None and filters.status not in shapes.STATE:
        raise wrong_parameter(
            f"there is no status {filters.status[:40]!r}; choose from: {', '.join(shapes.STATE)}"
        )
