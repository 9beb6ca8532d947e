"""Makes a second client to the server of a first one: with timeouts, for calls that block, or for a thread.

redis-py resends nothing here: a command whose reply was lost may have been carried out, and only the caller knows
which scripts can be sent again.
"""

import copy
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import redis
from arq.connections import ArqRedis
from redis import connection as plain
from redis import sentinel as plain_sentinel
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import connection as aio
from redis.asyncio import sentinel as aio_sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from rota.server import discretion
from rota.server.failover.following import BlockingSentinels, FollowingPool
from rota.server.login.renewed import RenewedLogin
from rota.server.packing import packing, unpacking
from rota.server.target import REDIS_PORT, RedisTarget
from rota.server.tls import Tls

#: Seconds to open a connection, to wait for a reply, and between checks of an idle connection.
CONNECT_TIMEOUT = 5.0
REPLY_TIMEOUT = 5.0
HEALTH_CHECK = 30
#: The same for a sentinel: where a machine is gone, the next sentinel is asked soon enough to follow a failover.
SENTINEL_TIMEOUT = 1.5

_SYNC: dict[type[aio.AbstractConnection], type[plain.AbstractConnection]] = {
    aio.Connection: discretion.BlockingConnection,
    aio.SSLConnection: discretion.BlockingSSLConnection,
    aio.UnixDomainSocketConnection: discretion.BlockingUnixConnection,
    aio_sentinel.SentinelManagedConnection: discretion.BlockingSentinelConnection,
    aio_sentinel.SentinelManagedSSLConnection: discretion.BlockingSentinelSSLConnection,
}
# A dead peer is noticed within a minute, also by a connection that only listens.
_KEEPALIVE = {
    getattr(socket, name): seconds
    for name, seconds in {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}.items()
    if hasattr(socket, name)
}


def timeouts(*, tcp: bool, socket_timeout: float | None) -> dict[str, Any]:
    """Return the options of every connection; `socket_timeout` in seconds, None waits for ever."""
    bounds = {
        "socket_timeout": socket_timeout,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "health_check_interval": HEALTH_CHECK,
        "retry_on_timeout": False,
    }
    alive = {"socket_keepalive": True, "socket_keepalive_options": _KEEPALIVE}
    return bounds | alive if tcp else bounds


def rebuild(pool: ArqRedis, *, socket_timeout: float | None = REPLY_TIMEOUT) -> ArqRedis:
    """Return a client like `pool`, with its serializers, on its own connections, which do not wait for ever.

    `pool` stays open, for its owner to close. Its connection options hold, but for the socket timeout and the retries.
    """
    client = copy.copy(pool)
    client.connection_pool = _bounded(pool.connection_pool, socket_timeout)
    client.auto_close_connection_pool = True
    client.connection = None
    return client


def patient_clone(pool: ArqRedis, longest: float) -> ArqRedis:
    """Return a client like `pool` for calls that block for up to `longest` seconds on the server."""
    return rebuild(pool, socket_timeout=longest + REPLY_TIMEOUT)


def clone(pool: AsyncRedis, *, socket_timeout: float = REPLY_TIMEOUT) -> Callable[[], redis.Redis]:
    """Return a factory of blocking clients to the same server, for use in a thread.

    Raises TypeError for connections without a blocking counterpart, such as a fake server's.
    """
    _sync_class(pool.connection_pool)
    return lambda: _sync_client(pool.connection_pool, socket_timeout)


def target_of(pool: aio.ConnectionPool) -> RedisTarget:
    """Return the server that the connections of `pool` lead to, for messages."""
    kwargs = pool.connection_kwargs
    # What reads a password again has the last one that it read.
    login = kwargs.get("credential_provider")
    username, password = (
        (login.username, login.password)
        if isinstance(login, RenewedLogin)
        else (kwargs.get("username"), kwargs.get("password"))
    )
    target = RedisTarget(db=int(kwargs.get("db") or 0), username=username, password=password)
    tls = Tls() if issubclass(pool.connection_class, aio.SSLConnection) else None
    if isinstance(pool, aio_sentinel.SentinelConnectionPool):
        known = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
        hosts = tuple((one["host"], int(one["port"])) for one in known)
        return replace(target, sentinels=hosts, master=pool.service_name, tls=tls)
    if kwargs.get("path"):
        return replace(target, path=kwargs["path"])
    host, port = kwargs.get("host") or target.host, int(kwargs.get("port") or REDIS_PORT)
    return replace(target, host=host, port=port, tls=tls)


def _bounded(pool: aio.ConnectionPool, socket_timeout: float | None) -> aio.ConnectionPool:
    kwargs = _own(pool) | {"retry": AsyncRetry(NoBackoff(), 0), "retry_on_error": []}
    wanted = timeouts(tcp=issubclass(pool.connection_class, aio.Connection), socket_timeout=socket_timeout)
    if unpacking(pool.connection_class) not in _SYNC:
        # A fake server's connection takes the answer to the check for the answer to another command.
        del wanted["health_check_interval"]
    for name, value in wanted.items():
        kwargs[name] = kwargs.get(name) or value
    kwargs |= {"socket_timeout": socket_timeout, "retry_on_timeout": False}
    kwargs |= {"connection_class": packing(pool.connection_class), "max_connections": pool.max_connections}
    if isinstance(pool, aio_sentinel.SentinelConnectionPool):
        manager = copy.copy(pool.sentinel_manager)
        manager.sentinels = [_bounded_sentinel(one) for one in manager.sentinels]
        return FollowingPool(pool.service_name, manager, is_master=pool.is_master, **kwargs)
    if isinstance(pool, aio.BlockingConnectionPool):
        kwargs["timeout"] = pool.timeout
    return type(pool)(**kwargs)


def _bounded_sentinel(sentinel: AsyncRedis) -> AsyncRedis:
    return AsyncRedis.from_pool(_bounded(sentinel.connection_pool, SENTINEL_TIMEOUT))


def _own(pool: aio.ConnectionPool) -> dict[str, Any]:
    # A sentinel's pool passes itself to its connections; the copy's connections must not get the original pool.
    return {name: value for name, value in pool.connection_kwargs.items() if name != "connection_pool"}


def _sync_class(pool: aio.ConnectionPool) -> type[plain.AbstractConnection]:
    found = _SYNC.get(unpacking(pool.connection_class))
    if found is None or pool.connection_kwargs.get("redis_connect_func"):
        name = pool.connection_class.__name__
        raise TypeError(
            f"no blocking client can be made from a pool of {name}: hand in a factory of your own"
        )
    return found


def _sync_client(pool: aio.ConnectionPool, socket_timeout: float) -> redis.Redis:
    connection_class = _sync_class(pool)
    async_only = {"retry", "retry_on_error", "parser_class", "event_dispatcher", "redis_connect_func"}
    kwargs = {
        name: value for name, value in _own(pool).items() if name not in async_only and value is not None
    }
    kwargs |= timeouts(tcp=not kwargs.get("path"), socket_timeout=socket_timeout)
    kwargs |= {"connection_class": connection_class, "retry": Retry(NoBackoff(), 0)}
    if not isinstance(pool, aio_sentinel.SentinelConnectionPool):
        return redis.Redis.from_pool(plain.ConnectionPool(**kwargs))
    manager = BlockingSentinels([])  # type: ignore[no-untyped-call] # redis-py leaves it untyped
    manager.sentinels = [
        _sync_client(one.connection_pool, SENTINEL_TIMEOUT) for one in pool.sentinel_manager.sentinels
    ]
    manager.min_other_sentinels = pool.sentinel_manager.min_other_sentinels
    make: Any = plain_sentinel.SentinelConnectionPool
    return redis.Redis.from_pool(make(pool.service_name, manager, **kwargs))
