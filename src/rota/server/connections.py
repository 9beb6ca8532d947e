"""Opens clients to Redis, each with timeouts, keepalive and health checks, and checks the server at boot."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from operator import attrgetter
from typing import Any, TypedDict, Unpack

import redis
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Deserializer, Serializer
from redis.asyncio import Redis
from redis.asyncio import connection as aio
from redis.asyncio import sentinel as aio_sentinel
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

import rota.process.tasks  # noqa: F401 - corrects timeouts, those of redis-py too, on Python before 3.11.3
from rota.errors.secrets import SECRETS
from rota.model.policies.backoff import exponential
from rota.server.check import ServerInfo, check_server
from rota.server.clones import (
    REPLY_TIMEOUT,
    SENTINEL_TIMEOUT,
    clone,
    patient_clone,
    rebuild,
    timeouts,
)
from rota.server.failover.following import FollowingPool, Sentinels
from rota.server.faults import ServerError, explained
from rota.server.lean.client import LeanRedis
from rota.server.login.renewed import Pair, login_options
from rota.server.packing import packing
from rota.server.target import RedisTarget

__all__ = [
    "ArqOptions",
    "ServerError",
    "ServerInfo",
    "async_client",
    "bounded_client",
    "check_server",
    "clone",
    "from_arq_settings",
    "look_first",
    "open",
    "patient_clone",
    "rebuild",
    "sync_client",
]

logger = logging.getLogger("rota.redis")

_WAITS = exponential(0.1, ceiling=1.0)
#: The time for the only try of a command, in seconds, at most.
ONCE = 3.0
# The least time for one try, in seconds, also when the time to boot is nearly over.
_ONE_TRY = 1.0
_ON_SERVER = attrgetter("username", "password")
_ON_SENTINELS = attrgetter("sentinel_username", "sentinel_password")
_TLS = ("ssl_ca_certs", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname", "ssl_cert_reqs")


#: What is done on a server once it was found fit.
Prepare = Callable[[ArqRedis], Awaitable[object]]


class ArqOptions(TypedDict, total=False):
    """The options of arq's client that are not about connections."""

    job_serializer: Serializer | None
    job_deserializer: Deserializer | None
    default_queue_name: str
    expires_extra_ms: int


class Bounded(ArqRedis):
    """A client with few connections: one has at most `most` calls under way, and the others wait for their turn."""

    def __init__(self, pool: aio.ConnectionPool, most: int) -> None:
        super().__init__(pool)
        self.auto_close_connection_pool = True
        self._turns = asyncio.Semaphore(most)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with self._turns:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def bounded_client(target: RedisTarget, most: int) -> Bounded:
    """Return a client like `async_client`'s with at most `most` connections. No call may block on the server."""
    return Bounded(_pool(target, REPLY_TIMEOUT), most)


def async_client(
    target: RedisTarget, *, socket_timeout: float | None = REPLY_TIMEOUT, **arq: Unpack[ArqOptions]
) -> ArqRedis:
    """Return arq's client on `target`, which connects at the first command and asks the sentinels at each connection.

    `socket_timeout` in seconds bounds the wait for a reply: for a blocking command allow its own timeout and a few
    seconds more. None waits for ever.
    """
    client = LeanRedis(_pool(target, socket_timeout), **arq)
    client.auto_close_connection_pool = True
    return client


def sync_client(target: RedisTarget, *, socket_timeout: float = REPLY_TIMEOUT) -> redis.Redis:
    """Return a blocking client on `target`, for use in a thread; `socket_timeout` in seconds."""
    return clone(async_client(target), socket_timeout=socket_timeout)()


async def open(  # noqa: A001 - read as connections.open
    target: RedisTarget,
    *,
    boot_timeout: float,
    socket_timeout: float | None = REPLY_TIMEOUT,
    once: bool = False,
    prepare: Prepare | None = None,
    **arq: Unpack[ArqOptions],
) -> ArqRedis:
    """Return arq's client on `target`, once the server is there and fit for use.

    Tries for `boot_timeout` seconds while the server cannot be reached or is loading, and logs why, once; `once` tries
    no second time, as is right where a person waits. `prepare` is called on the server that was found, and tried again
    with it. Raises ServerError when that time is over, and at once for a fault
    that waiting does not cure.
    """
    client = async_client(target, socket_timeout=socket_timeout, **arq)
    try:
        time_left = min(boot_timeout, ONCE) if once else boot_timeout
        info = await _checked(client, target, time_left, once=once, prepare=prepare)
    except BaseException:
        await client.aclose()
        raise
    server = f"{'Valkey' if info.is_valkey else 'Redis'} {info.version}"
    logger.info("redis.connected", extra={"redis": target.safe_url, "server": server})
    for warning in info.warnings:
        logger.warning("redis.unsafe", extra={"redis": target.safe_url, "reason": warning})
    return client


async def look_first(client: Redis, look: Callable[[], Awaitable[object]]) -> None:
    """Look at a server once, before a service looks again and again.

    Raises ServerError for a fault that waiting does not cure, such as a wrong password or a missing right.
    """
    try:
        async with explained(client):
            await look()
    except ServerError as error:
        if not error.transient:
            raise


async def from_arq_settings(settings: RedisSettings, **arq: Unpack[ArqOptions]) -> ArqRedis:
    """Return arq's client as arq's own settings describe it, with the timeouts that those settings lack.

    Tries again `conn_retries` times, `conn_retry_delay` seconds apart, as arq does, and then raises redis-py's error.
    """
    SECRETS.keep(settings.password)
    client = rebuild(_as_arq_would(settings, **arq))
    for left in range(settings.conn_retries, -1, -1):
        try:
            await client.ping()
        except (RedisError, OSError) as error:
            if not left:
                await client.aclose()
                raise
            logger.warning("redis.waiting", extra={"reason": type(error).__name__, "tries_left": left})
            await asyncio.sleep(settings.conn_retry_delay)
        else:
            break
    return client


async def _checked(
    client: ArqRedis,
    target: RedisTarget,
    boot_timeout: float,
    *,
    once: bool,
    prepare: Prepare | None,
) -> ServerInfo:
    deadline = time.monotonic() + boot_timeout
    attempt, told = 0, ""
    while True:
        attempt += 1
        try:
            async with asyncio.timeout(max(_ONE_TRY, deadline - time.monotonic())):
                info = await check_server(client)
                if prepare is not None:
                    async with explained(client):
                        await prepare(client)
                return info
        except TimeoutError:
            within = f"{max(_ONE_TRY, boot_timeout):g} s" if once else f"BOOT_TIMEOUT, {boot_timeout:g} s"
            error = ServerError(f"{target} did not answer within {within}")
        except ServerError as refusal:
            error = refusal
        wait = _WAITS.delay(attempt)
        if once or not error.transient or time.monotonic() + wait > deadline:
            raise error
        if str(error) != told:
            told = str(error)
            fields = {"redis": target.safe_url, "reason": told, "at_most": boot_timeout}
            logger.warning("redis.waiting", extra=fields)
        await asyncio.sleep(wait)


def _pool(target: RedisTarget, socket_timeout: float | None) -> aio.ConnectionPool:
    options = _options(target, socket_timeout) | _tls(target)
    options |= {"db": target.db, **_login(target, _ON_SERVER)}
    if target.path is not None:
        unix = packing(aio.UnixDomainSocketConnection)
        return aio.ConnectionPool(connection_class=unix, path=target.path, **options)
    if target.sentinels:
        return _master_pool(target, options)
    tcp = packing(aio.SSLConnection if target.tls else aio.Connection)
    return aio.ConnectionPool(connection_class=tcp, host=target.host, port=target.port, **options)


def _master_pool(target: RedisTarget, options: dict[str, Any]) -> aio.ConnectionPool:
    to_sentinels = {**_options(target, SENTINEL_TIMEOUT), **_tls(target), "ssl": target.tls is not None}
    to_sentinels["socket_connect_timeout"] = SENTINEL_TIMEOUT
    manager = Sentinels(  # type: ignore[no-untyped-call] # redis-py leaves it untyped
        target.sentinels, sentinel_kwargs={**to_sentinels, **_login(target, _ON_SENTINELS)}
    )
    plain = (
        aio_sentinel.SentinelManagedSSLConnection if target.tls else aio_sentinel.SentinelManagedConnection
    )
    return FollowingPool(target.master or "", manager, connection_class=packing(plain), **options)


def _login(target: RedisTarget, pair: Callable[[RedisTarget], Pair]) -> dict[str, Any]:
    read = target.renewed
    return login_options(pair(target), None if read is None else lambda: pair(read()))


def _options(target: RedisTarget, socket_timeout: float | None) -> dict[str, Any]:
    bounds = timeouts(tcp=target.path is None, socket_timeout=socket_timeout)
    return bounds | {"retry": Retry(NoBackoff(), 0)}


def _tls(target: RedisTarget) -> dict[str, Any]:
    if target.tls is None:
        return {}
    options = {f"ssl_{name}": value for name, value in asdict(target.tls).items()}
    # One PEM file may hold the certificate and its key; redis-py loads neither without the other.
    return options | {"ssl_keyfile": target.tls.keyfile or target.tls.certfile}


def _as_arq_would(settings: RedisSettings, **arq: Unpack[ArqOptions]) -> ArqRedis:
    options: dict[str, Any] = {name: getattr(settings, name) for name in _TLS} if settings.ssl else {}
    options |= {"db": settings.database, "username": settings.username, "password": settings.password}
    options |= {"socket_connect_timeout": settings.conn_timeout, "ssl": settings.ssl, "encoding": "utf8"}
    if settings.sentinel:
        if isinstance(settings.host, str):
            raise ValueError(
                "RedisSettings has sentinel=True, so its host must be a list of (host, port) pairs"
            )
        manager = aio_sentinel.Sentinel(settings.host)  # type: ignore[no-untyped-call] # redis-py leaves it untyped
        client: Redis = manager.master_for(settings.sentinel_master, **options)
        return ArqRedis(client.connection_pool, **arq)
    options |= {"host": settings.host, "port": settings.port, "unix_socket_path": settings.unix_socket_path}
    return ArqRedis(max_connections=settings.max_connections, **options, **arq)
