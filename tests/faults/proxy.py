"""A TCP proxy between a client and its Redis that cuts connections, freezes them, or answers in the server's place."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from arq.connections import RedisSettings

Match = Callable[[bytes], bool]


def anything(command: bytes) -> bool:
    """Match every command, whatever it is."""
    return True


def containing(*words: bytes | str) -> Match:
    """Commands in which one of `words` stands, such as a command's name or a script's hash."""
    raw = [word.encode() if isinstance(word, str) else word for word in words]
    return lambda command: any(word in command for word in raw)


@dataclass
class Answer:
    """An answer that the proxy gives in place of the server's, to `times` commands from number `first` on."""

    match: Match
    reply: bytes
    first: int = 1
    times: int = 1
    seen: int = 0

    def takes(self, command: bytes) -> bool:
        """Count this command, and tell whether it is answered here."""
        if not self.match(command):
            return False
        self.seen += 1
        return self.first <= self.seen < self.first + self.times


class Proxy:
    """Listens on `port`, and leads to `target` on the same machine.

    What passes is counted in chunks, since `arm()` was called: each whole command on its way there, each read on the
    way back. `cut_at` is the number of the chunk that is lost with its connection.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.chunks = 0
        self.cut_at: int | None = None
        self.cuts = 0
        self.answers: list[Answer] = []
        self._armed = False
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._stranded: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self._open.set()
        self.cut()

    @property
    def settings(self) -> RedisSettings:
        """How arq's workers and clients find the proxy."""
        return RedisSettings(host="127.0.0.1", port=self.port, conn_retry_delay=0)

    def arm(self) -> None:
        self._armed, self.chunks = True, 0

    def cut(self) -> None:
        """Cut every connection there is now."""
        for writer in list(self._writers):
            writer.transport.abort()

    def strand(self) -> None:
        """Let nothing pass on the present connections, without closing them; new connections work."""
        self._stranded |= self._writers

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let nothing pass while a block lasts, without closing anything; new connections are accepted."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self.target, limit=2**24)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there}
        pumps = [
            asyncio.create_task(self._requests(reader, there, writer)),
            asyncio.create_task(self._replies(there_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._writers -= {writer, there}
            self._stranded -= {writer, there}
            writer.transport.abort()
            there.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, there: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                command = await read_command(reader)
                await self._passable(there)
                if self._is_cut():
                    return
                answer = next((answer for answer in self.answers if answer.takes(command)), None)
                if answer is None:
                    there.write(command)
                    await there.drain()
                else:
                    back.write(answer.reply)
                    await back.drain()

    async def _replies(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(2**20):
                await self._passable(back)
                if self._is_cut():
                    return
                back.write(chunk)
                await back.drain()

    async def _passable(self, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        if writer in self._stranded:
            await asyncio.Event().wait()

    def _is_cut(self) -> bool:
        if not self._armed:
            return False
        self.chunks += 1
        cut = self.chunks == self.cut_at
        self.cuts += cut
        return cut


async def read_command(reader: asyncio.StreamReader) -> bytes:
    """Read one whole command, unparsed. Raises IncompleteReadError at the end."""
    head = await reader.readuntil(b"\r\n")
    parts = [head]
    for _ in range(int(head[1:])):
        size = await reader.readuntil(b"\r\n")
        parts += [size, await reader.readexactly(int(size[1:]) + 2)]
    return b"".join(parts)
