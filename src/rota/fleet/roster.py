"""The processes of a fleet by queue, read from their heartbeats, and which of them leads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rota.fleet.heartbeat import Beat, beat_keys
from rota.wire.keys import QueueKeys, leader_key, queue_key
from rota.wire.leader import Leader


@dataclass(frozen=True, slots=True)
class Roster:
    """The processes that serve some queues, at one moment.

    :param beats: the last heartbeat of each process, by queue.
    :param leader: the process that leads the deployment; None: none does.
    """

    beats: dict[str, tuple[Beat, ...]]
    leader: Leader | None

    def rows(self) -> Iterator[tuple[str, Beat, bool]]:
        """Yield each queue of each process with the heartbeat, and whether that process leads; by process."""
        every = [(queue, beat) for queue, beats in self.beats.items() for beat in beats]
        for queue, beat in sorted(every, key=lambda one: (one[1].process, one[0])):
            yield queue, beat, self.leader is not None and beat.process == self.leader.worker

    @property
    def leads_elsewhere(self) -> bool:
        """Whether the leader is none of these processes."""
        return self.leader is not None and not any(leads for _, _, leads in self.rows())


async def roster(redis: Any, queues: Sequence[str], namespace: str) -> Roster:
    """Read who serves `queues`, and who leads. Raises what redis-py raises."""
    keys = [QueueKeys.of(queue_key(queue)) for queue in queues]
    pipe = redis.pipeline(transaction=False)
    pipe.get(leader_key(namespace))
    for one in keys:
        pipe.smembers(one.workers)
    leader, *members = await pipe.execute()
    names = [sorted(some) for some in members]
    wanted = [key for one, some in zip(keys, names, strict=True) for key in beat_keys(one, some)]
    values = iter(await redis.mget(wanted) if wanted else ())
    beats = {queue: tuple(_beats(some, values)) for queue, some in zip(queues, names, strict=True)}
    return Roster(beats, Leader.read(leader))


def _beats(names: Sequence[bytes], values: Iterator[bytes | None]) -> Iterator[Beat]:
    for name in names:
        value = next(values)
        # A process that died is in the list for a while, and its heartbeat has expired.
        if value is not None and (beat := Beat.read(name.decode("utf-8", "replace"), value)):
            yield beat
