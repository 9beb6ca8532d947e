"""Reading the stream of events: page by page, from a place on, through outages of Redis."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

from rota.client import view
from rota.model.event import EventType, StreamEvent
from rota.model.info import JobInfo
from rota.model.state import State
from rota.server.faults import ServerError, explained
from rota.server.outage import Outage
from rota.wire.events import read_events
from rota.wire.keys import QueueKeys, queue_key
from rota.wire.sealing.seals import Sealer

#: The most entries that one round trip reads; each may hold dozens of events, about 2 KB of them.
_PAGE = 50
#: The first pause where nothing is new, and the longest, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
_PLACE = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20})(?:\.([0-9]{1,9}))?)?", re.ASCII)
#: The place before all events.
OLDEST = "0-0"


class _Place(NamedTuple):
    """A place in the stream: behind one event of an entry, by its number, or without one behind the whole entry."""

    entry: str
    event: int | None = None

    @classmethod
    def read(cls, position: str) -> "_Place":
        """Read the position of an event, or of an entry. Raises ValueError."""
        found = _PLACE.fullmatch(position)
        if not found:
            raise ValueError(
                f"after is {position!r}; it is the position of an event, such as 1767225600000-0.0, or 0-0"
            )
        ms, number, event = found.groups()
        return cls(f"{ms}-{number or 0}", int(event) if event else None)

    def is_before(self, event: StreamEvent) -> bool:
        """Tell whether an event, of this entry or of a later one, is behind this place."""
        entry, _, number = event.position.partition(".")
        return entry != self.entry or (self.event is not None and int(number) > self.event)


def check_position(position: str) -> None:
    """Raise ValueError for what is not the position of an event, or of an entry."""
    _Place.read(position)


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
        self._place = None if after is None else _Place.read(after)
        self._queue = queue
        self._types = None if types is None else frozenset(EventType(one) for one in types)
        self._outage = Outage("events")

    async def wait(self, redis: Any) -> list[StreamEvent]:
        """Return the next events, once there are some. Raises ServerError for a fault that does not pass by itself."""
        pause = _FIRST_PAUSE
        while True:
            try:
                found, more = await self.page(redis)
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

    async def page(self, redis: Any) -> tuple[list[StreamEvent], bool]:
        """Return the next events that are there and asked for, and whether there may be more. Raises ServerError."""
        if self._place is None:
            self._place = _Place.read(await newest(redis, self._key))
        before = self._place
        async with explained(redis):
            # The page begins with the entry that was read last, as long as it is there. If it is not, others that were
            # not read may be gone as well.
            page = await redis.xrange(self._key, min=before.entry, count=_PAGE)
        gap = bool(page) and page[0][0].decode() != before.entry and before.entry != OLDEST
        found = []
        for entry, raw in page:
            for event in _events_of(entry, raw):
                if before.is_before(event) and self._wants(event):
                    found.append(event.after_gap() if gap else event)
                    gap = False
        if page:
            self._place = _Place(page[-1][0].decode())
        return found, len(page) == _PAGE

    def _wants(self, event: StreamEvent) -> bool:
        return self._queue in (None, event.queue) and (self._types is None or event.type in self._types)


def _events_of(entry: bytes, raw: Any) -> list[StreamEvent]:
    events = map(StreamEvent.read, read_events(entry, raw))
    return [event for event in events if event is not None]


async def ended(
    redis: Any,
    key: str,
    queue: str,
    state: State,
    most: int,
    *,
    tenant: str | None = None,
    sealer: Sealer | None = None,
) -> list[JobInfo]:
    """Return the latest jobs of a queue that ended so, newest first, of those whose event and record are still kept.

    Redis keeps no list of such jobs, so the stream is read backwards until there are `most`. `sealer` opens what is
    sealed. Raises the faults of Redis.
    """
    found: dict[str, JobInfo] = {}
    keys, last = QueueKeys.of(queue_key(queue)), "+"
    while len(found) < most:
        page = await redis.xrevrange(key, max=last, count=_PAGE)
        events = [event for entry, raw in page for event in reversed(_events_of(entry, raw))]
        wanted = [one for one in events if (one.queue, one.type) == (queue, state.value)]
        wanted = [one for one in wanted if tenant in (None, one.tenant)]
        ids = list(dict.fromkeys(one.id for one in wanted if one.id not in found))
        for info in await view.find(redis, queue, keys, ids, sealer=sealer) if ids else ():
            # An id may have been used again, and its record may have expired.
            if info is not None and info.state is state and tenant in (None, info.tenant):
                found[info.id] = info
        if len(page) < _PAGE:
            break
        last = f"({page[-1][0].decode()}"
    return list(found.values())[:most]


async def newest(redis: Any, key: str) -> str:
    """Return the place of the newest event of the stream at `key`. Raises ServerError."""
    async with explained(redis):
        last = await redis.xrevrange(key, count=1)
    if not last:
        return OLDEST
    entry, raw = last[0]
    events = read_events(entry, raw)
    return events[-1].position if events else entry.decode()
