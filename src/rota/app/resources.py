"""What a worker process opens before its work and closes after it."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from rota.attempts.off_loop.children import Processes
from rota.engine.keeper import LeaseKeeper
from rota.engine.leases import Leases
from rota.engine.stacks.teller import LONGEST as ASKED_AT_MOST
from rota.engine.stacks.teller import StackTeller
from rota.engine.tokens import LONGEST, SharedTokens
from rota.engine.watching.changes import Changes
from rota.errors import LifespanFailed
from rota.errors.traces import message_of, place_of
from rota.model.registry import Registry
from rota.process.health_file import HealthFile
from rota.process.identity import unique_name
from rota.process.loop_watch import LoopWatch
from rota.server import connections
from rota.server.clones import REPLY_TIMEOUT
from rota.server.outage import FAULTS, Outages
from rota.server.place import Server
from rota.settings.load import Settings
from rota.telemetry.logs import logs
from rota.wire.keys import bell_key
from rota.worker.shared import Shared
from rota.worker.worker import QueueWorker

#: The most connections on which the workers of one process send their calls. A call takes a millisecond.
MOST = 16


@contextlib.asynccontextmanager
async def child_processes() -> AsyncIterator[Processes]:
    """Hold child processes, which start when a handler first needs one, until the block ends."""
    processes = Processes()
    try:
        yield processes
    finally:
        await processes.close()


@contextlib.asynccontextmanager
async def lifespan(registry: Registry) -> AsyncIterator[Any]:
    """Yield what handlers get as `run.deps`: what the lifespan of the jobs yields, None without one.

    Raises LifespanFailed.
    """
    if registry.lifespan is None:
        yield None
        return
    async with contextlib.AsyncExitStack() as stack:
        with _failing_to("start"):
            opened = registry.lifespan()
            if not isinstance(opened, contextlib.AbstractAsyncContextManager):
                raise TypeError("it returns no async context manager; decorate it with asynccontextmanager")
            deps = await stack.enter_async_context(opened)
        logs.revive()
        yield deps
        with _failing_to("end"):
            await stack.aclose()


@contextlib.contextmanager
def _failing_to(doing: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        place = place_of(error)
        where = f" at {place}" if place else ""
        raise LifespanFailed(doing, f"{type(error).__name__}{where}: {message_of(error)}") from error


@contextlib.asynccontextmanager
async def own_client(server: Server, *, blocks: float = 0.0) -> AsyncIterator[Any]:
    """Open a client that nothing else uses, until the block ends; its calls may block for `blocks` on the server."""
    redis = connections.async_client(server.target, socket_timeout=blocks + REPLY_TIMEOUT)
    try:
        yield redis
    finally:
        await _close(redis)


@contextlib.asynccontextmanager
async def connected(server: Server, shared: Shared, queues: int) -> AsyncIterator[Shared]:
    """Yield `shared` with the connections that the workers of several queues share, until the block ends."""
    if queues < 2:  # noqa: PLR2004 - one queue has nobody to share with
        yield shared
        return
    async with contextlib.AsyncExitStack() as stack:
        redis = connections.bounded_client(server.target, MOST)
        blocking = connections.async_client(server.target, socket_timeout=LONGEST + REPLY_TIMEOUT)
        tokens = SharedTokens(redis, blocking, bell_key(unique_name()))
        for client in (redis, blocking):
            stack.push_async_callback(_close, client)
        stack.push_async_callback(tokens.close)
        yield replace(shared, redis=redis, tokens=tokens, changes=Changes(redis))


async def _close(client: Any) -> None:
    with contextlib.suppress(*FAULTS):
        await client.aclose(close_connection_pool=True)


def lease_keeper(settings: Settings, server: Server, outages: Outages) -> LeaseKeeper:
    """Return the lease keeper of a process, with the watch on its event loop. It is a service, to be started."""
    connect = connections.clone(connections.async_client(server.target))
    watch = LoopWatch(report_after=settings.loop_block_report, limit=settings.loop_block_limit, die=os._exit)
    file = settings.health_file
    return LeaseKeeper(
        Leases(connect, interval=settings.lease / 3),
        watch=watch,
        health_file=HealthFile(file, watch.silence, outages.complaint) if file else None,
    )


def stack_teller(server: Server, workers: Sequence[QueueWorker]) -> StackTeller:
    """Return what tells where the jobs of `workers` are, which come later. It is a service, to be started."""
    connect = connections.clone(
        connections.async_client(server.target), socket_timeout=ASKED_AT_MOST + REPLY_TIMEOUT
    )
    return StackTeller(
        connect, lambda: {one.worker_id: one.engine.executions if one.engine else {} for one in workers}
    )
