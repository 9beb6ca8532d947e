"""Connections end, whatever the server does."""

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from rota.server.packing import PackingConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def silent_server() -> "AsyncIterator[int]":
    """Serve on a port where nothing is ever read or answered."""
    over = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        server.close()


async def test_a_peer_that_reads_nothing_does_not_keep_a_connection_from_closing() -> None:
    async with silent_server() as port:
        connection: Any = PackingConnection(
            host="127.0.0.1", port=port, socket_connect_timeout=0.1, lib_name=None, lib_version=None
        )
        await connection.connect()
        # What was written last waits for the peer to read it.
        connection._writer.write(b"x" * 50_000_000)
        async with asyncio.timeout(20):
            await connection.disconnect()
        assert not connection.is_connected
