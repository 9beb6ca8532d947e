"""What Redis holds that nothing lists: queues of any origin, jobs that no worker knows, the lines of limits."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from rota.errors import UnreadablePayload
from rota.names import NAME
from rota.wire.envelopes import decode_job
from rota.wire.keys import JOB, QUEUE, RESERVED, QueueKeys, queue_key
from rota.wire.scripts import LONGEST

#: How many keys one call of SCAN looks at: about 0.2 ms of Redis' time.
_AT_ONCE = 1000
#: How many of the jobs that limits keep back are asked for the lines that they stand in.
_ASKED = 200
#: How many of the jobs of a queue that had a worker before are looked at for unknown ones, and how many of these are
#: asked for their names.
_LOOKED_AT, _NAMED = 10_000, 50


class Line(NamedTuple):
    """The jobs of a queue that wait for one key of a limit.

    :param limit: the limit's name, such as that of its job.
    :param key: the values that it is counted by; "" where all jobs share one count.
    """

    limit: str
    key: str
    jobs: int


async def queues_in(redis: Any) -> set[str]:
    """Return the short names of the queues that have jobs or dead letters. Raises what redis-py raises.

    Looks at every key of the database, a part at a time between the commands of others: a second for a million keys.
    """
    found: set[str] = set()
    cursor = 0
    while True:
        cursor, keys = await redis.scan(cursor, match=f"{QUEUE}*", count=_AT_ONCE, _type="zset")
        found.update(name for key in keys if (name := _queue_of(key)))
        if not cursor:
            return found


def _queue_of(key: bytes) -> str | None:
    """Return the queue whose jobs, or whose dead letters, are under `key`; None for any other key."""
    name, _, part = key.decode("utf-8", "replace").removeprefix(QUEUE).partition(":")
    # A bare worker on arq's own queue has keys such as `arq:queue:active`, which look like a queue's.
    is_queue = NAME.fullmatch(name) and name not in RESERVED and part in ("", "dead")
    return name if is_queue else None


class Unknown(NamedTuple):
    """The jobs of a queue that wait for a worker that knows them, and names of some."""

    jobs: int = 0
    names: tuple[str, ...] = ()


async def unknown_jobs(redis: Any, queues: Sequence[str]) -> dict[str, Unknown]:
    """Return, for each queue, how many jobs no worker knew that met them; of very many, at least how many.

    It is one round trip where no job waits that a worker has met before. Raises what redis-py raises.
    """
    keys = {queue: QueueKeys.of(queue_key(queue)) for queue in queues}
    pipe = redis.pipeline(transaction=False)
    for one in keys.values():
        pipe.hlen(one.runs)
        pipe.zcard(one.active)
    counts = await pipe.execute()
    met = dict(
        zip(
            queues,
            (runs - active for runs, active in zip(counts[::2], counts[1::2], strict=True)),
            strict=True,
        )
    )
    return {
        queue: await _unknown(redis, keys[queue].runs) if met[queue] > 0 else Unknown() for queue in queues
    }


def told_of(unknown: Unknown) -> str:
    """Return what there is to say of unknown jobs, in words; "" if there are none."""
    if not unknown.jobs:
        return ""
    names = f": {', '.join(unknown.names)}" if unknown.names else ""
    jobs = "1 job waits" if unknown.jobs == 1 else f"{unknown.jobs:,} jobs wait"
    return f"{jobs} for a worker that knows the name{names}"


async def _unknown(redis: Any, runs: str) -> Unknown:
    found: list[bytes] = []
    cursor, seen = 0, 0
    while seen < _LOOKED_AT:
        cursor, entries = await redis.hscan(runs, cursor, count=_AT_ONCE)
        # The entry of a job that waits begins with a dash, and ends with since when it is unknown.
        found += (job_id for job_id, entry in entries.items() if entry[:1] == b"-" and entry[-2:] != b" 0")
        seen += len(entries)
        if not cursor:
            break
    payloads = await redis.mget([JOB.encode() + job_id for job_id in found[:_NAMED]]) if found else []
    return Unknown(len(found), tuple(sorted({name for raw in payloads if (name := _name_in(raw))})))


def _name_in(payload: bytes | None) -> str:
    """Return the name of the job that a payload is of; "" where that cannot be read."""
    try:
        return decode_job(payload).name if payload else ""
    except UnreadablePayload:
        return ""


async def longest_lines(redis: Any, queue: str) -> list[Line]:
    """Return the lines of the queue with this key that a good part of its waiting jobs stand in, the longest first.

    It is one round trip, whose cost does not grow with the number of jobs. Raises what redis-py raises.
    """
    keys = QueueKeys.of(queue)
    found: list[Any] = await LONGEST(redis, (keys.queue, keys.parked, keys.terms), (_ASKED,))
    lines = [_line(*found[place : place + 3]) for place in range(0, len(found), 3)]
    return sorted(lines, key=lambda line: (-line.jobs, line))


def _line(limit: bytes, key: bytes, jobs: int) -> Line:
    # A limit's key in Redis is `<namespace>:<kind>:<name>`, and the name of a job has its queue before it.
    name = limit.decode("utf-8", "replace").split(":", 2)[-1]
    text = key.decode("utf-8", "replace")
    return Line(name, "" if text == "*" else unquote(text), jobs)
