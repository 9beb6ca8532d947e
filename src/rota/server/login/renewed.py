"""Reads the password again for each new connection: one that was rotated reaches a process that runs."""

from collections.abc import Callable
from typing import Any

from redis.credentials import CredentialProvider

from rota.errors.secrets import SECRETS

#: A user, None for the server's default one, and a password.
Pair = tuple[str | None, str | None]


class RenewedLogin(CredentialProvider):
    """The login of a server as its files hold it now, or where these cannot be read, as they did before.

    :param first: the user and the password as they were read at the start.
    :param read: reads them again. Raises OSError, ValueError.
    """

    def __init__(self, first: Pair, read: Callable[[], Pair]) -> None:
        self.username, self.password = first
        self._read = read

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return what a new connection sends to log in."""
        try:
            username, password = self._read()
        except (OSError, ValueError):
            pass
        else:
            self.username, self.password = username, password
            SECRETS.keep(password)
        password = self.password or ""
        return (self.username, password) if self.username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return what a new connection sends to log in."""
        return self.get_credentials()


def login_options(first: Pair, read: Callable[[], Pair] | None) -> dict[str, Any]:
    """Return redis-py's options for a login: the pair itself, or with `read`, what reads it again."""
    username, password = first
    if read is None or password is None:
        return {"username": username, "password": password}
    return {"credential_provider": RenewedLogin(first, read)}
