"""Bells: lists in Redis by which the leader is woken. Each has one entry, however often it rings unheard."""

from typing import Any

#: How long a bell that nobody heard stays, in ms.
_LIFE_MS = 5000


def ring(pipe: Any, bell: str) -> None:
    """Add to a pipeline what rings the bell at this key."""
    pipe.delete(bell).lpush(bell, b"1").pexpire(bell, _LIFE_MS)


async def hear(redis: Any, bell: str, seconds: float) -> None:
    """Wait until the bell is rung, for at most `seconds`. Raises what redis-py raises."""
    await redis.execute_command("BLPOP", bell, f"{seconds:.3f}")
