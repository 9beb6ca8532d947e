"""The leader's place of a deployment in Redis: who has it, and how a worker takes, keeps and gives it back."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from rota.wire.keys import leader_epoch_key, leader_key, leader_vacant_key
from rota.wire.scripts import LEAD


@dataclass(frozen=True, slots=True)
class Leader:
    """The worker process that leads, and since when, as the epoch of its term says: in ms of the server's clock."""

    worker: str
    epoch: int

    @property
    def since(self) -> datetime | None:
        """When its term began; None where another hand wrote what can be no time."""
        try:
            return datetime.fromtimestamp(self.epoch / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            return None

    def wire(self) -> str:
        """Return the text that the scripts write into the leader's key."""
        return f"{self.worker} {self.epoch}"

    @classmethod
    def read(cls, raw: object) -> "Leader | None":
        """Return who leads by the value of the leader's key; None where nobody does, or the value is another's."""
        if not isinstance(raw, bytes):
            return None
        worker, _, epoch = raw.decode("utf-8", "replace").partition(" ")
        return cls(worker, int(epoch)) if worker and epoch.isascii() and epoch.isdecimal() else None


async def leader_of(redis: Any, namespace: str) -> Leader | None:
    """Return who leads the deployment. Raises what redis-py raises."""
    return Leader.read(await redis.get(leader_key(namespace)))


@dataclass(frozen=True)
class Place:
    """The leader's place, as one worker seeks and holds it.

    :param namespace: the prefix of the deployment's own keys.
    :param worker: the name of the worker process, unlike any other.
    :param lease: how long the place is held unless it is renewed, in seconds.
    """

    namespace: str
    worker: str
    lease: float

    async def take(self, redis: Any) -> tuple[int, float]:
        """Take the place if nobody has it, or this worker still has it from a term before.

        Return the epoch of the term that begins, and 0.0; or 0, and the seconds until the other's lease ends.
        """
        epoch, left = await LEAD(redis, self._keys, (self.worker, self._lease_ms))
        return int(epoch), int(left) / 1000

    async def renew(self, redis: Any, epoch: int) -> bool:
        """Renew the lease of the term `epoch`; tell whether the place is still held.

        It costs one command, for which it renews another's lease too. That is seldom: a worker that could have lost
        the place stops renewing before the lease has ended.
        """
        held = await redis.execute_command("GETEX", self._keys[0], "PX", self._lease_ms)
        return Leader.read(held) == Leader(self.worker, epoch)

    async def give_back(self, redis: Any) -> None:
        """Give the place back, if this worker has it, and wake one of those who wait for it."""
        await LEAD(redis, self._keys, (self.worker, 0))

    async def left(self, redis: Any) -> float:
        """Return the seconds until the lease of the one that leads ends; 0.0 where nobody does."""
        return max(0, int(await redis.execute_command("PTTL", self._keys[0]))) / 1000

    async def vacancy(self, blocking: Any, seconds: float) -> None:
        """Wait until the place is given back, for at most `seconds`, on a client that may block for so long."""
        await blocking.execute_command("BLPOP", self._keys[2], f"{seconds:.3f}")

    @property
    def _lease_ms(self) -> int:
        return round(self.lease * 1000)

    @cached_property
    def _keys(self) -> tuple[str, str, str]:
        name = self.namespace
        return leader_key(name), leader_epoch_key(name), leader_vacant_key(name)
