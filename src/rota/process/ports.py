"""Finds a port to listen on: the wanted one, or the next that is free; knows which addresses are this machine.

Several workers on one machine are started with the same settings, and none of them may fail over its metrics.
"""

import errno
import ipaddress
import socket
from urllib.parse import urlsplit

from rota.errors import RotaError

#: The ports that are tried, from the wanted one on; if all are taken, any free port will do.
PORTS = 100


class EndpointError(RotaError):
    """Raised for a host or a port that cannot be listened on, for a reason that will not pass."""


def is_loopback(url: str) -> bool:
    """Tell whether `url` leads to this machine itself, where a proxy from HTTP_PROXY has nothing to do.

    Raises ValueError for what cannot be taken apart.
    """
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `port`, or on the next free one; 0 is any free port. Raises EndpointError."""
    for candidate in (*range(port, min(port + PORTS, 65_536)), 0) if port else (0,):
        try:
            return _bound(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise EndpointError(f"cannot listen on {host}:{candidate}: {error.strerror}") from error
    raise EndpointError(f"cannot listen on {host}: no port is free")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        # A restarted process gets its port back at once; a port that another process listens on is still refused.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
