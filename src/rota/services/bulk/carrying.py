"""One operation while a leader carries it out: portion by portion, each written down before it is done."""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rota.client.bulk.acting import Acting, Fate, refusals
from rota.client.bulk.selecting import At, Selection
from rota.errors import InvalidFilter
from rota.model.bulk.filters import BulkAction, Filter
from rota.model.bulk.operation import Operation, OperationState, read_operation
from rota.names import printable
from rota.process.clock import SYSTEM_CLOCK
from rota.services.leadership import Leadership
from rota.settings.settings import Settings
from rota.wire.claims import decode_id
from rota.wire.leading.bulk import BulkKeys, Fields, Portion, Superseded

logger = logging.getLogger("rota.leader")

#: How often live jobs are gone through to be cancelled: one that runs, or is put back, moves to and fro meanwhile.
PASSES = 3
#: How many of the jobs that could not be changed are named.
NAMED = 20


@dataclass(frozen=True, slots=True)
class Means:
    """The means by which an operation is carried out."""

    redis: Any
    settings: Settings
    leadership: Leadership
    keys: BulkKeys
    pace: float


async def carry_out(means: Means, operation_id: str) -> None:
    """Carry an operation out to its end. Raises what redis-py raises, LeadershipLost, Superseded."""
    fields = await means.keys.read(means.redis, operation_id)
    operation = read_operation(operation_id, fields)
    if operation is None:
        await means.keys.forget(means.redis, operation_id)
    else:
        await _Run(means, operation, fields).go()


class _Run:
    """One operation while this leader carries it out."""

    def __init__(self, means: Means, operation: Operation, fields: Fields) -> None:
        self._with = means
        self._acting = Acting(means.redis, means.settings)
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
        fates = await self._acting.act(action, portion.queue, portion.ids)
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
