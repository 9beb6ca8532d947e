"""Switches the writing of records on, and keeps their stream within its bound in Redis' memory.

While the audit table cannot be written, records pile up. Before the bound is reached, less is recorded of each job:
first no progress (level 1), then no payloads and logs either (level 2). At the bound the oldest records go, to keep
Redis for the jobs. Each of these is logged, and `arq_records_level` shows it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.server.outage import FAULTS, Outage
from rota.wire.keys import recording_key, records_key

logger = logging.getLogger("rota.recorder")

#: From one look to the next, in seconds: what comes within it may exceed the bound.
EVERY = 2.0
#: The life of the key that switches recording on, in seconds. Where nothing leads for so long, recording ends.
LIFE = 86_400
#: The parts of the bound at which a level begins. It ends at this much less.
LEVELS, HYSTERESIS = (0.70, 0.85), 0.20
#: The part of the bound about which the stream stays while its oldest entries go.
FULL = 0.97
#: What an entry is taken to need where there are too few to tell, in bytes.
_USUAL, _FEW = 4096, 1000
#: To measure the stream, Redis looks at all of it, some ten milliseconds for 256 MiB. So that is done again when the
#: number of its entries has changed by this part, or after this time, in seconds.
DRIFT, STALE = 0.05, 30.0
#: The least number of entries that are kept.
_LEAST = 100
#: What is left out at a level.
_LEFT_OUT = {0: "nothing", 1: "progress", 2: "progress, payloads and logs"}


@dataclass(frozen=True, slots=True)
class Recording:
    """The word for the scripts: how much to record, and how many entries may lie in the stream.

    :param level: 0 everything, 1 no progress, 2 no payloads and logs either.
    :param most: the number of entries above which the oldest are removed.
    """

    level: int
    most: int

    def wire(self) -> str:
        """Return the text that the scripts read."""
        return f"{self.level} {self.most}"


def bounded(level: int, entries: int, used: int, limit: int) -> Recording:
    """Return what to record from now on, where `entries` use `used` bytes of `limit`, and `level` held until now."""
    share = used / limit
    reached = sum(share >= begin for begin in LEVELS)
    kept = sum(share >= begin - HYSTERESIS for begin in LEVELS)
    level = max(reached, min(level, kept))
    size = used / entries if entries >= _FEW else max(_USUAL, used / max(1, entries))
    return Recording(level, max(_LEAST, int(limit / size)))


@dataclass(frozen=True, slots=True)
class _Measured:
    """The size of the stream when all of it was looked at."""

    entries: int
    used: int
    at: float


class RecordsBound:
    """The service that keeps recording switched on, and bounds it.

    :param open_redis: returns a client that nothing else uses; closed when the service ends.
    :param namespace: the prefix of the deployment's own keys.
    :param limit: the memory that records may take up in Redis, in bytes.
    :param clock: tells how old a measure is.
    """

    name = "records"
    may_end = False

    def __init__(
        self, open_redis: Callable[[], Any], namespace: str, limit: int, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._clock = clock
        self._measured = _Measured(0, 0, float("-inf"))
        self._open_redis = open_redis
        self._stream = records_key(namespace)
        self._switch = recording_key(namespace)
        self._limit = limit
        self._level = 0
        self._is_full = False
        self._outage = Outage("records")

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        async with self._open_redis() as redis:
            await self._resume(redis)
            while True:
                try:
                    await self.look(redis)
                except FAULTS as error:
                    await self._outage.pause(error)
                    continue
                self._outage.over()
                await asyncio.sleep(EVERY)

    async def look(self, redis: Any) -> None:
        """Measure the stream, and tell the scripts what to record. Raises what redis-py raises."""
        entries = await redis.xlen(self._stream)
        used = await self._used(redis, entries)
        now = bounded(self._level, entries, used, self._limit)
        await redis.set(self._switch, now.wire(), ex=LIFE)
        self._tell(now.level, entries, used)

    async def _used(self, redis: Any, entries: int) -> int:
        """Return the bytes of the stream: measured now, or computed from the last measure where little has changed."""
        measured = self._measured
        is_stale = self._clock.monotonic() - measured.at >= STALE
        if is_stale or entries < _FEW or abs(entries - measured.entries) > measured.entries * DRIFT:
            # By itself Redis looks at the five oldest nodes of the stream and takes all others to be as large.
            used = await redis.memory_usage(self._stream, samples=0) or 0
            measured = self._measured = _Measured(entries, used, self._clock.monotonic())
        return round(measured.used * entries / max(1, measured.entries))

    async def _resume(self, redis: Any) -> None:
        """Take over the level of the leader before this one."""
        try:
            level = (await redis.get(self._switch) or b"").partition(b" ")[0]
        except FAULTS:
            return
        self._level = int(level) if level in (b"1", b"2") else 0

    def _tell(self, level: int, entries: int, used: int) -> None:
        fields = {"entries": entries, "bytes": used, "limit": self._limit, "left_out": _LEFT_OUT[level]}
        if level > self._level:
            logger.error("recorder.filling", extra=fields)
        elif level < self._level:
            logger.info("recorder.relieved", extra=fields)
        is_full = used >= self._limit * (FULL - HYSTERESIS if self._is_full else FULL)
        if is_full and not self._is_full:
            logger.critical("recorder.full", extra=fields)
        self._level, self._is_full = level, is_full
