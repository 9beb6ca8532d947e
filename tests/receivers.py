"""A receiver of webhooks for tests: a real server on this machine, which answers as a test wants."""

import asyncio
import ssl
from dataclasses import dataclass, field


@dataclass
class Request:
    """One request as it came: the first line, the headers by their names in small letters, and the body."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server on a free port of 127.0.0.1. It gives each of `answers` in turn, and then the last one again.

    An answer is a status, or a status and headers: `429 Retry-After: 60`. "silence" is none at all.
    """

    answers: list[str] = field(default_factory=lambda: ["200"])
    body: bytes = b"{}"
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> "Receiver":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (one.partition(":") for one in head[1:-2])
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append(Request(head[0], headers, body))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer == "silence":
                await reader.read()
                return
            status, _, more = answer.partition(" ")
            lines = [
                f"HTTP/1.1 {status} X",
                f"Content-Length: {len(self.body)}",
                "Connection: close",
                *([more] * bool(more)),
            ]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + self.body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
