"""The dispatcher: reads the ends of jobs from the stream of events, and puts a job for each message about one.

The leader runs it. Whatever it does may be done twice, by another leader or after a crash: a message and its job have
the same ids then, and what has arrived is not sent again. Its place in the stream moves when the jobs are put.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import ResponseError

from rota.client.webhooks.records import WebhookRecords
from rota.model.event import StreamEvent
from rota.model.webhooks.job import delivery_on
from rota.model.webhooks.subscription import ENDS, Subscription, body_of, message_of
from rota.seams import Sender
from rota.server.faults import ServerError
from rota.server.outage import FAULTS
from rota.services.scheduler import Term
from rota.settings.settings import Settings
from rota.wire.events import read_events
from rota.wire.keys import events_key, webhooks_key

if TYPE_CHECKING:
    from rota.client.client import Client

logger = logging.getLogger("rota.webhooks")

#: From one look to the next where nothing is new, in seconds; and where there are no webhooks at all, so that an idle
#: worker costs little.
EVERY, SELDOM = 0.25, 90.0
#: For how long the webhooks that were read count, in seconds.
TRUST = 1.0
#: After how long it is said again that messages to a webhook are dropped, in seconds.
AGAIN = 60.0
#: The most entries of the stream that are read at once; each may hold dozens of events.
PAGE = 200
_FAULTS: tuple[type[BaseException], ...] = (*FAULTS, ServerError)
_START = "0-0"
_NAMES = frozenset(kind.value for kind in ENDS)


class Place(NamedTuple):
    """A place in the stream: its last entry that was read, and how many entries had been added up to then, or None."""

    entry: str = _START
    added: int | None = None

    def write(self) -> str:
        """Return the text that Redis keeps of it."""
        return f"{self.entry} {'' if self.added is None else self.added}"

    @classmethod
    def read(cls, raw: bytes | None) -> "Place":
        """Return the place that Redis keeps; the beginning where it keeps none."""
        entry, _, added = (raw or b"").decode("utf-8", "replace").partition(" ")
        ms, _, number = entry.partition("-")
        is_place = ms.isascii() and ms.isdigit() and number.isascii() and number.isdigit()
        return cls(entry, int(added) if added.isdigit() else None) if is_place else cls()


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is to go to one webhook."""

    webhook: Subscription
    message: str
    body: bytes


class Dispatcher:
    """The service of a leader that makes messages of events.

    :param connect: opens a client of Redis that nothing else uses.
    :param queue: the queue on which messages are delivered.
    :param term: the leader's term.
    :param senders: around every enqueue.
    """

    name = "webhooks"
    may_end = False

    def __init__(
        self,
        connect: Callable[[], Any],
        settings: Settings,
        queue: str,
        term: Term,
        senders: Sequence[Sender] = (),
    ) -> None:
        self._connect = connect
        self._settings = settings
        self._queue = queue
        self._term = term
        self._senders = senders
        self._events = events_key(settings.namespace)
        self._cursor = f"{webhooks_key(settings.namespace)}:cursor"
        self._hooks: list[Subscription] = []
        self._read_at = float("-inf")
        self._is_refused = False
        self._dropped_at: dict[str, float] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled. Raises what the term raises when it is over."""
        async with self._connect() as redis:
            place: Place | None = None
            while True:
                try:
                    if place is None:
                        place = Place.read(await redis.get(self._cursor))
                    place, pause = await self.look(redis, place)
                    self._is_refused = False
                except _FAULTS as error:
                    self._tell(error)
                    pause = 1.0
                await asyncio.sleep(pause)

    def _tell(self, error: BaseException) -> None:
        """Say once what Redis refuses; the workers log that it is away."""
        if isinstance(error.__cause__ or error, ResponseError) and not self._is_refused:
            logger.warning("webhooks.refused", extra={"error": str(error)})
            self._is_refused = True

    async def look(self, redis: Any, place: Place) -> tuple[Place, float]:
        """Make messages of the next events; return the place behind them, and after how many seconds to look again.

        Raises ServerError, and what redis-py raises; the same events are then to be read again.
        """
        self._term.check()
        webhooks = WebhookRecords(redis, self._settings.namespace)
        await self._refresh(webhooks)
        if not self._hooks:
            return place, SELDOM
        page = await redis.xrange(self._events, min=place.entry, count=PAGE + 1)
        is_whole = bool(page) and page[0][0].decode() == place.entry
        news = page[1:] if is_whole else page
        if not news:
            return place, EVERY
        if not is_whole:
            place = await self._behind_a_gap(redis, place, news[0][0].decode())
        await self._put(redis, webhooks, self._due(news))
        added = None if place.added is None else place.added + len(news)
        place = Place(news[-1][0].decode(), added)
        await redis.set(self._cursor, place.write())
        return place, 0.0 if len(page) > PAGE else EVERY

    async def _refresh(self, webhooks: WebhookRecords) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._read_at >= TRUST:
            self._hooks = [one for one in await webhooks.all() if not one.off]
            self._read_at = now

    def _due(self, page: Iterable[tuple[bytes, Any]]) -> list[Due]:
        """Return the messages that the events of a page make, in their order."""
        due = []
        for entry, fields in page:
            for raw in read_events(entry, fields):
                event = StreamEvent.read(raw) if raw.type in _NAMES else None
                if event is not None:
                    due += self._about(event)
        return due

    def _about(self, event: StreamEvent) -> list[Due]:
        hooks = [one for one in self._hooks if one.wants(event)]
        if not hooks:
            return []
        message, body = message_of(event), body_of(event)
        return [Due(hook, message, body) for hook in hooks]

    async def _put(self, redis: Any, webhooks: WebhookRecords, due: Sequence[Due]) -> None:
        """Write down the messages, and put the jobs that deliver them. Raises ServerError, and what redis-py raises."""
        by_webhook: dict[str, dict[str, bytes]] = {}
        for one in due:
            by_webhook.setdefault(one.webhook.id, {})[one.message] = one.body
        now = await webhooks.now_ms() if due else 0
        for webhook, messages in by_webhook.items():
            taken = await self._within(webhooks, webhook, messages, now)
            self._term.check()
            await webhooks.of(webhook).add(taken, now, self._queue)
            jobs = (delivery_on(self._queue, webhook, one).call(webhook, one) for one in taken)
            await self._client(redis).enqueue_many(jobs)

    def _client(self, redis: Any) -> "Client":
        """Return a client that puts jobs; it is loaded with the first message, 1.6 MB that few deployments need."""
        from rota.client.client import Client  # noqa: PLC0415

        return Client(redis, self._settings, senders=self._senders)

    async def _within(
        self, webhooks: WebhookRecords, webhook: str, messages: dict[str, bytes], now_ms: int
    ) -> dict[str, bytes]:
        """Return the messages for which there is room; the others are dropped, counted and told."""
        room = await webhooks.of(webhook).room(now_ms)
        if room >= len(messages):
            return messages
        dropped = len(messages) - room
        now = asyncio.get_running_loop().time()
        if now - self._dropped_at.get(webhook, float("-inf")) >= AGAIN:
            self._dropped_at[webhook] = now
            logger.error("webhook.dropped", extra={"webhook": webhook, "messages": dropped})
        await webhooks.of(webhook).dropped(dropped)
        return dict(list(messages.items())[:room])

    async def _behind_a_gap(self, redis: Any, place: Place, first: str) -> Place:
        """Return the place before the first entry that is left, and tell what was trimmed before it was read."""
        added = await self._added_before(redis)
        oldest = min(hook.since_ms for hook in self._hooks)
        # Of what was before its time no webhook is told, so nothing is lost.
        if place.entry != _START and int(first.partition("-")[0]) >= oldest:
            lost = None if None in (added, place.added) else (added or 0) - (place.added or 0)
            fields = {"entries": "unknown" if lost is None else lost, "after": place.entry, "to": first}
            logger.error("webhooks.lost", extra=fields)
        return Place(place.entry, added)

    async def _added_before(self, redis: Any) -> int | None:
        """Return how many entries had been added before the first that is left; None where Redis does not say."""
        try:
            raw = await redis.xinfo_stream(self._events)
        except ResponseError:
            return None
        added, length = raw.get("entries-added"), raw["length"]
        return None if added is None else int(added) - int(length)
