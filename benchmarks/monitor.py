"""Listens to a quiet server with MONITOR: every command that it executes, and whether a script sent it."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

#: A command's line holds its arguments, at most this long.
_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Seen:
    """One executed command: the server's time in seconds, its name, and whether a script sent it (`inner`)."""

    at: float
    name: str
    inner: bool

    @classmethod
    def parse(cls, line: str) -> Self:
        """Parse a line such as `+1700000000.123456 [0 127.0.0.1:4711] "GET" "key"`; scripts show as `[0 lua]`."""
        at, _, rest = line.removeprefix("+").partition(" ")
        source, _, command = rest.partition("] ")
        return cls(float(at), command.split('"')[1].upper(), source.endswith(" lua"))


class Monitor:
    """Gathers in `seen` what one server executes while the asynchronous context lasts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.seen: list[Seen] = []

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_LONGEST)
        self._writer.write(b"MONITOR\r\n")
        await self._reader.readline()
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._writer.close()

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            self.seen.append(Seen.parse(line.decode("utf-8", "replace").rstrip()))

    def network(self) -> list[float]:
        """Return the times at which clients sent commands."""
        return [one.at for one in self.seen if not one.inner]

    def all(self) -> list[float]:
        """Return the times at which commands were executed, also inside scripts."""
        return [one.at for one in self.seen]
