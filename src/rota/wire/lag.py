"""Reads how far the recorder is behind, and how much is recorded: one round trip, whatever lies in the stream."""

from dataclasses import dataclass
from typing import Any

from rota.wire.keys import recording_key, records_key


@dataclass(frozen=True, slots=True)
class Lag:
    """The records that are not yet in the audit table.

    :param entries: entries of the stream that no recorder has written.
    :param seconds: the age of the oldest of them.
    :param level: what is left out of records: 0 nothing, 1 progress, 2 payloads too.
    """

    entries: int = 0
    seconds: float = 0.0
    level: int = 0


async def read_lag(redis: Any, namespace: str, at: float) -> Lag:
    """Read the lag at a moment, in seconds of the server's clock. Raises what redis-py raises.

    Keys of another type, a switch that cannot be read, and what this user may not read, count as nothing.
    """
    stream = records_key(namespace)
    pipe = redis.pipeline(transaction=False)
    pipe.get(recording_key(namespace))
    pipe.xlen(stream)
    pipe.xrange(stream, count=2)
    switch, length, oldest = await pipe.execute(raise_on_error=False)
    if not isinstance(length, int) or not isinstance(oldest, list):
        length, oldest = 0, []
    # The first entry is in the table: the recorder leaves the last one there, to see whether others behind it are gone.
    entries = max(0, length - 1)
    seconds = max(0.0, at - _moment(oldest[1][0])) if entries and len(oldest) > 1 else 0.0
    level = switch.partition(b" ")[0] if isinstance(switch, bytes) else b""
    return Lag(entries, seconds, int(level) if level in (b"1", b"2") else 0)


def _moment(entry: bytes) -> float:
    return int(entry.partition(b"-")[0]) / 1000
