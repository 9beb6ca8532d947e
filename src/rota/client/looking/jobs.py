"""The jobs of a list, read with a command for each kind of fact of a queue's jobs, and not for each job."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rota.client.reading import Raw, info_of, letter_of
from rota.model.info import JobInfo
from rota.model.state import State
from rota.wire.claims import encode_id, ms_of
from rota.wire.keys import IN_PROGRESS, JOB, RETRY, QueueKeys, queue_key
from rota.wire.sealing.seals import Sealer

#: The queue of a job, and its id.
Named = tuple[str, str]


async def read(
    redis: Any, wanted: Sequence[Named], state: State, sealer: Sealer | None = None
) -> dict[Named, JobInfo]:
    """Return those of some jobs that are alive, or with DEAD the dead letters that are there; in one round trip.

    `sealer` opens what is sealed. Raises what redis-py raises.
    """
    if not wanted:
        return {}
    groups = [
        (queue, [job_id for _, job_id in jobs]) for queue, jobs in groupby(sorted(wanted), lambda one: one[0])
    ]
    pipe = redis.pipeline(transaction=True)
    pipe.time()
    for queue, ids in groups:
        keys, members = QueueKeys.of(queue_key(queue)), [encode_id(one) for one in ids]
        if state is State.DEAD:
            for member in members:
                pipe.hgetall(f"{keys.dead}:".encode() + member)
        else:
            _ask(pipe, keys, members)
    time, *replies = await pipe.execute()
    answers = iter(replies)
    if state is State.DEAD:
        letters = [(queue, job_id, next(answers)) for queue, ids in groups for job_id in ids]
        return {
            (queue, job_id): letter_of(job_id, queue, letter, sealer)
            for queue, job_id, letter in letters
            if letter
        }
    found = {}
    for queue, ids in groups:
        for job_id, raw in zip(ids, _raws(answers), strict=True):
            info = info_of(job_id, queue, raw, ms_of(time), sealer)
            if info is not None:
                found[queue, job_id] = info
    return found


def _ask(pipe: Any, keys: QueueKeys, members: list[bytes]) -> None:
    pipe.mget([JOB.encode() + member for member in members])
    pipe.zmscore(keys.queue, members)
    pipe.zmscore(keys.active, members)
    pipe.mget([IN_PROGRESS.encode() + member for member in members])
    pipe.mget([RETRY.encode() + member for member in members])
    pipe.hmget(keys.runs, members)
    pipe.hmget(keys.progress, members)
    pipe.zmscore(keys.parked, members)
    pipe.hmget(keys.checkpoint, members)
    pipe.hmget(keys.snoozes, members)
    pipe.hmget(keys.attempts, members)


def _raws(answers: Iterator[Any]) -> Iterator[Raw]:
    """Yield the facts of each job of a queue, of the answers to what `_ask` has asked."""
    columns = [next(answers) for _ in range(11)]
    for payload, score, deadline, holder, *rest in zip(*columns, strict=True):
        # What is over has no score: it is passed over, and its record is not asked for.
        facts: list[Any] = [None, payload, score, deadline, int(holder is not None), *rest, {}]
        yield Raw(*facts)
