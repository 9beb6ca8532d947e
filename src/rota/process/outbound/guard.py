"""The way out for a request: its host is looked up once, and the connection goes to an address that was checked.

Whatever asks for a connection passes `GuardedTransport`. So it does not matter how an address is spelt, nor what a
name has for an address a moment later.
"""

import asyncio
import functools
import socket
import ssl

import httpx2

from rota.errors import FetchFailed, FetchRefused
from rota.model.webhooks.destinations import Allowed, check_addresses

#: The most addresses of a host that are tried.
_MOST = 4


class GuardedTransport(httpx2.AsyncBaseTransport):
    """A transport of httpx2 that connects to checked addresses only. It is for one request: connections do not stay.

    :param allowed: what may be connected to beside public addresses.
    """

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        # A connection that stays is found by its address: another name at the same one would take it, unchecked.
        self._inner = httpx2.AsyncHTTPTransport(
            verify=trusted(), trust_env=False, limits=httpx2.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to an address of its host. Raises FetchRefused, FetchFailed, and what httpx2 raises."""
        url = request.url
        host, port = url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)
        addresses = check_addresses(url.scheme, host, port, await _resolved(host, port), self._allowed)
        last: httpx2.ConnectError | httpx2.ConnectTimeout | None = None
        for address in addresses[:_MOST]:
            try:
                return await self._inner.handle_async_request(_aimed(request, address, host))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                last = error
        raise last or FetchFailed("the host has no address")

    async def aclose(self) -> None:
        await self._inner.aclose()


def _aimed(request: httpx2.Request, address: str, host: str) -> httpx2.Request:
    """Return the request for one address; Host, the name for TLS and the certificate stay those of the host."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


async def _resolved(host: str, port: int) -> list[str]:
    """Return the addresses of a host, asked for once. Raises FetchFailed, FetchRefused."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise FetchFailed(f"the host {ascii(host)[1:-1][:80]} is not found: {error.strerror}") from None
    except (UnicodeError, ValueError) as error:
        raise FetchRefused(f"the host's name cannot be looked up: {error}") from None
    return [str(address[0]) for *_, address in found]


@functools.cache
def trusted() -> ssl.SSLContext:
    """Return the certificates that are trusted: the machine's, or those of SSL_CERT_FILE; read once."""
    return httpx2.create_ssl_context()
