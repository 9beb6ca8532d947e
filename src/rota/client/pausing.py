"""Pausing: a mark in Redis keeps all workers from claiming from a queue. Raises the faults of Redis as they are."""

from datetime import UTC, datetime
from typing import Any

from rota.wire.keys import QueueKeys, queue_key
from rota.wire.scripts import NUDGE


async def pause(redis: Any, queue: str, now_ms: int) -> None:
    """Pause a queue, as of `now_ms` unless it is paused already."""
    await redis.set(QueueKeys.of(queue_key(queue)).paused, now_ms, nx=True)


async def resume(redis: Any, queue: str) -> None:
    """Let workers claim from a queue again, and wake one."""
    keys = QueueKeys.of(queue_key(queue))
    await redis.delete(keys.paused)
    await NUDGE(redis, (keys.queue, keys.wake), (0,))


async def since(redis: Any, queue: str) -> datetime | None:
    """Return when a queue was paused, in UTC, or None for one that is not paused."""
    raw = await redis.get(QueueKeys.of(queue_key(queue)).paused)
    return None if raw is None else datetime.fromtimestamp(int(raw) / 1000, UTC)
