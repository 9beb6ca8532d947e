"""What Redis holds that nothing lists: its queues, of any origin, and the lines in which jobs wait for limits."""

from typing import Any, NamedTuple
from urllib.parse import unquote

from rota.names import NAME
from rota.wire.keys import QUEUE, RESERVED, QueueKeys
from rota.wire.scripts import LONGEST

#: How many keys one call of SCAN looks at: about 0.2 ms of Redis' time.
_AT_ONCE = 1000
#: How many of the jobs that limits keep back are asked for the lines that they stand in.
_ASKED = 200


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
