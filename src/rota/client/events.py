"""Reading the stream of events: page by page, from a place on, through outages of Redis."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any

from rota.client import view
from rota.model.event import EventType, StreamEvent
from rota.model.info import JobInfo
from rota.model.state import State
from rota.server.faults import ServerError, explained
from rota.server.outage import Outage
from rota.wire.keys import QueueKeys, queue_key

#: The most events that one round trip reads.
_PAGE = 500
#: The first pause where nothing is new, and the longest, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
_PLACE = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?", re.ASCII)
#: The place before all events.
OLDEST = "0-0"


class EventReader:
    """One reader of the stream at `key`, which remembers its place.

    :param after: the place to read on after; None is that of the newest event at the first read.
    :param queue: read the events of this queue alone; None: of all.
    :param types: read events of these types alone; None: all.
    """

    def __init__(
        self, key: str, after: str | None, *, queue: str | None, types: Iterable[EventType | str] | None
    ) -> None:
        self._key = key
        self._place = None if after is None else _checked(after)
        self._queue = queue
        self._types = None if types is None else frozenset(EventType(one) for one in types)
        self._outage = Outage("events")

    async def wait(self, redis: Any) -> list[StreamEvent]:
        """Return the next events, once there are some. Raises ServerError for a fault that does not pass by itself."""
        pause = _FIRST_PAUSE
        while True:
            try:
                found, more = await self._read(redis)
            except ServerError as error:
                if not error.transient:
                    raise
                await self._outage.pause(error)
                continue
            self._outage.over()
            if found:
                return found
            if not more:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def all(self, redis: Any) -> AsyncIterator[StreamEvent]:
        """Yield the events one by one, without end. Raises what `wait` raises."""
        while True:
            for event in await self.wait(redis):
                yield event

    async def _read(self, redis: Any) -> tuple[list[StreamEvent], bool]:
        """Return the events of one page that are asked for, and whether there may be more behind it."""
        if self._place is None:
            self._place = await newest(redis, self._key)
        async with explained(redis):
            # The page begins with the event that was read last, as long as it is there. If it is not, others that were
            # not read may be gone as well.
            page = await redis.xrange(self._key, min=self._place, count=_PAGE)
        new = [(place, raw) for place, raw in page if place.decode() != self._place]
        gap = bool(new) and len(new) == len(page) and self._place != OLDEST
        found = []
        for place, raw in new:
            self._place = place.decode()
            event = StreamEvent.read(place, raw)
            if event is not None and self._wants(event):
                found.append(event.after_gap() if gap else event)
                gap = False
        return found, len(page) == _PAGE

    def _wants(self, event: StreamEvent) -> bool:
        return self._queue in (None, event.queue) and (self._types is None or event.type in self._types)


def _checked(place: str) -> str:
    if not _PLACE.fullmatch(place):
        raise ValueError(
            f"after is {place!r}; it is the position of an event, such as 1767225600000-0, or 0-0"
        )
    return place if "-" in place else f"{place}-0"


async def ended(redis: Any, key: str, queue: str, state: State, most: int) -> list[JobInfo]:
    """Return the latest jobs of a queue that ended so, newest first, of those whose event and record are still kept.

    Redis keeps no list of such jobs, so the stream is read backwards until there are `most`. Raises the faults of
    Redis.
    """
    found: dict[str, JobInfo] = {}
    keys, last = QueueKeys.of(queue_key(queue)), "+"
    while len(found) < most:
        page = await redis.xrevrange(key, max=last, count=_PAGE)
        events = [StreamEvent.read(place, raw) for place, raw in page]
        wanted = [one for one in events if one and (one.queue, one.type) == (queue, state.value)]
        ids = list(dict.fromkeys(one.id for one in wanted if one.id not in found))
        for info in await view.find(redis, queue, keys, ids) if ids else ():
            # An id may have been used again, and its record may have expired.
            if info is not None and info.state is state:
                found[info.id] = info
        if len(page) < _PAGE:
            break
        last = f"({page[-1][0].decode()}"
    return list(found.values())[:most]


async def newest(redis: Any, key: str) -> str:
    """Return the place of the newest event of the stream at `key`. Raises ServerError."""
    async with explained(redis):
        last = await redis.xrevrange(key, count=1)
    return last[0][0].decode() if last else OLDEST
