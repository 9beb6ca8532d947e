"""A batch from outside: its handle, and how its jobs have ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rota.errors import JobNotFound
from rota.flows.flows import Flows
from rota.flows.view import readable, time_of
from rota.model.flows.batch import Batch
from rota.model.state import State
from rota.server.faults import explained

_COUNTS = ("0:total", "0:completed", "0:dead", "0:cancelled")


@dataclass(frozen=True, slots=True)
class BatchInfo(Batch):
    """A batch as it is now. `state` is active, completed (all jobs have ended) or cancelled; times are in UTC."""

    state: State = State.ACTIVE
    started_at: datetime | None = None
    finished_at: datetime | None = None


class BatchHandle:
    """One batch: `client.batch` returns it, `client.find_batch` makes it from a known id.

    `handles` are the handles of its jobs, in the order of the calls; empty for a batch that was found by its id.
    `created` is False where the enqueue found a batch of the same id, which it went on with.
    """

    __slots__ = ("_flows", "created", "handles", "id")

    def __init__(
        self,
        flows: Flows,
        id: str,  # noqa: A002 - the field's word
        handles: Sequence[Any] = (),
        *,
        created: bool = True,
    ) -> None:
        self._flows = flows
        self.id = id
        self.handles = tuple(handles)
        self.created = created

    async def status(self) -> BatchInfo:
        """Return how many of the jobs have ended, and how.

        Raises JobNotFound when Redis no longer holds the batch, ServerError.
        """
        key = await self._flows.find_key(self.id)
        async with explained(self._flows.redis):
            with readable(self.id):
                batch = await read_batch(self._flows, key.rpartition(":")[2])
            state, at, ended = await self._flows.redis.hmget(key, "state", "at", "ended")
        if batch is None or state is None:
            raise JobNotFound(self.id)
        with readable(self.id):
            return BatchInfo(
                batch.id,
                batch.name,
                batch.total,
                batch.completed,
                batch.dead,
                batch.cancelled,
                batch.dead_ids,
                State(state.decode()),
                time_of(at),
                time_of(ended) if ended else None,
            )

    async def wait(self, timeout: float | None = None) -> BatchInfo:
        """Wait until all jobs have ended, at most `timeout` seconds (None: without end).

        Raises ResultTimeout, and the jobs go on; JobNotFound when Redis no longer holds the batch; ServerError.
        """
        key = await self._flows.find_key(self.id)
        await self._flows.wait(key, self.id, timeout)
        return await self.status()

    async def cancel(self) -> Literal["cancelled", "finished"]:
        """Cancel the batch: jobs that wait are removed, jobs that run are asked to stop. `on_finished` still comes.

        Returns "cancelled", or "finished" if all jobs had ended. Raises ServerError.
        """
        return await self._flows.cancel(self.id)

    def __repr__(self) -> str:
        return f"<BatchHandle {self.id}>"


async def read_batch(flows: Flows, batch_id: str) -> Batch | None:
    """Return how the jobs of a batch have ended, or None for a batch that Redis no longer holds."""
    key = flows.key(batch_id)
    name, *counts = await flows.redis.hmget(key, "name", *_COUNTS)
    if name is None:
        return None
    total, completed, dead, cancelled = (int(count or 0) for count in counts)
    ids = tuple(raw.decode() for raw in await flows.redis.lrange(f"{key}:dead", 0, -1))
    return Batch(batch_id, name.decode(), total, completed, dead, cancelled, ids)
