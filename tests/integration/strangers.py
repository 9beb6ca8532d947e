"""Servers that are no Redis, or an odd one: on a port of their own, answering as a test says."""

import asyncio
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self

#: What to answer to a command; None closes the connection, b"" says nothing.
Answer = Callable[[list[bytes]], bytes | None]


def mute(command: list[bytes]) -> bytes | None:
    """Take every command, and never answer."""
    return b""


def polite(**answers: bytes | None) -> Answer:
    """Answers the commands named, PING as it should be, and all others with OK."""
    return lambda command: {"PING": b"+PONG\r\n", **answers}.get(command[0].decode().upper(), b"+OK\r\n")


def info(**facts: object) -> bytes:
    text = "".join(f"{name}:{value}\r\n" for name, value in facts.items())
    return f"${len(text)}\r\n{text}\r\n".encode()


class Stranger:
    """Speaks Redis' protocol as far as to understand commands, which it keeps; `answer` decides the rest."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.commands: list[list[bytes]] = []
        self._answer = answer
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while command := await self._command(reader):
                self.commands.append(command)
                answer = self._answer(command)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    async def _command(self, reader: asyncio.StreamReader) -> list[bytes]:
        line = await reader.readline()
        if not line.startswith(b"*"):
            return line.split()
        words = []
        for _ in range(int(line[1:])):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2])
        return words
