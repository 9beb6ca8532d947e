"""The list of actions: who did what to which jobs, the last 10,000, in a stream of Redis."""

from typing import Any

from rota.model.bulk.actions import Action
from rota.server.faults import explained
from rota.wire.keys import actions_key

#: The most actions that Redis keeps.
MOST = 10_000


class Actions:
    """The list of actions of one deployment.

    :param redis: an asyncio client.
    """

    def __init__(self, redis: Any, namespace: str) -> None:
        self._redis = redis
        self._key = actions_key(namespace)

    async def record(self, action: Action) -> str:
        """Add what was done to the list, and return its position. Raises ServerError."""
        async with explained(self._redis):
            position: bytes = await self._redis.xadd(
                self._key, action.fields(), maxlen=MOST, approximate=False
            )
        return position.decode()

    async def page(self, *, before: str | None = None, limit: int = 50) -> list[Action]:
        """Return the last actions, the newest first, or those before the one at a position. Raises ServerError."""
        newest = "+" if before is None else f"({before}"
        async with explained(self._redis):
            found = await self._redis.xrevrange(self._key, max=newest, count=limit)
        return [Action.read(position.decode(), fields) for position, fields in found]
