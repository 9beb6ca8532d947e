"""The list of actions: who did what to which jobs, the last 10,000, in a stream of Redis."""

from typing import Any

from rota.model.bulk.actions import Action
from rota.server.faults import explained
from rota.wire.keys import actions_key
from rota.wire.leading.bulk import ACTIONS

#: How many entries are read first for those of one tenant; what is missing then is looked for in all at once.
_FIRST = 200


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
                self._key, action.fields(), maxlen=ACTIONS, approximate=False
            )
        return position.decode()

    async def page(
        self, *, before: str | None = None, limit: int = 50, tenant: str | None = None
    ) -> list[Action]:
        """Return the last actions, the newest first, or those before the one at a position.

        With a tenant, only those on its jobs. Raises ServerError.
        """
        actions: list[Action] = []
        newest = "+" if before is None else f"({before}"
        async with explained(self._redis):
            for count in (limit,) if tenant is None else (max(limit, _FIRST), ACTIONS):
                found = await self._redis.xrevrange(self._key, max=newest, count=count)
                read = [Action.read(position.decode(), fields) for position, fields in found]
                actions += [one for one in read if tenant in (None, one.tenant)]
                if len(actions) >= limit or len(found) < count:
                    break
                newest = f"({read[-1].position}"
        return actions[:limit]
