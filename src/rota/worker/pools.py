"""The connections of one worker: its own, and the one that handlers get."""

import logging

from arq.connections import ArqRedis, RedisSettings

from rota.server import connections
from rota.server.outage import FAULTS

logger = logging.getLogger("rota.worker")


class Pools:
    """A worker's connections, from when it starts until it is closed.

    :param arq: the options of a client that is made from arq's settings.
    :param shared: the client that all workers of the process use, in place of one of this worker's own.
    """

    def __init__(self, arq: connections.ArqOptions, shared: ArqRedis | None = None) -> None:
        self._arq = arq
        self._shared = shared
        self._given: ArqRedis | None = None
        self._own: ArqRedis | None = None
        self._for_handlers: ArqRedis | None = None

    async def own(self, given: ArqRedis | None, settings: RedisSettings | None) -> ArqRedis:
        """Return the worker's own client: like `given`, or as arq's `settings` say; opened at the first call."""
        if self._shared is not None:
            return self._shared
        if self._own is None:
            self._given = given
            self._own = (
                connections.rebuild(given)
                if given
                else await connections.from_arq_settings(settings or RedisSettings(), **self._arq)
            )
        return self._own

    def for_handlers(self, own: ArqRedis) -> ArqRedis:
        """Return the client for handlers, which may block on it: the one that was passed, or one without a timeout."""
        if self._shared is not None:
            return self._shared
        if self._for_handlers is None:
            self._for_handlers = self._given or connections.rebuild(own, socket_timeout=None)
        return self._for_handlers

    async def close(self) -> None:
        """Close the clients, but not the one that was passed: others may be using it."""
        ours = [pool for pool in (self._own, self._for_handlers) if pool and pool is not self._given]
        self._given = self._own = self._for_handlers = None
        for pool in ours:
            try:
                await pool.aclose(close_connection_pool=True)
            except FAULTS as error:
                logger.warning("worker.connections_not_closed", extra={"error": str(error)})
