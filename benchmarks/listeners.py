"""What listeners cost: `python -m benchmarks.listeners`, a real process of the API and 1,000 that listen, of each kind.

Memory is the growth of the process's resident set, per listener that is idle, beyond the first 20. Then one job is
enqueued, and it is measured how long its update takes to reach all of them; the clients are in this process, on the
same machine, and a part of that time. BENCH_LISTENERS sets how many there are.
"""

import asyncio
import base64
import contextlib
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.server import PrivateServer
from rota.app.connect import connect
from rota.settings.load import load
from tests.integration.api.serving import api_process
from tests.processes import Worker

_FIRST = 20
_SUBSCRIBE = b'{"subscribe": {"all": true}}'

Open = Callable[[contextlib.AsyncExitStack, int], Awaitable[asyncio.StreamReader]]


async def by_events(stack: contextlib.AsyncExitStack, port: int) -> asyncio.StreamReader:
    """Open a stream of server-sent events of all jobs, which stays open until `stack` ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"event: ready"), 10)
    return reader


async def by_socket(stack: contextlib.AsyncExitStack, port: int) -> asyncio.StreamReader:
    """Open a WebSocket that has subscribed to all jobs, which stays open until `stack` ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    key = base64.b64encode(os.urandom(16))
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
    )
    await asyncio.wait_for(reader.readuntil(b'"ready"'), 10)
    # One frame of text, its mask all zeros.
    writer.write(bytes([0x81, 0x80 | len(_SUBSCRIBE), 0, 0, 0, 0]) + _SUBSCRIBE)
    await asyncio.wait_for(reader.readuntil(b'"subscribed"'), 10)
    return reader


async def memory_of(
    process: Worker, open_one: Open, stack: contextlib.AsyncExitStack, count: int
) -> tuple[float, list[asyncio.StreamReader]]:
    """Open `count` listeners to a process; return the bytes that each takes there, and what they read."""
    port, memory = process.events("api.ready")[0]["port"], psutil.Process(process.pid).memory_info
    readers = [await open_one(stack, port) for _ in range(_FIRST)]
    before = memory().rss
    readers += [await open_one(stack, port) for _ in range(count)]
    return (memory().rss - before) / count, readers


async def _measure(name: str, open_one: Open, count: int) -> tuple[str, ...]:
    with TemporaryDirectory() as folder:
        async with PrivateServer(Path(folder)) as server, contextlib.AsyncExitStack() as stack:
            process, _ = await stack.enter_async_context(api_process(Path(folder), server.url))
            taken, readers = await memory_of(process, open_one, stack, count)
            client = await stack.enter_async_context(await connect(load({"REDIS_URL": server.url})))
            begun = time.monotonic()
            await client.enqueue_by_name("default:nothing", {})
            first = time.monotonic()
            await asyncio.gather(*(reader.readuntil(b'"enqueued"') for reader in readers))
            last = time.monotonic()
            return name, f"{taken / 1024:.1f}", f"{first - begun:.3f}", f"{last - begun:.3f}"


async def _all(count: int) -> None:
    table = Table("listener", "KiB each", title=f"{count} listeners")
    for column in ("enqueued after, s", "all told after, s"):
        table.add_column(column)
    table.add_row(*await _measure("server-sent events", by_events, count))
    table.add_row(*await _measure("WebSocket", by_socket, count))
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(_all(int(os.environ.get("BENCH_LISTENERS", "1000"))))
    sys.exit(0)
