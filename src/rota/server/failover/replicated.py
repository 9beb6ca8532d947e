"""Writes that count only once replicas have them: what the primary alone has, a failover loses."""

from typing import Any

from rota.server.clones import target_of
from rota.server.faults import ServerError
from rota.wire.keys import replicated_key

#: For how long the key stays that commands write, in seconds.
_MARKED = 60


class Replicated:
    """A client each of whose commands is answered when replicas have what it wrote. Scripts are called on it.

    :param redis: an asyncio client.
    :param replicas: how many must have it.
    :param patience: for how long they are waited for, in seconds.
    :param mark: a key that each command writes.
    """

    def __init__(self, redis: Any, replicas: int, patience: float, mark: str) -> None:
        self._redis = redis
        self._replicas = replicas
        self._patience = patience
        self._mark = mark

    async def execute_command(self, *words: Any) -> Any:
        """Send a command and WAIT in one round trip. Raises ServerError if it is done and too few replicas have it."""
        # WAIT is about what its own connection has written last. Where the command finds that all is there already,
        # another connection has written that, and replicas may not have it: so something is written in any case.
        pipe = self._redis.pipeline(transaction=False)
        pipe.execute_command(*words)
        pipe.execute_command("SET", self._mark, 1, "EX", _MARKED)
        pipe.execute_command("WAIT", self._replicas, round(self._patience * 1000))
        answer, _, reached = await pipe.execute(raise_on_error=False)
        for one in (answer, reached):
            if isinstance(one, Exception):
                raise one
        if reached < self._replicas:
            raise self._unconfirmed(reached)
        return answer

    def _unconfirmed(self, reached: int) -> ServerError:
        target = target_of(self._redis.connection_pool)
        return ServerError(
            f"{target} has it, but {reached} of {self._replicas} replicas said so within {self._patience:g} s: it is "
            "done unless a failover comes first; send it again under the same id, or see to the replicas (DURABILITY)",
            transient=True,
        )


def replicated(redis: Any, replicas: int, patience: float, namespace: str) -> Any:
    """Return what scripts are called on whose writes `replicas` must have; that is `redis` itself where none must."""
    return Replicated(redis, replicas, patience, replicated_key(namespace)) if replicas else redis
