"""The list of jobs: those of a queue in one state from Redis, all others from the audit table."""

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from rota.api import shapes
from rota.api.answers import answer
from rota.api.cursors import cursor_of, not_of_this_list, place_in
from rota.api.desk import OWN_READS, Desk, caller_of, desk_of
from rota.api.problems import Problem, check_names, wrong_parameter
from rota.model.access.keys import AccessKey
from rota.model.state import State
from rota.names import short_name
from rota.wire.keys import check_queue

router = APIRouter(tags=["jobs"], default_response_class=Response)

#: States that Redis has a list of.
_LISTED = (State.WAITING, State.DELAYED, State.ACTIVE, State.DEAD)
#: The furthest place of a list in Redis: to go on from there, Redis would count through all of it.
FURTHEST = 10_000


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
    """waiting, delayed, active or dead: of one queue, as it is now."""
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
    limit: Annotated[int, Query(ge=1, le=200)] = 50
    cursor: str | None = None


@router.get("/jobs", summary="List jobs", dependencies=[OWN_READS])
async def jobs(request: Request, filters: Annotated[Filters, Query()]) -> Response:
    """Return a page of jobs: with `queue` and `state` as Redis has them, else from the audit table, newest first."""
    desk, filters = desk_of(request), of_caller(filters, caller_of(request))
    _check(filters)
    if filters.id is not None and filters.queue is not None:
        return answer(await one(request, filters.queue, filters.id))
    items, following = await page_of(desk, filters)
    headers = {}
    if following is not None:
        again = {name: str(value) for name, value in _known(filters).items()} | {
            "limit": filters.limit,
            "cursor": following,
        }
        headers["Link"] = f'<{request.scope.get("root_path", "")}/jobs?{urlencode(again)}>; rel="next"'
    return answer({"items": items, "next": following}, headers=headers)


async def page_of(desk: Desk, filters: Filters) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of the list that filters make, and the cursor of the next one. Raises Problem."""
    _check(filters)
    known = _known(filters)
    place = None if filters.cursor is None else place_in(filters.cursor, known)
    is_live = filters.state in _LISTED and filters.queue is not None
    items, following = await (_of_redis if is_live else _of_table)(desk, filters, place)
    return items, None if following is None else cursor_of(known, following)


def _known(filters: Filters) -> dict[str, Any]:
    return filters.model_dump(exclude={"cursor", "limit"}, exclude_none=True)


async def one(
    request: Request, queue: str, job_id: str, include: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return a job from Redis, or where it has left that from the audit table. Raises JobNotFound."""
    found = await desk_of(request).find(caller_of(request), queue, job_id)
    return shapes.row(found, include) if isinstance(found, dict) else shapes.job(found, include)


def of_caller(filters: Filters, key: AccessKey) -> Filters:
    """Return the filters of the list that the holder of a key gets. Raises Problem for the list of another tenant."""
    if filters.tenant is not None:
        check_names(key, filters.tenant)
    return filters if key.tenant is None else filters.model_copy(update={"tenant": key.tenant})


def _check(filters: Filters) -> None:
    """Raise Problem for filters that do not go together."""
    if filters.queue is not None:
        try:
            check_queue(filters.queue)
        except ValueError as error:
            raise wrong_parameter(str(error)) from None
    if filters.id is not None and filters.queue is None:
        raise wrong_parameter("id needs the queue of the job")
    others = (filters.status, filters.name, filters.error, filters.flow, filters.since, filters.until)
    if filters.state is not None and any(other is not None for other in others):
        raise wrong_parameter("state goes with queue alone; use status with the other filters")
    if filters.state is not None and filters.queue is None:
        raise wrong_parameter("state needs a queue")
    if filters.state in (State.COMPLETED, State.CANCELLED):
        raise wrong_parameter(
            f"Redis has no list of {filters.state.value} jobs; use status={shapes.STATUS[filters.state]}"
        )
    if filters.status is not None and filters.status not in shapes.STATE:
        raise wrong_parameter(
            f"there is no status {filters.status[:40]!r}; choose from: {', '.join(shapes.STATE)}"
        )


async def _of_redis(desk: Desk, filters: Filters, place: Any) -> tuple[list[dict[str, Any]], Any]:
    offset = 0 if place is None else place
    if type(offset) is not int or not 0 <= offset <= FURTHEST:
        raise not_of_this_list()
    state, queue = filters.state or State.WAITING, filters.queue or ""
    found = await desk.client.jobs(
        queue, state, offset=offset, limit=filters.limit + 1, tenant=filters.tenant
    )
    items = [shapes.job(info) for info in found[: filters.limit]]
    reached = offset + filters.limit
    return items, reached if len(found) > filters.limit and reached <= FURTHEST else None


async def _of_table(desk: Desk, filters: Filters, place: Any) -> tuple[list[dict[str, Any]], Any]:
    if desk.archive is None:
        detail = "this list comes from the audit table, and DATABASE_URL is not set; queue and state together need none"
        raise Problem(422, "no-database", "There is no audit table", detail)
    from rota.store.queries import Position, Wanted  # noqa: PLC0415 - it needs an extra

    name = filters.name
    if name is not None and filters.queue is not None:
        name = short_name(filters.queue, name)
    wanted = Wanted(
        tenant=filters.tenant,
        queue=filters.queue,
        status=filters.status,
        name=name,
        error_key=filters.error,
        flow=filters.flow,
        since=filters.since,
        until=filters.until,
    )
    after = None if place is None else Position(*_place(place))
    rows = await desk.archive.jobs(wanted, after, filters.limit + 1)
    shown = rows[: filters.limit]
    following = [shown[-1]["enqueued_at"], shown[-1]["id"]] if len(rows) > filters.limit else None
    return [shapes.row(row) for row in shown], following


def _place(place: Any) -> tuple[datetime, str]:
    """Return the time and the id behind which a page of the table begins. Raises Problem for a cursor made by hand."""
    try:
        at, row_id = place
        return _in_utc(datetime.fromisoformat(at)), str(row_id)
    except (ValueError, TypeError):
        raise not_of_this_list() from None
