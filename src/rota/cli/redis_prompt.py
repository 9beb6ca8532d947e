"""A small `redis-cli` for machines without one: one command, or a prompt, with the service's own settings.

Replies look as redis-cli shows them: for people on a terminal (`(integer) 3`, `1) "a"`), plain elsewhere, so
that they can be piped on; `--raw` or `--no-raw` in front of the command overrides this.
"""

import contextlib
import shlex
import sys
from collections.abc import Iterator
from typing import IO, Any, TypeAlias

import redis

from rota.server import connections
from rota.server.faults import ServerError, explain
from rota.server.outage import FAULTS
from rota.server.target import RedisTarget

Reply: TypeAlias = "bytes | int | redis.ResponseError | list[Reply] | None"

STREAMS = frozenset({"monitor", "subscribe", "psubscribe", "ssubscribe"})
"""Commands with endless replies, until Ctrl-C."""

TEXTS = ("info", "lolwut", "client list", "client info", "cluster info", "memory doctor", "latency doctor")
"""Commands whose reply is a page of text, shown unchanged even on a terminal."""

_ESCAPES = {9: "\\t", 10: "\\n", 13: "\\r", 7: "\\a", 8: "\\b", 34: '\\"', 92: "\\\\"}
_PRINTABLE = range(32, 127)


_CLOSED = "the server closed the connection"


class Status(bytes):
    """A word of the protocol, such as OK; other strings are shown in quotes."""


class Session:
    """A connection that keeps what redis-py's parsers drop: whether a reply is a status or a string."""

    def __init__(self, target: RedisTarget) -> None:
        self._target = target
        self._connection: Any = connections.sync_client(target).connection_pool.make_connection()
        self._replies: IO[bytes] | None = None

    def connect(self) -> None:
        """Connect if necessary, with the target's TLS, password and database. Raises ServerError."""
        if self._replies is not None:
            return
        try:
            self._connection.connect()
        except FAULTS as error:
            raise explain(error, self._target) from error
        # redis-py has no public name for the socket. A blocking command brings its own timeout.
        self._connection._sock.settimeout(None)
        self._replies = self._connection._sock.makefile("rb")

    def send(self, words: list[str]) -> None:
        """Send one command, after connecting if necessary. Raises ServerError where that fails."""
        self.connect()
        encoded = [word.encode(errors="surrogateescape") for word in words]
        self._connection.send_packed_command(self._connection.pack_command(*encoded), check_health=False)

    def read(self) -> Reply:
        """Return the next reply; an error from the server is a value.

        Raises redis.ConnectionError when the connection ends.
        """
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return Status(rest)
        if kind == b"-":
            return redis.ResponseError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._bytes(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        raise redis.ConnectionError("this prompt reads RESP2 only, do not say HELLO 3")

    def close(self) -> None:
        """Disconnect; the next command connects again."""
        if self._replies is not None:
            self._replies.close()
            self._replies = None
        self._connection.disconnect()

    def _line(self) -> bytes:
        with _closed_is_lost():
            line = self._replies.readline() if self._replies else b""
        if not line.endswith(b"\r\n"):
            raise redis.ConnectionError(_CLOSED)
        return line[:-2]

    def _bytes(self, length: int) -> bytes:
        with _closed_is_lost():
            found = self._replies.read(length) if self._replies else b""
        if len(found) < length:
            raise redis.ConnectionError(_CLOSED)
        return found


@contextlib.contextmanager
def _closed_is_lost() -> Iterator[None]:
    """Raise redis.ConnectionError also for a connection that was reset: one that ends with words of ours unread."""
    try:
        yield
    except OSError as error:
        raise redis.ConnectionError(_CLOSED) from error


def raw(reply: Reply) -> bytes:
    """Format a reply for a program: strings unchanged, each element of an array on its own line."""
    if isinstance(reply, list):
        return b"\n".join(raw(element) for element in reply)
    if isinstance(reply, bytes):
        return reply
    return b"" if reply is None else str(reply).encode()


def pretty(reply: Reply, indent: str = "") -> str:
    """Format a reply for a person, as redis-cli shows it on a terminal."""
    if isinstance(reply, list):
        return _numbered(reply, indent)
    if isinstance(reply, Status):
        return reply.decode(errors="replace")
    if isinstance(reply, bytes):
        return f'"{"".join(_character(byte) for byte in reply)}"'
    if isinstance(reply, redis.ResponseError):
        return f"(error) {reply}"
    return "(nil)" if reply is None else f"(integer) {reply}"


def _numbered(elements: list[Reply], indent: str) -> str:
    if not elements:
        return "(empty array)"
    width = len(str(len(elements)))
    deeper = indent + " " * (width + 2)
    # The first line follows its parent's text; only the others need the indent.
    return f"\n{indent}".join(
        f"{number:{width}}) {pretty(element, deeper)}" for number, element in enumerate(elements, 1)
    )


def _character(byte: int) -> str:
    return _ESCAPES.get(byte) or (chr(byte) if byte in _PRINTABLE else f"\\x{byte:02x}")


def run(target: RedisTarget, argv: list[str]) -> int:
    """Run the command in `argv`, or a prompt if it is empty, and return the exit status: 1 after an error.

    Raises ServerError if no server can be reached. A prompt goes on when a server goes away later.
    """
    plain, words = _plainness(argv)
    session = Session(target)
    try:
        session.connect()
        return 0 if (_one(session, words, plain) if words else _prompt(session, plain)) else 1
    except KeyboardInterrupt:
        return 130
    finally:
        session.close()


def _plainness(argv: list[str]) -> tuple[bool, list[str]]:
    if argv and argv[0] in {"--raw", "--no-raw"}:
        return argv[0] == "--raw", argv[1:]
    return not sys.stdout.isatty(), argv


def _one(session: Session, words: list[str], plain: bool) -> bool:
    """Send a command and show the reply. Return False for an error."""
    text = " ".join(words).lower().startswith(TEXTS)
    try:
        session.send(words)
        reply = session.read()
        _show(reply, plain or (text and isinstance(reply, bytes)))
        while words[0].lower() in STREAMS and not isinstance(reply, redis.ResponseError):
            _show(reply := session.read(), plain)
    except (redis.RedisError, ServerError) as error:
        session.close()
        _write(f"(error) {error}".encode())
        return False
    except KeyboardInterrupt:
        session.close()
        raise
    return not isinstance(reply, redis.ResponseError)


def _prompt(session: Session, plain: bool) -> bool:
    """Read and run commands until `quit`, `exit` or the end of the input; errors do not end the prompt."""
    if interactive := sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401, PLC0415 - its import gives input() a history and editing
    for words in _commands("redis> " if interactive else ""):
        if words[0].lower() in {"quit", "exit"}:
            break
        try:
            _one(session, words, plain)
        except KeyboardInterrupt:
            _write(b"")
    return True


def _commands(prompt: str) -> Iterator[list[str]]:
    while True:
        try:
            words = shlex.split(input(prompt))
        except EOFError:
            return
        except KeyboardInterrupt:
            _write(b"")
        except ValueError:
            _write(b"(error) a quote is not closed")
        else:
            if words:
                yield words


def _show(reply: Reply, plain: bool) -> None:
    _write(raw(reply) if plain else pretty(reply).encode())


def _write(line: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
