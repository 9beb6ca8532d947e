"""A small HTTP server in a thread of its own: it answers while the event loop is blocked, however slow its clients are.

The thread waits for no socket: a client that sends nothing, or takes nothing, costs a place in a short list until its
time is up, or until the list is full and it is the oldest in it. One request a connection; what is answered is a matter
of the routes, which are called in this thread and must neither wait for the event loop nor touch what belongs to it.
"""

import contextlib
import http
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from rota.process.ports import listen

logger = logging.getLogger("rota.endpoint")

#: Connections open at once; a new one takes the place of the oldest.
CONNECTIONS = 128
#: A client has this long to send its request, and again to take the reply, seconds.
PATIENCE = 5.0
#: The longest head of a request, bytes.
HEAD_LIMIT = 8192
#: Bytes read at once.
_CHUNK = 4096


class Reply(NamedTuple):
    """What a route answers."""

    status: int
    content_type: str
    body: bytes


#: What answers a path. A route whose path ends in `/` answers each name right below it, which it is given; any other
#: is given "". The query is no part of it.
Route = Callable[[str], Reply]


class Endpoint:
    """The thread and its socket. `port` 0 is any free one; one that is taken moves to the next that is free."""

    def __init__(self, routes: Mapping[str, Route], *, host: str, port: int) -> None:
        self._routes = dict(routes)
        self._host = host
        self._asked = port
        self._selector = selectors.DefaultSelector()
        self._open: dict[socket.socket, _Connection] = {}
        self._listener: socket.socket | None = None
        self._told, self._tell = socket.socketpair()
        self._thread: threading.Thread | None = None
        self.port = 0

    def start(self) -> int:
        """Listen, and answer from now on; the port that it became. Raises EndpointError."""
        self._listener = listener = listen(self._host, self._asked)
        self.port = listener.getsockname()[1]
        if self._asked not in (0, self.port):
            logger.warning("endpoint.port_taken", extra={"asked": self._asked, "port": self.port})
        logger.info("endpoint.ready", extra={"host": self._host, "port": self.port})
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._told, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._main, name="rota-endpoint", daemon=True)
        self._thread.start()
        return self.port

    def stop(self) -> None:
        """Answer no more; waits at most two seconds."""
        self._tell.close()
        if self._thread is None:
            self._told.close()
        else:
            self._thread.join(2.0)

    def _main(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            for connection in list(self._open.values()):
                self._drop(connection)
            self._selector.close()
            self._told.close()
            if self._listener is not None:
                self._listener.close()

    def _turn(self) -> bool:
        for key, _ in self._selector.select(PATIENCE / 5 if self._open else None):
            if key.fileobj is self._told:
                return False
            if key.fileobj is self._listener:
                self._accept(self._listener)
            # A connection may have had to make room for one that was accepted in this turn.
            elif connection := self._open.get(key.fileobj):  # type: ignore[call-overload]
                self._serve(connection)
        now = time.monotonic()
        for connection in [one for one in self._open.values() if one.deadline < now]:
            self._drop(connection)
        return True

    def _accept(self, listener: socket.socket) -> None:
        if len(self._open) >= CONNECTIONS:
            self._drop_oldest()
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # No descriptors left, most likely: whoever waits longest makes room, and the loop must not spin.
            logger.warning("endpoint.not_accepted", extra={"error": str(error)})
            self._drop_oldest()
            time.sleep(0.1)
            return
        sock.setblocking(False)
        self._open[sock] = _Connection(sock)
        self._selector.register(sock, selectors.EVENT_READ)

    def _serve(self, connection: "_Connection") -> None:
        try:
            if not connection.reply and connection.read():
                connection.answer(self._reply(connection.received))
                self._selector.modify(connection.sock, selectors.EVENT_WRITE)
            if connection.reply and connection.write():
                self._drop(connection)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._drop(connection)

    def _drop_oldest(self) -> None:
        if self._open:
            self._drop(next(iter(self._open.values())))

    def _drop(self, connection: "_Connection") -> None:
        del self._open[connection.sock]
        self._selector.unregister(connection.sock)
        connection.close()

    def _reply(self, received: bytes) -> bytes:
        line = received.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(received) > HEAD_LIMIT or len(line) != 3 or not line[2].startswith("HTTP/1."):  # noqa: PLR2004
            return _encode(Reply(400, "text/plain", b"this is no HTTP request\n"))
        method, target, _ = line
        if method not in ("GET", "HEAD"):
            return _encode(Reply(405, "text/plain", b"only GET and HEAD are allowed\n"))
        reply = self._routed(target.partition("?")[0])
        return _encode(reply, with_body=method == "GET")

    def _routed(self, path: str) -> Reply:
        parent = path[: path.rfind("/") + 1]
        name = path if path in self._routes else parent
        route = self._routes.get(name)
        if route is None:
            paths = "".join(f"{one}\n" for one in sorted(self._routes))
            return Reply(404, "text/plain", f"there is nothing here; there is:\n{paths}".encode())
        try:
            return route(path[len(name) :])
        except Exception:
            logger.exception("endpoint.failed", extra={"path": name})
            return Reply(500, "text/plain", b"this failed; the log says why\n")


class _Connection:
    """One client: what it has sent, and what it has yet to take."""

    __slots__ = ("deadline", "received", "reply", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.reply = memoryview(b"")
        self.deadline = time.monotonic() + PATIENCE

    def read(self) -> bool:
        """Whether the head of the request is complete, or too long. Raises OSError for a client that left."""
        chunk = self.sock.recv(_CHUNK)
        if not chunk:
            raise ConnectionAbortedError
        self.received += chunk
        return b"\r\n\r\n" in self.received or len(self.received) > HEAD_LIMIT

    def answer(self, reply: bytes) -> None:
        self.reply = memoryview(reply)
        self.deadline = time.monotonic() + PATIENCE

    def write(self) -> bool:
        """Whether the client has taken all."""
        self.reply = self.reply[self.sock.send(self.reply) :]
        return not self.reply

    def close(self) -> None:
        # A close with unread bytes would reset the connection, and take the reply with it.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            self.sock.recv(HEAD_LIMIT)
        self.sock.close()


def _encode(reply: Reply, *, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {reply.status} {http.HTTPStatus(reply.status).phrase}\r\n"
        f"Content-Type: {reply.content_type}\r\n"
        f"Content-Length: {len(reply.body)}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (reply.body if with_body else b"")
