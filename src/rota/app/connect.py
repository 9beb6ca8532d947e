"""Puts clients together: on the Redis of the settings, with what is around every enqueue."""

import asyncio
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from rota.client.bridge import LoopBridge, OwnBridge
from rota.client.client import Client
from rota.client.recording.client import RecordingClient
from rota.client.sync import SyncClient
from rota.model.enqueueing import OFFERED, OFFERED_SYNC
from rota.model.options import check_seconds
from rota.model.registry import Registry
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.seams import Sender
from rota.server import connections
from rota.server.place import locate
from rota.settings.load import Settings, load
from rota.telemetry.tracing import relay
from rota.telemetry.tracing.senders import SENDERS


async def connect(
    settings: Settings | None = None,
    *,
    senders: Sequence[Sender] = (),
    tenant: str | None = None,
    record: bool | None = None,
) -> Client:
    """Open a client on the Redis of `settings` (read from the environment if not given). Close it when done.

    `senders` are around every enqueue, within the service's own, or told what it created. What the client enqueues is
    `tenant`'s, unless the options of a job name another; it sees the jobs of all. Until it is closed, the
    client is also the one that `job.enqueue` uses on this event loop. Warns where no Redis is set and an embedded
    server was started, on which no worker is. Raises ConfigError, ServerError.

    With APP_ENV=test it opens nothing: what it enqueues is checked and recorded, for `rota.testing.recorded()`, unless
    MODE=worker is set. `record` says so in place of these.
    """
    settings = load() if settings is None else settings
    around = _around(senders, tenant)
    if settings.records if record is None else record:
        client: Client = RecordingClient(settings, senders=around)
    else:
        client = await _connect(settings, once=False, senders=around, tell=_warn)
    loop = asyncio.get_running_loop()
    OFFERED.add(client, lambda: asyncio.get_running_loop() is loop)
    return client


def connect_sync(
    settings: Settings | None = None,
    *,
    timeout: float = 10.0,
    senders: Sequence[Sender] = (),
    tenant: str | None = None,
    record: bool | None = None,
) -> SyncClient:
    """Return a client for code without an event loop, on the Redis of `settings` (by default, of the environment).

        client = rota.connect_sync()
        client.enqueue(send_email, to="ann@example.com")

    Nothing is read or opened before its first call, so it may be made where a module is imported, and before a server
    forks its processes. `timeout` is the longest time that a call may take, in seconds, beside what a wait is given.

    Until it is closed it is also the one that `job.enqueue_sync` uses. `senders`, `tenant` and `record` are those of
    `connect`.

    Its calls raise ServerError while Redis is away, at once where it can be told, and connect again when it is back.
    The first raises ConfigError for settings that cannot work.
    """
    check_seconds("timeout", timeout, above_zero=True)

    @functools.cache
    def found() -> Settings:
        return load() if settings is None else settings

    around = _around(senders, tenant)

    def records() -> bool:
        return found().records if record is None else record

    async def opened() -> Client:
        if records():
            return RecordingClient(found(), senders=around)
        return await _connect(found(), once=True, senders=around, tell=_warn)

    bridge = OwnBridge(opened, timeout=timeout)
    client = SyncClient(bridge, found, around, records=records)
    OFFERED_SYNC.add(client)
    return client


async def connect_at_once(
    settings: Settings, senders: Sequence[Sender] = (), *, tell: Callable[[str], object] | None = None
) -> Client:
    """Open a client as `connect` does, with one try: a person waits for the answer. Raises ServerError.

    `tell` is called with the sentence that `connect` gives as a warning, where no worker is on an embedded server.
    """
    return await _connect(settings, once=True, senders=_around(senders), tell=tell or _warn)


async def _connect(
    settings: Settings, *, once: bool, senders: Sequence[Sender], tell: Callable[[str], object]
) -> Client:
    server = await asyncio.to_thread(locate, settings.redis)
    try:
        if server.loneliness:
            tell(server.loneliness)
        redis = await connections.open(server.target, boot_timeout=settings.boot_timeout, once=once)
    except BaseException:
        server.close()
        raise
    return Client(redis, settings, senders=senders, on_close=server.close)


def _around(senders: Sequence[Sender], tenant: str | None = None) -> tuple[Sender, ...]:
    """Return all senders of a client; that of its tenant goes before the headers which the context carries."""
    own = () if tenant is None else (relay.TenantSender(tenant),)
    return (*own, *SENDERS, *senders)


def _warn(sentence: str) -> None:
    # A warning, and not a line of a log: an application need not have set its logs up to see it.
    warnings.warn(sentence, UserWarning, stacklevel=4)


def client_of(
    settings: Settings,
    redis: Any,
    *,
    senders: Sequence[Sender] = (),
    clock: Clock = SYSTEM_CLOCK,
) -> Client:
    """Return a client on an open connection. `senders` come within SENDERS."""
    return Client(redis, settings, senders=_around(senders), clock=clock)


def clients_of(
    settings: Settings,
    registry: Registry,
    redis: Any,
    loop: asyncio.AbstractEventLoop,
    clock: Clock = SYSTEM_CLOCK,
) -> tuple[Client, SyncClient]:
    """Return the clients of a worker for its handlers, on its own connections and its event loop `loop`."""
    client = client_of(settings, redis, senders=registry.hooks.senders, clock=clock)
    bridge = LoopBridge(client, loop)
    return client, SyncClient(bridge, lambda: settings, (*SENDERS, *registry.hooks.senders))
