"""What Redis keeps of the API's callers: their keys, tickets and sessions, and how much each has asked for."""

import time
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Protocol

from rota.wire.claims import encode_id
from rota.wire.keys import access_key
from rota.wire.scripts import METER, QUOTA

#: How long the jobs of a quota are remembered after the last of them was enqueued, in ms.
_REMEMBERED_MS = 30 * 86_400_000


class Rate(Protocol):
    """A rate of requests, as the script takes it."""

    @property
    def interval_us(self) -> int: ...
    @property
    def burst(self) -> int: ...


class AccessRecords:
    """The records of a namespace's API keys, one hash, and what hangs on them.

    :param redis: an asyncio client.
    """

    def __init__(self, redis: Any, namespace: str) -> None:
        self._redis = redis
        self._key = access_key(namespace)

    # Keys

    async def read(self, key_id: str) -> bytes | None:
        """Return the record of a key; None where there is none."""
        found: bytes | None = await self._redis.hget(self._key, key_id)
        return found

    async def has_any(self) -> bool:
        """Tell whether there is any key at all."""
        return bool(await self._redis.exists(self._key))

    async def all(self) -> dict[str, bytes]:
        """Return the record of every key by its id."""
        found = await self._redis.hgetall(self._key)
        return {key_id.decode("utf-8", "replace"): raw for key_id, raw in found.items()}

    async def put(self, records: dict[str, bytes]) -> None:
        """Write records, in place of those that the same ids have."""
        await self._redis.hset(self._key, mapping=records)

    async def remove(self, key_id: str) -> bool:
        """Remove a record; tell whether it was there."""
        return bool(await self._redis.hdel(self._key, key_id))

    # Tickets and sessions

    async def keep_ticket(self, ticket: str, record: bytes, life: float) -> None:
        """Write the record of a ticket; it is good for `life` seconds."""
        await self._redis.set(self._ticket(ticket), record, px=round(life * 1000))

    async def take_ticket(self, ticket: str) -> bytes | None:
        """Return what a ticket stands for, which then is good no more; None for one that is not."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.get(self._ticket(ticket))
        pipe.delete(self._ticket(ticket))
        record, _ = await pipe.execute()
        found: bytes | None = record
        return found

    def _ticket(self, ticket: str) -> str:
        return f"{self._key}:ticket:{sha256(ticket.encode()).hexdigest()}"

    async def keep_session(self, token: str, key_id: str, life: float) -> None:
        """Write for which key a session stands; it is good for `life` seconds."""
        now, life_ms = round(time.time() * 1000), round(life * 1000)
        pipe = self._redis.pipeline(transaction=True)
        pipe.set(self._session(token), key_id, px=life_ms)
        pipe.zremrangebyscore(self._sessions(key_id), "-inf", now)
        pipe.zadd(self._sessions(key_id), {self._session(token): now + life_ms})
        pipe.pexpire(self._sessions(key_id), life_ms)
        await pipe.execute()

    async def session(self, token: str) -> str | None:
        """Return the id of the key that a session stands for; None for one that is not, or has ended."""
        found: bytes | None = await self._redis.get(self._session(token))
        return None if found is None else found.decode("utf-8", "replace")

    async def end_session(self, token: str) -> None:
        """Remove a session, which then stands for no key."""
        await self._redis.delete(self._session(token))

    async def end_sessions(self, key_id: str) -> None:
        """Remove every session that stands for a key, wherever it is used."""
        found = await self._redis.zrange(self._sessions(key_id), 0, -1)
        await self._redis.unlink(self._sessions(key_id), *found)

    def _session(self, token: str) -> str:
        return f"{self._key}:session:{sha256(token.encode()).hexdigest()}"

    def _sessions(self, key_id: str) -> str:
        return f"{self._key}:sessions:{key_id}"

    # Rates and quotas

    async def is_first(self, mark: str, life: float) -> bool:
        """Tell whether a mark is seen for the first time within `life` seconds, and remember it."""
        key = f"{self._key}:once:{sha256(mark.encode()).hexdigest()}"
        return bool(await self._redis.set(key, b"", px=round(life * 1000), nx=True))

    async def meter(self, key_id: str, rate: Rate) -> tuple[bool, int, int]:
        """Count a request of a key; return whether it is let in, how many more are, and in how many ms what is next."""
        keys = (f"{self._key}:rate:{key_id}",)
        is_let, left, after_ms = await METER(self._redis, keys, (rate.interval_us, rate.burst))
        return bool(is_let), left, after_ms

    async def has_room(self, place: str, most: int, more: int) -> tuple[bool, int]:
        """Tell whether a quota has room for `more` jobs; return that, and how many jobs there are."""
        key = self._jobs(place)
        has_room, count = await QUOTA(self._redis, (key, f"{key}:looked"), (most, more))
        return bool(has_room), count

    async def add_jobs(self, place: str, jobs: Iterable[tuple[str, str]]) -> None:
        """Add jobs, by queue and id, to those that count for a quota."""
        now = round(time.time() * 1000)
        pipe = self._redis.pipeline(transaction=False)
        pipe.zadd(
            self._jobs(place), {f"{queue} ".encode() + encode_id(job_id): now for queue, job_id in jobs}
        )
        pipe.pexpire(self._jobs(place), _REMEMBERED_MS)
        await pipe.execute()

    def _jobs(self, place: str) -> str:
        return f"{self._key}:jobs:{place}"
