"""Actions on many jobs, as a client asks for them: looked at first, then put for the leader, watched and aborted."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from rota.client.bulk.selecting import Selection
from rota.errors import InvalidFilter, MoreThanExpected, TooManyOperations, Uncounted, UnknownOperation
from rota.model.bulk.actions import Actor
from rota.model.bulk.filters import BulkAction, Filter
from rota.model.bulk.operation import Operation, read_operation
from rota.model.info import JobInfo
from rota.names import new_id, printable
from rota.server.faults import explained
from rota.settings.settings import Settings
from rota.wire.claims import ms_of
from rota.wire.leading.bulk import MOST_OPEN, BulkKeys

#: How long the jobs of a filter are counted: where their number is asked for, and where it only shows the progress.
PATIENCE, GLANCE = 20.0, 2.0
#: How many jobs a preview shows, and how long they are looked for, in seconds.
SAMPLE, SAMPLE_TIME = 10, 5.0
#: The ids of operations, and those that were made by earlier versions.
_ID = re.compile(r"[0-9a-v]{20}|[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Preview:
    """The jobs that an action would be done to.

    :param count: how many jobs it is about now.
    :param is_whole: whether that are all; counting ends after some seconds.
    :param sample: the first of them.
    """

    count: int
    is_whole: bool
    sample: tuple[JobInfo, ...]


class Bulk:
    """Actions on many jobs of one deployment.

    :param redis: an asyncio client.
    :param queues: returns the names of all queues in Redis.
    """

    def __init__(self, redis: Any, settings: Settings, queues: Callable[[], Awaitable[list[str]]]) -> None:
        self._redis = redis
        self._queues = queues
        self._sealer = settings.sealer
        self._keys = BulkKeys(settings.namespace)

    async def preview(self, action: BulkAction, wanted: Filter) -> Preview:
        """Return to how many jobs an action would be done, and the first of them; nothing is changed.

        Raises InvalidFilter, ServerError.
        """
        selection = await self._selection(action, wanted)
        async with explained(self._redis):
            count, is_whole = await selection.count(PATIENCE)
            sample = await selection.sample(SAMPLE, SAMPLE_TIME) if count else []
        return Preview(count, is_whole, tuple(sample))

    async def start(
        self, action: BulkAction, wanted: Filter, actor: Actor, *, expect: int | None = None, reason: str = ""
    ) -> Operation:
        """Let the leader do an action to the jobs that a filter chooses now; return the operation, which waits for it.

        With `expect`, the number that a preview showed, nothing is done where there are more by now. A filter that
        chooses everything needs it. What dies later is not part of it; of what is enqueued later, some may be. `reason`
        is recorded with it. Raises InvalidFilter, MoreThanExpected, Uncounted, TooManyOperations, ServerError.
        """
        if wanted.is_empty and expect is None:
            raise InvalidFilter(
                {"": "it chooses everything there is: say how many jobs you expect, or a condition"}
            )
        selection = await self._selection(action, wanted)
        async with explained(self._redis):
            count = await self._counted(selection, expect)
            operation_id = new_id()
            fields = {
                "action": action.value,
                "filter": json.dumps(wanted.fields()),
                "queues": json.dumps(selection.queues),
                "via": actor.via,
                "by": actor.id,
                "name": actor.name,
                "state": "waiting",
                **({} if wanted.tenant is None else {"tenant": wanted.tenant}),
                **({} if count is None else {"count": str(count)}),
                **({"reason": printable(reason)} if reason else {}),
            }
            if not await self._keys.put(self._redis, operation_id, fields, selection.until_ms):
                raise TooManyOperations(MOST_OPEN)
        return await self.look(operation_id)

    async def look(self, operation_id: str) -> Operation:
        """Return an operation as it is now. Raises UnknownOperation, ServerError."""
        found = None
        if _ID.fullmatch(operation_id):
            async with explained(self._redis):
                found = read_operation(operation_id, await self._keys.read(self._redis, operation_id))
        if found is None:
            raise UnknownOperation(operation_id)
        return found

    async def all(self) -> list[Operation]:
        """Return all operations that are kept, the newest first. Raises ServerError."""
        async with explained(self._redis):
            found = await self._keys.read_all(self._redis)
        return [one for one_id, raw in found if (one := read_operation(one_id, raw)) is not None]

    async def abort(self, operation_id: str, actor: Actor) -> Operation:
        """Let an operation stop before its next portion; what was done stays so. One that is over stays what it is.

        Raises UnknownOperation, ServerError.
        """
        found = await self.look(operation_id)
        if found.is_over:
            return found
        async with explained(self._redis):
            await self._keys.abort(self._redis, operation_id, actor.id or actor.name)
        return await self.look(operation_id)

    async def follow(
        self, operation_id: str, moved: Callable[[Operation], object], *, every: float = 0.2
    ) -> Operation:
        """Wait until an operation is over, and return it; `moved` is told again and again what it is.

        Raises UnknownOperation, ServerError.
        """
        while True:
            found = await self.look(operation_id)
            moved(found)
            if found.is_over:
                return found
            await asyncio.sleep(every)

    async def _selection(self, action: BulkAction, wanted: Filter) -> Selection:
        wanted.states(action)
        queues = wanted.on_queues or tuple(await self._queues())
        async with explained(self._redis):
            now_ms = ms_of(await self._redis.time())
        return Selection(self._redis, action, wanted, queues, now_ms, self._sealer)

    async def _counted(self, selection: Selection, expect: int | None) -> int | None:
        count, is_whole = await selection.count(GLANCE if expect is None else PATIENCE)
        if expect is None:
            return count if is_whole else None
        if count > expect:
            raise MoreThanExpected(count, expect, is_whole=is_whole)
        if not is_whole:
            raise Uncounted(PATIENCE)
        return count
