"""Connections whose errors do not repeat the password: a server or a proxy that does not know AUTH quotes it back."""

from typing import Any

from redis import connection as plain
from redis import sentinel as plain_sentinel

from rota.errors.secrets import SECRETS
from rota.server.failover.following import BlockingFollowing


class Discreet:
    """A mixin before a connection class of redis-py's asyncio."""

    async def connect(self: Any) -> None:
        """Connect and log in. Raises redis-py's errors, without any secret in them."""
        if self.is_connected:
            return
        try:
            await super().connect()  # type: ignore[misc]
        except Exception as error:
            SECRETS.hide_in(error, self.password)
            raise


class _DiscreetlyBlocking:
    """A mixin before a blocking connection class of redis-py."""

    def connect(self: Any) -> None:
        try:
            super().connect()  # type: ignore[misc]
        except Exception as error:
            SECRETS.hide_in(error, self.password)
            raise


class BlockingConnection(_DiscreetlyBlocking, plain.Connection):
    """A TCP connection."""


class BlockingSSLConnection(_DiscreetlyBlocking, plain.SSLConnection):
    """A TLS connection."""


class BlockingUnixConnection(_DiscreetlyBlocking, plain.UnixDomainSocketConnection):
    """A Unix socket connection."""


class BlockingSentinelConnection(
    BlockingFollowing, _DiscreetlyBlocking, plain_sentinel.SentinelManagedConnection
):
    """A TCP connection to the master that the sentinels name."""


class BlockingSentinelSSLConnection(
    BlockingFollowing, _DiscreetlyBlocking, plain_sentinel.SentinelManagedSSLConnection
):
    """A TLS connection to the master that the sentinels name."""
