"""What was sent to a webhook: a record for each message, kept for a week, of the last thousand messages.

A record is made before the job that sends its message, and says of each attempt how it went. So whatever is done twice,
by two leaders or after a crash, finds the record and changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rota.wire.keys import webhook_key

#: How long a record is kept, in ms, and how many of them a list has.
KEPT_MS = 7 * 86_400_000
MOST = 1000
#: The fields of a record beside its body, which may be large.
_HEAD = (b"state", b"attempts", b"created", b"last", b"status", b"error", b"queue")
#: The most messages of one webhook that wait to arrive; what comes beyond is dropped.
MOST_OPEN = 10_000
#: After this time nothing tries to send a message any more, in ms: a day of attempts, and what kept them waiting.
_OPEN_MS = 3 * 86_400_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one webhook.

    :param id: of the message, `webhook-id`.
    :param state: "pending", "delivered" or "failed"; "retrying" where an attempt failed and another one follows.
    :param status: what the receiver answered last; None: nothing.
    :param error: why it has not arrived.
    :param queue: where its job is.
    :param body: what is sent.
    """

    id: str
    state: str
    attempts: int
    created: datetime
    last: datetime | None = None
    status: int | None = None
    error: str = ""
    queue: str = ""
    body: bytes = b""

    @classmethod
    def read(cls, message: str, raw: Mapping[bytes, bytes]) -> "Delivery | None":
        """Return the delivery that a record is of; None for what is none, or has expired."""
        texts = {
            name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in raw.items()
        }
        try:
            last, status = int(texts.get("last", 0)), int(texts.get("status", 0))
            return cls(
                message,
                texts["state"],
                int(texts.get("attempts", 0)),
                _moment(int(texts["created"])),
                _moment(last) if last else None,
                status or None,
                texts.get("error", ""),
                texts.get("queue", ""),
                raw[b"body"],
            )
        except (KeyError, ValueError, OverflowError, OSError):
            return None


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of messages to one webhook that arrived, failed, or were dropped since it was made."""

    delivered: int = 0
    failed: int = 0
    dropped: int = 0

    @classmethod
    def read(cls, raw: Mapping[bytes, bytes]) -> "Counts":
        """Return the counts that Redis has; what cannot be read counts as nothing."""
        found = {name: raw.get(name.encode(), b"") for name in ("delivered", "failed", "dropped")}
        return cls(**{name: int(value) if value.isdigit() else 0 for name, value in found.items()})


class Deliveries:
    """The records of one webhook's messages.

    :param redis: an asyncio client.
    """

    def __init__(self, redis: Any, namespace: str, webhook: str) -> None:
        self._redis = redis
        self._key = webhook_key(namespace, webhook)
        self._sent, self._open, self.counts_key = (
            f"{self._key}:{part}" for part in ("sent", "open", "counts")
        )

    # As the leader makes them

    async def room(self, now_ms: int) -> int:
        """Return how many more messages may wait."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.zremrangebyscore(self._open, "-inf", now_ms - _OPEN_MS)
        pipe.zcard(self._open)
        _, waiting = await pipe.execute()
        return max(0, MOST_OPEN - int(waiting))

    async def add(self, messages: Mapping[str, bytes], now_ms: int, queue: str) -> None:
        """Make a record of each message with its body, but for those that have one; `queue` has its job."""
        if not messages:
            return
        pipe = self._redis.pipeline(transaction=False)
        for message, body in messages.items():
            pipe.hsetnx(f"{self._key}:{message}", "body", body)
        news = [one for one, made in zip(messages, await pipe.execute(), strict=True) if made]
        # A record without a state was left behind by a crash, and is completed.
        for message in messages:
            pipe.hsetnx(f"{self._key}:{message}", "state", "pending")
            pipe.hsetnx(f"{self._key}:{message}", "created", now_ms)
            pipe.hsetnx(f"{self._key}:{message}", "queue", queue)
            pipe.pexpire(f"{self._key}:{message}", KEPT_MS)
        pipe.zadd(self._sent, dict.fromkeys(messages, now_ms), nx=True)
        if news:
            pipe.zadd(self._open, dict.fromkeys(news, now_ms))
        await pipe.execute()
        await self._bound()

    async def dropped(self, count: int) -> None:
        """Count messages for which there was no room."""
        await self._redis.hincrby(self.counts_key, "dropped", count)

    async def _bound(self) -> None:
        old = await self._redis.zrange(self._sent, 0, -MOST - 1)
        pipe = self._redis.pipeline(transaction=False)
        if old:
            pipe.zrem(self._sent, *old)
        for key in (self._sent, self._open):
            pipe.pexpire(key, KEPT_MS)
        await pipe.execute()

    # As their jobs change them

    async def note(
        self,
        message: str,
        state: str,
        attempt: int,
        now_ms: int,
        *,
        status: int | None = None,
        error: str = "",
    ) -> None:
        """Write down how an attempt went; after the last one the message waits no more."""
        pipe = self._redis.pipeline(transaction=True)
        told = {
            "state": state,
            "attempts": attempt,
            "last": now_ms,
            "status": status or 0,
            "error": error[:500],
        }
        pipe.hset(f"{self._key}:{message}", mapping=told)
        pipe.pexpire(f"{self._key}:{message}", KEPT_MS)
        if state != "retrying":
            pipe.zrem(self._open, message)
            pipe.hincrby(self.counts_key, state, 1)
        await pipe.execute()

    # As people see them

    async def one(self, message: str) -> Delivery | None:
        """Return the record of a message; None where there is none."""
        return Delivery.read(message, await self._redis.hgetall(f"{self._key}:{message}"))

    async def page(self, *, skip: int = 0, limit: int = 50) -> list[Delivery]:
        """Return records, the newest first, after the `skip` newest ones."""
        messages = await self._redis.zrange(self._sent, skip, skip + limit - 1, desc=True)
        return await self._of([one.decode("utf-8", "replace") for one in messages])

    async def _of(self, messages: Sequence[str]) -> list[Delivery]:
        pipe = self._redis.pipeline(transaction=False)
        for message in messages:
            pipe.hgetall(f"{self._key}:{message}")
        raw = await pipe.execute() if messages else ()
        found = (Delivery.read(*pair) for pair in zip(messages, raw, strict=True))
        return [one for one in found if one is not None]

    async def heads(self, state: str = "", *, skip: int = 0, limit: int = 50) -> list[Delivery]:
        """Return records without their bodies, the newest first, after the first `skip` ones; with a state, of that.

        Two round trips, also where all records that are kept are looked at for a state.
        """
        first, last = (0, MOST - 1) if state else (skip, skip + limit - 1)
        messages = [
            one.decode("utf-8", "replace")
            for one in await self._redis.zrange(self._sent, first, last, desc=True)
        ]
        pipe = self._redis.pipeline(transaction=False)
        for message in messages:
            pipe.hmget(f"{self._key}:{message}", _HEAD)
        raw = await pipe.execute() if messages else ()
        known = (dict(zip(_HEAD, values, strict=True)) for values in raw)
        found = (
            Delivery.read(
                message, {b"body": b""} | {name: value for name, value in one.items() if value is not None}
            )
            for message, one in zip(messages, known, strict=True)
        )
        wanted = [one for one in found if one is not None and state in ("", one.state)]
        return wanted[skip : skip + limit] if state else wanted

    async def counts(self) -> Counts:
        """Return what became of all messages."""
        return Counts.read(await self._redis.hgetall(self.counts_key))

    async def reopen(self, message: str, now_ms: int) -> None:
        """Let a message count as one that waits, as it is to be sent again."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(f"{self._key}:{message}", "state", "pending")
        pipe.pexpire(f"{self._key}:{message}", KEPT_MS)
        pipe.zadd(self._open, {message: now_ms})
        pipe.pexpire(self._open, KEPT_MS)
        await pipe.execute()

    async def forget(self) -> None:
        """Remove the lists of a webhook that is deleted; its records expire."""
        await self._redis.delete(self._sent, self._open, self.counts_key)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
