"""A small HTTP server in a thread of its own: it answers while the event loop is blocked, however slow its clients are.

The thread waits for no single socket: a client that sends nothing, or reads nothing, costs one place in a short list
until its time is up, or until the list is full and it is the oldest client in it. Each connection takes one request.
Routes make the answers. They are called in this thread, and must neither wait for the event loop nor touch what belongs
to it.

`http.server` does not serve here: its timeout is for each read, so a client that sends a byte now and then keeps its
thread for ever, and nothing bounds its connections. With both bounds written by hand only its accept loop would be
left, and every slow client would cost the worker process a thread.
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

#: The most connections that are open at once; a further one takes the place of the oldest.
CONNECTIONS = 128
#: How long a client may take to send its request, and again to read the reply, in seconds.
PATIENCE = 5.0
#: The longest head of a request, in bytes.
HEAD_LIMIT = 8192
#: How many bytes are read at once.
_CHUNK = 4096


class Reply(NamedTuple):
    """The answer of a route."""

    status: int
    content_type: str
    body: bytes


#: Answers a path. A route whose path ends in `/` is given the name right below it, any other is given "". The query
#: of a request is ignored.
Route = Callable[[str], Reply]


class Endpoint:
    """The thread and its socket. `port` 0 is any free port; instead of a taken port, the next free one is used."""

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
        """Begin to listen and to answer; return the port. Raises EndpointError."""
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
        """Stop answering, and give the port back. This waits for at most two seconds."""
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
            # In this turn, a connection may have been dropped for one that was accepted.
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
            # Most likely there are no descriptors left: drop the oldest client, and do not spin.
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
    """One client: the bytes that it has sent, and those that it has not read yet."""

    __slots__ = ("deadline", "received", "reply", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.reply = memoryview(b"")
        self.deadline = time.monotonic() + PATIENCE

    def read(self) -> bool:
        """Read, and tell whether the head is complete, or too long. Raises OSError for a client that left."""
        chunk = self.sock.recv(_CHUNK)
        if not chunk:
            raise ConnectionAbortedError
        self.received += chunk
        return b"\r\n\r\n" in self.received or len(self.received) > HEAD_LIMIT

    def answer(self, reply: bytes) -> None:
        self.reply = memoryview(reply)
        self.deadline = time.monotonic() + PATIENCE

    def write(self) -> bool:
        """Write, and tell whether that was all of the reply."""
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
