"""The dead letters on a bench, read without awaiting."""

from collections.abc import Mapping
from typing import Any

from rota.client.reading import letter_of
from rota.model.info import JobInfo
from rota.wire.claims import decode_id
from rota.wire.sealing.seals import Sealer


def dead_letters(redis: Any, dead: Mapping[str, str], sealer: Sealer | None = None) -> list[JobInfo]:
    """Return the dead letters of the queues in `dead` (name → key of its dead letters), oldest first.

    `sealer` opens what is sealed.
    """
    found = []
    for queue, key in dead.items():
        for member, at in redis.zrange(key, 0, -1, withscores=True):
            letter = redis.hgetall(f"{key}:".encode() + member)
            if letter:
                found.append((at, letter_of(decode_id(member), queue, letter, sealer)))
    return [info for _, info in sorted(found, key=lambda pair: pair[0])]
