"""The hub: one reader of the stream of events for all who listen in this process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from rota.api.live.updates import Place, Update, Wanted
from rota.client.client import Client
from rota.client.events import EventReader
from rota.errors import RotaError
from rota.model.access.keys import AccessKey
from rota.settings.settings import Settings
from rota.wire.keys import events_key

logger = logging.getLogger("rota.api")

#: The most updates that wait for one listener; one that is further behind is told to start over.
MOST_WAITING = 1000
#: The number of updates that are told before the listeners have their turn to send them.
TURN = 50
#: How often the keys of those who listen are looked at, and whether anybody does, in seconds.
CHECKS = 10.0
#: For how long the place of the newest event counts, in seconds.
FRESH = 0.5


class Listener:
    """One who listens, and the updates that wait for it. A thousand of them are to be small.

    :param key: by which it was let in; it is sent away when that ends.
    """

    __slots__ = ("_bell", "_waiting", "_wants", "is_lost", "is_over", "key")

    def __init__(self, wants: Wanted, key: AccessKey | None = None) -> None:
        self._wants = wants
        self.key = key
        #: Whether it is to be sent away.
        self.is_over = False
        self._waiting: list[Update] = []
        self._bell: asyncio.Future[None] | None = None
        #: Whether updates were dropped because it is too slow, or because they were trimmed before they were read.
        self.is_lost = False

    def tell(self, update: Update) -> None:
        """Let an update wait for the listener, if it wants that one."""
        if self.is_over or not self._wants(update):
            return
        if len(self._waiting) >= MOST_WAITING:
            self.lose()
        self._waiting.append(update)
        self.wake()

    def lose(self) -> None:
        """Drop what waits: the listener is to start over."""
        self._waiting.clear()
        self.is_lost = True
        self.wake()

    def end(self) -> None:
        """Let it be sent away, instead of being told any more."""
        self._waiting.clear()
        self.is_over = True
        self.wake()

    def wake(self) -> None:
        """End the wait of the listener, if it waits."""
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    def take(self) -> list[Update]:
        """Return what waits, which is then no longer there."""
        found, self._waiting = self._waiting, []
        return found

    async def wait(self, seconds: float) -> None:
        """Wait until there is something to take, or `wake` is called, at most so long."""
        if self._waiting or self.is_lost or self.is_over:
            return
        loop = asyncio.get_running_loop()
        self._bell = loop.create_future()
        timer = loop.call_later(seconds, self.wake)
        try:
            await self._bell
        finally:
            timer.cancel()
            self._bell = None


class Missed(NamedTuple):
    """A page of updates that a listener has missed.

    :param has_gap: whether some before its end are not kept any more.
    """

    updates: list[Update]
    has_gap: bool


class Hub:
    """The listeners of one application, and the tasks for them while there are any.

    :param holds: tells whether a key still lets its holder in.
    """

    def __init__(
        self, client: Client, settings: Settings, holds: Callable[[AccessKey], Awaitable[bool]]
    ) -> None:
        self._client = client
        self._holds = holds
        self._key = events_key(settings.namespace)
        #: The other sites whose pages may listen.
        self.origins = settings.api_allowed_origins or ()
        self._listeners: set[Listener] = set()
        #: Those of them who are told what happens, for whom the stream is read.
        self._told: set[Listener] = set()
        #: The place of the newest event, and when it was looked for.
        self._newest, self._looked = "", -FRESH
        self._looking = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._beginning = asyncio.Lock()
        #: The place behind which the listeners have not heard.
        self.position = ""
        #: Whether all who listen are to be sent away.
        self.is_closed = False

    async def join(self, listener: Listener) -> str:
        """Let `listener` hear of all that happens from now on; return where that begins. Raises ServerError."""
        self.watch(listener)
        self._told.add(listener)
        try:
            async with self._beginning:
                if self._reading is None or self._reading.done():
                    self.position = await self._client.event_position()
                    if not self.is_closed:
                        self._reading = asyncio.create_task(self._read(self.position))
        except BaseException:
            self.leave(listener)
            raise
        return self.position

    def watch(self, listener: Listener) -> None:
        """Send `listener` away when its key has ended or the process does, and tell it nothing else."""
        self._listeners.add(listener)
        if self.is_closed:
            listener.end()
        elif self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())

    async def newest(self) -> str:
        """Return the place of the newest event: one look counts for a moment for all who ask. Raises ServerError.

        The moment after a look that failed has the place that was known before; "" where none was.
        """
        loop = asyncio.get_running_loop()
        async with self._looking:
            if loop.time() >= self._looked + FRESH:
                try:
                    self._newest = await self._client.event_position()
                finally:
                    self._looked = loop.time()
        return self._newest

    def leave(self, listener: Listener) -> None:
        """Let `listener` hear no more. Some time after the last has left, nothing is read any more."""
        self._listeners.discard(listener)
        self._told.discard(listener)

    async def close(self) -> None:
        """Send all listeners away, and stop reading."""
        self.is_closed = True
        for listener in self._listeners:
            listener.end()
        tasks = [one for one in (self._reading, self._checking) if one is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def missed(
        self, after: str, wants: Wanted, listener: Listener | None = None
    ) -> AsyncIterator[Missed]:
        """Yield the updates behind a place that are kept, page by page, so that the memory for them is bounded.

        If `listener` loses updates meanwhile, they are read as well. Raises ValueError for another text than a place,
        ServerError.
        """
        reader, more = EventReader(self._key, after, queue=None, types=None), True
        while more or (listener is not None and listener.is_lost):
            if listener is not None:
                listener.is_lost = False
            events, more = await reader.page(self._client.redis)
            wanted = [one for one in map(Update.of, events) if wants(one)]
            yield Missed(wanted, has_gap=any(event.gap for event in events))

    async def _read(self, begin: str) -> None:
        reader = EventReader(self._key, begin, queue=None, types=None)
        try:
            while True:
                for number, event in enumerate(await reader.wait(self._client.redis), 1):
                    self._tell(Update.of(event), after_gap=event.gap)
                    self.position = event.position
                    if number % TURN == 0:
                        # A page may have more than wait for one listener: each sends what it has first.
                        await asyncio.sleep(0)
        except RotaError:
            # Not one that passes: who listens is to begin again, and then meets it.
            logger.exception("api.events_unread")
            for listener in self._told:
                listener.lose()

    async def _check(self) -> None:
        """Now and then, send those away whose key was revoked or has expired; stop reading when nobody is told."""
        while self._listeners:
            await asyncio.sleep(CHECKS)
            if not self._told and self._reading is not None:
                self._reading.cancel()
                self._reading = None
            for key in {one.key for one in self._listeners}:
                if key is not None and not await self._holds(key):
                    for listener in [one for one in self._listeners if one.key == key]:
                        listener.end()

    def _tell(self, update: Update, *, after_gap: bool) -> None:
        for listener in self._told:
            if after_gap:
                listener.lose()
            listener.tell(update)


def behind(updates: list[Update], place: Place) -> list[Update]:
    """Return those of `updates` that are behind a place."""
    return [one for one in updates if one.place > place]
