"""A longer way to a server: `python -m benchmarks.conditions.proxy PORT MS` lets each round trip take MS longer.

It listens on a free port, which it prints, and hands everything on to PORT half of MS later, in each direction, in
order and as it came. So a request and its answer take MS longer together, and what is under way at the same time does
not wait for each other: this is a delay, no limit of what goes through. It is a process of its own, and goes on until
it is killed.

Its loop waits by select(2), whose timeouts are exact to 50 µs. Those of epoll, and all of uvloop, are whole
milliseconds: 0.5 ms would be 1.
"""

import asyncio
import selectors
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.failures import BenchFailed
from benchmarks.process import ROOT

#: As much as is read at once, in bytes.
_PIECE = 1 << 18


async def carry(reader: StreamReader, writer: StreamWriter, delay: float) -> None:
    """Hand everything on `delay` seconds after it came, until its sender closes, and then close."""
    clock = asyncio.get_running_loop().time
    under_way = asyncio.Queue[tuple[float, bytes]]()

    async def arrive() -> None:
        while True:
            due, data = await under_way.get()
            if (early := due - clock()) > 0:
                await asyncio.sleep(early)
            if not data:
                break
            writer.write(data)
        writer.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(arrive())
        data = b"?"
        while data:
            try:
                data = await reader.read(_PIECE)
            except ConnectionError:
                data = b""
            under_way.put_nowait((clock() + delay, data))


async def serve(port: int, delay: float) -> None:
    """Let what connects to a free port reach `port`, and hand on what both say."""

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, back, delay / 2), carry(there, writer, delay / 2))

    server = await asyncio.start_server(connected, "127.0.0.1")
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@asynccontextmanager
async def farther(port: int, ms: float) -> AsyncIterator[str]:
    """Yield the address of the server on `port` by a way whose round trips take `ms` longer. Raises BenchFailed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.conditions.proxy", str(port), str(ms)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C reaches the harness only, which then ends its processes in order.
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        said = await process.stdout.readline()
        if not said:
            raise BenchFailed("the delaying proxy did not start")
        yield f"redis://127.0.0.1:{int(said)}/0"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def main(port: int, ms: float) -> None:
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(serve(port, ms / 1000))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
