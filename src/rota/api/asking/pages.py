"""Pages of lists of jobs: those in a state as Redis has them, all others from the audit table, newest first."""

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from rota.api import shapes
from rota.api.asking.filters import Asking
from rota.api.cursors import cursor_of, not_of_this_list, place_in
from rota.api.desk import Desk
from rota.api.problems import Problem, wrong_parameter
from rota.client.looking.live import LOOKED_AT, Place, look
from rota.model.access.keys import AccessKey
from rota.model.info import JobInfo
from rota.model.state import State
from rota.names import short_name
from rota.server.faults import explained

if TYPE_CHECKING:
    from rota.store.queries import Position, Wanted

#: The most rows of the audit table that are read for a page of which not all fit, how many at once, and for how long.
ROWS, PORTION, PATIENCE = 10_000, 500, 3.0
#: The furthest place of a tenant's own list: to go on from there, Redis would count through all of it.
FURTHEST = 10_000
_NEWER = "newer"
#: A score, as Redis writes it. Python reads more as a number, which Redis would not take.
_SCORE = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|inf)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A page of a list.

    :param next: the cursor of the page behind; None where there is none.
    :param newer: the cursor of the page before, in the audit table.
    :param looked_at: among how many jobs those of the page were looked for one by one; 0 where a list has just them.
    :param excluded: how many of these do not meet each condition, by the name of the parameter or as it was written.
    :param counts: of each queue, how many jobs it has in each state of Redis; of the audit table, nothing.
    """

    source: Literal["redis", "table"]
    items: Sequence[Mapping[str, Any]]
    next: str | None = None
    newer: str | None = None
    looked_at: int = 0
    excluded: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, Mapping[State, int]] = field(default_factory=dict)


async def page_of(desk: Desk, key: AccessKey, asking: Asking, known: Mapping[str, Any]) -> Listed:
    """Return a page of the list that is asked for. Raises Problem, ServerError, StoreError.

    :param key: the caller's. That of a tenant is shown the tenant's jobs, which `asking` is to say too.
    :param known: what makes the list, as the caller has said it: its cursors are good for that alone.
    """
    cursor = asking.filters.cursor
    place = None if cursor is None else place_in(cursor, known)
    if not asking.is_live:
        return await _of_table(desk, asking, known, place)
    return await (_of_redis if key.tenant is None else _of_tenant)(desk, asking, known, place)


async def _of_tenant(desk: Desk, asking: Asking, known: Mapping[str, Any], place: Any) -> Listed:
    """Return a page for the holder of a tenant's key: neither its length nor its cursors tell of the jobs of others."""
    filters, offset = asking.filters, 0 if place is None else place
    if filters.queue is None or filters.state is None:
        raise wrong_parameter("state needs a queue")
    if type(offset) is not int or not 0 <= offset <= FURTHEST:
        raise not_of_this_list()
    begin, most = (0, LOOKED_AT) if asking.is_narrow else (offset, filters.limit + 1)
    found = await desk.client.jobs(
        filters.queue, filters.state, offset=begin, limit=most, tenant=filters.tenant
    )
    excluded: Counter[str] = Counter()
    fitting = [info for info in found if _fits(asking, info, excluded)][offset - begin :]
    return Listed(
        source="redis",
        items=[shapes.job(info) for info in fitting[: filters.limit]],
        next=cursor_of(known, offset + filters.limit) if len(fitting) > filters.limit else None,
        looked_at=len(found) if asking.is_narrow else 0,
        excluded=excluded,
    )


async def _of_redis(desk: Desk, asking: Asking, known: Mapping[str, Any], place: Any) -> Listed:
    filters = asking.filters
    queues = desk.queues if filters.queue is None else (filters.queue,)
    excluded: Counter[str] = Counter()
    async with explained(desk.client.redis):
        found = await look(
            desk.client.redis,
            queues,
            filters.state,
            after=None if place is None else _place(place, queues),
            limit=filters.limit,
            fits=(lambda info: _fits(asking, info, excluded)) if asking.is_chosen else None,
            sealer=desk.settings.sealer,
        )
    return Listed(
        source="redis",
        items=[shapes.job(info) for info in found.jobs],
        next=None if found.next is None else cursor_of(known, found.next),
        looked_at=found.looked_at if asking.is_chosen else 0,
        excluded=excluded,
        counts=found.counts,
    )


def _fits(asking: Asking, info: JobInfo, excluded: "Counter[str]") -> bool:
    missed = asking.missed(info)
    excluded.update(missed)
    return not missed


def _place(place: Any, queues: Sequence[str]) -> Place:
    """Return the place behind which a page of Redis begins. Raises Problem for a cursor made by hand."""
    try:
        score, queue, passed = place
    except (ValueError, TypeError):
        raise not_of_this_list() from None
    if (
        not isinstance(score, str)
        or not _SCORE.fullmatch(score)
        or queue not in queues
        or type(passed) is not int
        or not 0 <= passed < 2**31
    ):
        raise not_of_this_list()
    return Place(score, queue, passed)


async def _of_table(desk: Desk, asking: Asking, known: Mapping[str, Any], place: Any) -> Listed:
    if desk.archive is None:
        detail = (
            "this list comes from the audit table, and DATABASE_URL is not set; a list by state needs none"
        )
        raise Problem(422, "no-database", "There is no audit table", detail)
    after, newer = (None, False) if place is None else _position(place)
    look = _Look(desk, asking, newer=newer)
    end = await look.read(after)
    rows = look.found
    items = [shapes.row(row) for row in (reversed(rows) if newer else rows)]

    def cursor(at: "Position | None", *more: str) -> str | None:
        return None if at is None else cursor_of(known, [at.enqueued_at, at.id, *more])

    nearest = _first(rows) or after
    ways = (
        (cursor(nearest), cursor(end, _NEWER)) if newer else (cursor(end), after and cursor(nearest, _NEWER))
    )
    return Listed(
        source="table",
        items=items,
        next=ways[0],
        newer=ways[1] or None,
        looked_at=look.looked_at,
        excluded=look.excluded,
    )


class _Look:
    """A look for a page through the audit table."""

    def __init__(self, desk: Desk, asking: Asking, *, newer: bool) -> None:
        assert desk.archive is not None  # noqa: S101 - for the type checker
        self._archive = desk.archive
        self._asking = asking
        self._wanted = wanted_of(asking)
        self._newer = newer
        self.found: list[dict[str, Any]] = []
        self.looked_at = 0
        self.excluded: Counter[str] = Counter()

    async def read(self, after: "Position | None") -> "Position | None":
        """Read a page behind a place, and return where the next one begins; None behind the last."""
        from rota.store.queries import LOOKED_AT as AMONG  # noqa: PLC0415 - it needs an extra
        from rota.store.queries import Position  # noqa: PLC0415

        limit, conditions = self._asking.filters.limit, self._asking.conditions
        if not conditions:
            self.found, end = await self._archive.jobs(self._wanted, after, limit, newer=self._newer)
            self.looked_at = AMONG if end is not None and len(self.found) < limit else 0
            return end
        until = time.monotonic() + PATIENCE
        payloads = any(one.field == "payload" for one in conditions)
        while True:
            rows, end = await self._archive.jobs(
                self._wanted, after, PORTION, newer=self._newer, payloads=payloads
            )
            for row in rows:
                self.looked_at += 1
                job = shapes.row(row, frozenset({"payload"}))
                missed = [one.text for one in conditions if not one.fits(job)]
                self.excluded.update(missed)
                if not missed:
                    self.found.append(row)
                if len(self.found) == limit:
                    is_last = row is rows[-1] and end is None
                    return None if is_last else Position.of(row)
            if end is None or self.looked_at >= ROWS or time.monotonic() > until:
                return end
            after = end


def wanted_of(asking: Asking) -> "Wanted":
    """Return the conditions of a list of the audit table that it can be asked by."""
    from rota.store.queries import Wanted  # noqa: PLC0415 - it needs an extra

    one = asking.filters
    return Wanted(
        tenant=one.tenant,
        queue=one.queue,
        status=one.status,
        name=one.name and short_name(one.queue or "", one.name),
        error_key=one.error,
        flow=one.flow,
        since=one.since,
        until=one.until,
    )


def _first(rows: Sequence[Mapping[str, Any]]) -> "Position | None":
    from rota.store.queries import Position  # noqa: PLC0415 - it needs an extra

    return Position.of(dict(rows[0])) if rows else None


def _position(place: Any) -> "tuple[Position, bool]":
    """Return the place of a cursor, and whether the page lies before it. Raises Problem for one made by hand."""
    from rota.store.queries import Position  # noqa: PLC0415 - it needs an extra

    try:
        at, row_id, *more = place
        return Position(datetime.fromisoformat(at).astimezone(UTC), str(row_id)), more == [_NEWER]
    except (ValueError, TypeError, OverflowError):
        raise not_of_this_list() from None
