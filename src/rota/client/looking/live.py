"""The jobs of some queues that are in one state, from a place on, and how many jobs each queue has in each state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rota.client.looking.jobs import read
from rota.model.info import JobInfo
from rota.model.state import State
from rota.wire.claims import decode_id
from rota.wire.keys import QueueKeys, queue_key
from rota.wire.scripts import LOOK
from rota.wire.sealing.seals import Sealer

#: The states that Redis has a list of, in the order in which the script counts them.
LISTED = (State.WAITING, State.DELAYED, State.ACTIVE, State.DEAD)
#: The most jobs that are read for a page where not all fit.
LOOKED_AT = 500
#: The most jobs that all queues together offer for a page, and that each may offer at least.
OFFERED, FEWEST = 2500, 50
#: The most members of all queues together among which they are looked for, and of each at least: Redis waits meanwhile.
AMONG, LEAST = 10_000, 200
#: What a row of the script has before the jobs, and of each job.
_HEAD, _EACH = 7, 3


class Place(NamedTuple):
    """The place of a job in a list over several queues: behind it the list goes on.

    :param score: as Redis writes it.
    :param passed: how many members of this queue with this score lie before, the job itself included.
    """

    score: str
    queue: str
    passed: int


class Live(NamedTuple):
    """A page of the jobs that are in one state.

    :param counts: of each queue, how many jobs it has in each state.
    :param looked_at: how many jobs were read to fill the page.
    :param next: where the next page begins; None behind the last.
    """

    jobs: list[JobInfo]
    counts: dict[str, dict[State, int]]
    looked_at: int
    next: Place | None


@dataclass(frozen=True, slots=True)
class _Row:
    queue: str
    raw: Sequence[Any]

    @property
    def counts(self) -> dict[State, int]:
        return dict(zip(LISTED, self.raw, strict=False))

    @property
    def places(self) -> list[tuple[Place, str]]:
        jobs = self.raw[_HEAD:]
        return [
            (Place(jobs[at + 1].decode(), self.queue, jobs[at + 2]), decode_id(jobs[at]))
            for at in range(0, len(jobs), _EACH)
        ]

    @property
    def end(self) -> Place | None:
        """Where the queue was read to, if there may be more behind."""
        return Place(self.raw[5].decode(), self.queue, self.raw[6]) if self.raw[4] else None


async def look(
    redis: Any,
    queues: Sequence[str],
    state: State | None,
    *,
    after: Place | None = None,
    limit: int = 50,
    fits: Callable[[JobInfo], bool] | None = None,
    sealer: Sealer | None = None,
) -> Live:
    """Return a page of the jobs of some queues that are in `state`, in the order in which they are due.

    Dead ones come the newest first. With `fits` the page has those of the next 500 that do. With None in place of a
    state jobs are counted alone. Raises what redis-py raises.
    """
    most = limit if fits is None else LOOKED_AT
    rows = await _rows(redis, sorted(queues), state, after, most)
    counts = {row.queue: row.counts for row in rows}
    if state is None:
        return Live([], counts, 0, None)
    places, end = _merged(rows, state)
    found = await _found(redis, places[:most], state, sealer)
    if fits is not None:
        found = [(place, info) for place, info in found if fits(info)]
    following = places[most - 1][0] if len(places) > most else end
    if len(found) > limit:
        following = found[limit - 1][0]
    return Live([info for _, info in found[:limit]], counts, min(most, len(places)), following)


def _merged(rows: Sequence[_Row], state: State) -> tuple[list[tuple[Place, str]], Place | None]:
    """Return the jobs of all queues in their order, and where they end if there may be more behind."""

    def order(place: Place) -> tuple[float, str]:
        score = float(place.score)
        return (-score if state is State.DEAD else score), place.queue

    end = min(filter(None, (row.end for row in rows)), key=order, default=None)
    places = sorted((one for row in rows for one in row.places), key=lambda one: order(one[0]))
    return [one for one in places if end is None or order(one[0]) <= order(end)], end


async def _found(
    redis: Any, near: Sequence[tuple[Place, str]], state: State, sealer: Sealer | None
) -> list[tuple[Place, JobInfo]]:
    infos = await read(redis, [(place.queue, job_id) for place, job_id in near], state, sealer)
    return [
        (place, info)
        for place, job_id in near
        # Meanwhile a job may have changed its state; and one that a stock worker runs stands among those that wait.
        if (info := infos.get((place.queue, job_id))) is not None and info.state is state
    ]


async def _rows(
    redis: Any, queues: Sequence[str], state: State | None, after: Place | None, most: int
) -> list[_Row]:
    number = max(1, len(queues))
    most, among = min(most, max(FEWEST, OFFERED // number)), max(LEAST, AMONG // number)
    known = [QueueKeys.of(queue_key(queue)) for queue in queues]
    keys = [key for one in known for key in (one.queue, one.active, one.parked, one.dead)]
    begins = [part for queue in queues for part in _begin(queue, after)]
    _, *rows = await LOOK(redis, keys, ["" if state is None else state.value, most, among, *begins])
    return [_Row(*one) for one in zip(queues, rows, strict=True)]


def _begin(queue: str, after: Place | None) -> tuple[str, int]:
    """Return at which score a queue is read on, and how many members of this score are passed over."""
    if after is None:
        return "", 0
    if queue == after.queue:
        return after.score, after.passed
    # Of one score, the jobs of the queues come one queue after the other.
    return (f"({after.score}" if queue < after.queue else after.score), 0
