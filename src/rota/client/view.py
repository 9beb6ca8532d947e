"""Jobs as Redis holds them, read without changing anything: by their ids, or a page of a queue."""

from collections.abc import Awaitable, Sequence
from itertools import pairwise
from typing import Any, cast

from rota.client.reading import WIDTH, Raw, info_of, letter_of
from rota.model.info import JobInfo
from rota.model.log.lines import LogLine, later, lines_of, place_of
from rota.model.policies.terms import tenant_in
from rota.model.state import State
from rota.names import ids_of
from rota.wire.claims import decode_id, encode_id, ms_of
from rota.wire.keys import IN_PROGRESS, JOB, LOG_OF_JOB, RESULT, RETRY, QueueKeys, queue_key
from rota.wire.sealing.seals import Sealer

#: The number of members that are read at a time while a page is filled.
_PAGE = 200
#: The jobs of a list that are looked at for those of one tenant: first a few, and then, if need be, up to the bound.
_FIRST_LOOK, MOST_LOOKED_AT = 500, 10_000


async def find(
    redis: Any,
    queue: str,
    keys: QueueKeys,
    ids: Sequence[str],
    *,
    letters: bool = False,
    sealer: Sealer | None = None,
) -> list[JobInfo | None]:
    """Return each job of `ids`, or None for a job that Redis does not hold; in one round trip.

    Of an id that was used again the newest job is returned; with `letters`, the dead letter, if there is one. `sealer`
    opens what is sealed.
    """
    return await find_among(redis, [(queue, keys, job_id) for job_id in ids], letters=letters, sealer=sealer)


async def find_among(
    redis: Any,
    wanted: Sequence[tuple[str, QueueKeys, str]],
    *,
    letters: bool = False,
    sealer: Sealer | None = None,
) -> list[JobInfo | None]:
    """Return what `find` returns of jobs on several queues, each by its queue, the keys of that, and its id."""
    pipe = redis.pipeline(transaction=True)
    pipe.time()
    for _, keys, job_id in wanted:
        ask(pipe, keys, encode_id(job_id))
    time, *replies = await pipe.execute()
    now = ms_of(time)
    found = []
    for index, (queue, _, job_id) in enumerate(wanted):
        raw = Raw(*replies[index * WIDTH : (index + 1) * WIDTH])
        is_letter = letters and raw.letter
        info = (
            letter_of(job_id, queue, raw.letter, sealer)
            if is_letter
            else info_of(job_id, queue, raw, now, sealer)
        )
        found.append(info)
    return found


async def find_given(
    redis: Any, queue: str, job_id: str, sealer: Sealer | None = None, *, letters: bool = False
) -> JobInfo | None:
    """Return the job of an id in Redis, or of one that its user gave; None for a job that Redis does not hold."""
    keys = QueueKeys.of(queue_key(queue))
    found = await find(redis, queue, keys, ids_of(queue, job_id), letters=letters, sealer=sealer)
    return next(filter(None, found), None)


async def log(redis: Any, queue: str, job_id: str, after: str | None) -> list[LogLine]:
    """Return the lines of a job's log behind a position, by an id in Redis or one that its user gave.

    No other lines are read. Raises ValueError for another text than a position.
    """
    place = place_of(after)
    keys = [LOG_OF_JOB.encode() + encode_id(one) for one in ids_of(queue, job_id)]
    pipe = redis.pipeline(transaction=False)
    for key in keys:
        pipe.hkeys(key)
    for key, names in zip(keys, await pipe.execute(), strict=True):
        if names:
            wanted = later(names, place)
            return lines_of(wanted, await redis.hmget(key, wanted), place) if wanted else []
    return []


async def page(
    redis: Any,
    queue: str,
    keys: QueueKeys,
    state: State,
    *,
    offset: int,
    limit: int,
    tenant: str | None = None,
    sealer: Sealer | None = None,
) -> list[JobInfo]:
    """Return a page of the jobs in `state`, in the order in which they are due; dead ones newest first.

    With a tenant, those of its jobs that are among the first `MOST_LOOKED_AT` of all.
    """
    if tenant is None:
        ids = await _ids(redis, keys, state, offset, limit)
    else:
        ids = await _ids_of_tenant(redis, keys, state, tenant, offset + limit)
        ids = ids[offset : offset + limit]
    letters = state is State.DEAD
    found = await find(redis, queue, keys, ids, letters=letters, sealer=sealer) if ids else []
    return [info for info in found if info is not None and tenant in (None, info.tenant)]


async def _ids_of_tenant(redis: Any, keys: QueueKeys, state: State, tenant: str, most: int) -> list[str]:
    """Return the ids of the first jobs in `state` whose terms name the tenant: `most` or more, if there are."""
    owned: list[str] = []
    for start, end in pairwise((0, _FIRST_LOOK, MOST_LOOKED_AT)):
        ids = await _ids(redis, keys, state, start, end - start)
        pipe = redis.pipeline(transaction=False)
        for job_id in ids:
            member = encode_id(job_id)
            if state is State.DEAD:
                pipe.hget(f"{keys.dead}:".encode() + member, "terms")
            else:
                pipe.hget(keys.terms, member)
        terms = await pipe.execute() if ids else []
        owned += [one for one, raw in zip(ids, terms, strict=True) if _names(raw, tenant)]
        if len(owned) >= most or len(ids) < end - start:
            break
    return owned


def _names(terms: bytes | None, tenant: str) -> bool:
    return terms is not None and tenant_in(terms.decode("utf-8", "replace")) == tenant


async def counts(redis: Any, keys: QueueKeys) -> dict[State, int]:
    """Return how many jobs are waiting, delayed, active and dead."""
    now = ms_of(await redis.time())
    pipe = redis.pipeline(transaction=True)
    pipe.zcard(keys.queue)
    pipe.zcount(keys.queue, "-inf", now)
    pipe.zcard(keys.active)
    pipe.zcard(keys.dead)
    pipe.zcount(keys.parked, f"({now}", "+inf")
    alive, ready, active, dead, parked = await pipe.execute()
    return {
        State.WAITING: ready + parked,
        State.DELAYED: max(0, alive - ready - active - parked),
        State.ACTIVE: active,
        State.DEAD: dead,
    }


async def workers(redis: Any, keys: QueueKeys) -> int:
    """Return how many processes serve the queue, by their heartbeats."""
    names = await redis.smembers(keys.workers)
    return int(await redis.exists(*(f"{keys.worker}:".encode() + name for name in names))) if names else 0


def ask(pipe: Any, keys: QueueKeys, member: bytes) -> None:
    """Ask for what Redis holds of one job, in the order in which `Raw` has it."""
    pipe.get(RESULT.encode() + member)
    pipe.get(JOB.encode() + member)
    pipe.zscore(keys.queue, member)
    pipe.zscore(keys.active, member)
    pipe.exists(IN_PROGRESS.encode() + member)
    pipe.get(RETRY.encode() + member)
    pipe.hget(keys.runs, member)
    pipe.hget(keys.progress, member)
    pipe.zscore(keys.parked, member)
    pipe.hget(keys.checkpoint, member)
    pipe.hget(keys.snoozes, member)
    pipe.hget(keys.attempts, member)
    pipe.hgetall(f"{keys.dead}:".encode() + member)


async def _ids(redis: Any, keys: QueueKeys, state: State, offset: int, limit: int) -> list[str]:
    if state is State.DEAD:
        return [decode_id(raw) for raw in await redis.zrevrange(keys.dead, offset, offset + limit - 1)]
    if state is State.ACTIVE:
        return [decode_id(raw) for raw in await redis.zrange(keys.active, offset, offset + limit - 1)]
    now = ms_of(await redis.time())
    ids: list[str] = []
    if state is State.WAITING:
        ids = await _scored(redis, keys.queue, ("-inf", f"{now}"), (keys.active,), offset + limit)
        more = offset + limit - len(ids)
        # Parked jobs are due as well; a limit keeps them back until their turn.
        ids += await _scored(redis, keys.parked, (f"({now}", "+inf"), (), more) if more > 0 else []
    else:
        # The scores of claimed jobs (their lease's deadline) and of parked ones (their turn) look like delayed jobs'.
        others = (keys.active, keys.parked)
        ids = await _scored(redis, keys.queue, (f"({now}", "+inf"), others, offset + limit)
    return ids[offset : offset + limit]


async def _scored(
    redis: Any, key: str, scores: tuple[str, str], without: tuple[str, ...], most: int
) -> list[str]:
    """Return the first `most` members of a sorted set, within `scores`, that are in none of the sets `without`."""
    ids: list[str] = []
    start = 0
    while len(ids) < most:
        members = await redis.zrangebyscore(key, *scores, start=start, num=_PAGE)
        if not members:
            break
        start += len(members)
        elsewhere = [
            await cast(Awaitable[list[float | None]], redis.zmscore(other, members)) for other in without
        ]
        ids += [
            decode_id(raw)
            for index, raw in enumerate(members)
            if all(found[index] is None for found in elsewhere)
        ]
    return ids[:most]
