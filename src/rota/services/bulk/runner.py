"""The service of a leader that carries out actions on many jobs, portion by portion.

Before the first job of a portion is changed, the portion is written down, with the place behind it. A leader that comes
after one that was killed does that portion again, by scripts that look at each job again, and goes on behind it. Each
change of an operation counts only on top of the last one, so of two leaders one goes on.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from rota.client.bulk.acting import Acting, Fate, refusals
from rota.client.bulk.selecting import At, Selection
from rota.errors import InvalidFilter
from rota.model.bulk.filters import BulkAction, Filter
from rota.model.bulk.operation import Operation, OperationState, read_operation
from rota.names import printable
from rota.process.clock import SYSTEM_CLOCK
from rota.server.faults import ServerError
from rota.server.outage import CEILING, FAULTS, Outage
from rota.services.leadership import Leadership
from rota.settings.settings import Settings
from rota.wire.claims import decode_id
from rota.wire.leading.bulk import BulkKeys, Fields, Portion, Superseded

logger = logging.getLogger("rota.leader")

#: The longest wait between two looks for operations, where nobody rings, in seconds. Who puts one rings.
EVERY = 120.0
#: Between two portions, in seconds, so that they take little of Redis' time from others.
PACE = 0.01
#: How often live jobs are gone through to be cancelled: one that runs, or is put back, moves to and fro meanwhile.
PASSES = 3
#: How many of the jobs that could not be changed are named.
NAMED = 20


class BulkRunner:
    """The service that carries out operations, for one term of its process as leader.

    :param open_redis: returns a client that nothing else uses, whose calls may block on the server for EVERY; closed
        when the service ends.
    :param settings: namespace, the bound of the events, and how long records of cancelled jobs are kept.
    :param leadership: the term.
    """

    name = "bulk"
    may_end = False

    def __init__(
        self, open_redis: Callable[[], Any], settings: Settings, leadership: Leadership, *, pace: float = PACE
    ) -> None:
        self._open_redis = open_redis
        self._settings = settings
        self._leadership = leadership
        self._keys = BulkKeys(settings.namespace)
        self._pace = pace
        self._outage = Outage("bulk")

    async def run(self) -> None:
        """Carry out what is asked for, one operation after the other, until cancelled or until the term is over."""
        async with self._open_redis() as redis:
            while True:
                try:
                    if not await self.turn(redis):
                        await self._keys.hear(redis, EVERY)
                    self._outage.over()
                except FAULTS as error:
                    await self._rest(error)
                except ServerError as error:
                    await self._rest(error.__cause__ or error)

    async def _rest(self, error: BaseException) -> None:
        """Wait for Redis, and log what it refuses; that it is away, the workers log."""
        if isinstance(error, ResponseError):
            await self._outage.pause(error)
        else:
            await asyncio.sleep(CEILING)

    async def turn(self, redis: Any) -> bool:
        """Carry out the operation that is next; return False where none is. Raises what redis-py raises."""
        self._leadership.check()
        operation_id = await self._keys.first_open(redis)
        if operation_id is None:
            return False
        fields = await self._keys.read(redis, operation_id)
        operation = read_operation(operation_id, fields)
        if operation is None:
            await self._keys.forget(redis, operation_id)
            return True
        try:
            means = _Means(redis, Acting(redis, self._settings), self._leadership, self._keys, self._pace)
            await _Run(means, operation, fields).go()
        except Superseded:
            # The other one is a leader too, or was: what it does is looked at again.
            await asyncio.sleep(self._pace)
        return True


@dataclass(frozen=True, slots=True)
class _Means:
    """The means by which an operation is carried out."""

    redis: Any
    acting: Acting
    leadership: Leadership
    keys: BulkKeys
    pace: float


class _Run:
    """One operation while this leader carries it out."""

    def __init__(self, means: _Means, operation: Operation, fields: Fields) -> None:
        self._with = means
        self._operation = operation
        self._fields = fields
        self._change = int(fields.get(b"change", b"0"))
        self._refused = list(operation.refused)

    async def go(self) -> None:
        """Carry the operation out to its end. Raises what redis-py raises, LeadershipLost, Superseded."""
        try:
            action = BulkAction(self._operation.action)
            wanted = Filter.of(self._operation.filter)
            wanted.states(action)
        except (ValueError, InvalidFilter) as error:
            await self._end("failed", f"this version of rota cannot do it: {error}")
            return
        queues = tuple(json.loads(self._fields.get(b"queues", b"[]")))
        until = int(self._fields.get(b"created", b"0"))
        selection = Selection(self._with.redis, action, wanted, queues, until)
        is_aborting = await self._begin()
        if portion := Portion.read(self._fields.get(b"portion")):
            is_aborting = await self._do(action, portion, again=True)
        at = At.read(json.loads(self._fields.get(b"place", b"[0]")))
        for _ in range(PASSES if action is BulkAction.CANCEL else 1):
            before = self._change
            is_aborting = is_aborting or await self._pass(selection, at)
            if is_aborting or self._change == before:
                break
            at = At()
        await self._end("aborted" if is_aborting else "done")

    async def _pass(self, selection: Selection, begin: At) -> bool:
        """Do what is chosen behind a place, to the end; tell whether to stop."""
        at: At | None = begin
        is_aborting = False
        while at is not None and not is_aborting:
            at, is_aborting = await self._next(selection, at)
        return is_aborting

    async def _begin(self) -> bool:
        """Take the operation over, so that no other leader's change counts any more; tell whether it is to stop."""
        fields = {"state": "running"}
        if self._operation.started_at is None:
            fields["started"] = str(SYSTEM_CLOCK.time_ms())
            logger.info("bulk.started", extra=self._told())
        return await self._write(fields)

    async def _next(self, selection: Selection, at: At) -> tuple[At | None, bool]:
        """Do the portion behind a place; return the place of the next one, and whether to stop."""
        self._with.leadership.check()
        chosen = await selection.portion(at)
        is_aborting = False
        if chosen.members:
            ids = tuple(decode_id(member) for member in chosen.members)
            portion = Portion(chosen.queue, ids)
            place = [len(selection.queues)] if chosen.next is None else chosen.next.write()
            is_aborting = await self._write({"place": json.dumps(place), "portion": portion.write()})
            if not is_aborting:
                is_aborting = await self._do(selection.action, portion)
        await asyncio.sleep(self._with.pace)
        return chosen.next, is_aborting

    async def _do(self, action: BulkAction, portion: Portion, *, again: bool = False) -> bool:
        """Do a portion that is written down, and count what became of it; tell whether to stop.

        `again` says that it may have been done before: what is gone then was done to by the leader before this one.
        """
        self._with.leadership.check()
        fates = await self._with.acting.act(action, portion.queue, portion.ids)
        done = sum(fate.done or (again and fate.is_gone) for fate in fates)
        failed = sum(bool(fate.why) for fate in fates)
        counts = {"done": done, "failed": failed, "skipped": len(fates) - done - failed}
        return await self._write({"portion": "", **self._named(portion, fates)}, counts)

    def _named(self, portion: Portion, fates: Sequence[Fate]) -> dict[str, str]:
        new = refusals(portion.queue, fates)[: NAMED - len(self._refused)]
        self._refused += new
        return {"refused": json.dumps(self._refused)} if new else {}

    async def _write(self, fields: Mapping[str, str], counts: Mapping[str, int] | None = None) -> bool:
        self._with.leadership.check()
        self._change, is_aborting = await self._with.keys.change(
            self._with.redis, self._operation.id, self._change, fields, counts
        )
        return is_aborting

    async def _end(self, state: OperationState, error: str = "") -> None:
        """End the operation, and record who did what to how many."""
        self._with.leadership.check()
        found = read_operation(
            self._operation.id, await self._with.keys.read(self._with.redis, self._operation.id)
        )
        if found is None:
            raise Superseded(self._operation.id)
        fields = {
            "state": state,
            "finished": str(SYSTEM_CLOCK.time_ms()),
            **({"error": error} if error else {}),
        }
        action = found.ended(state, error).told()
        await self._with.keys.change(self._with.redis, found.id, self._change, fields, over=action.fields())
        counts = {"done": found.done, "skipped": found.skipped, "failed": found.failed}
        logger.info("bulk.ended", extra={**self._told(), "state": state, **counts})

    def _told(self) -> dict[str, Any]:
        one = self._operation
        return {"operation": one.id, "action": one.action, "by": printable(one.actor.id or one.actor.name)}
