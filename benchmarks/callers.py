"""Callers that enqueue, directly and over HTTP, as fast as they can and at a pace: a process of its own.

Over HTTP they have connections that stay open, and know no more of HTTP than they need, so that the server is measured
and not they. Directly they share one client. What they saw is printed as one line of JSON.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import psutil
import uvloop

import rota
from benchmarks.figures import percentile
from benchmarks.jobs import noop
from rota.settings.load import load

#: Callers at the same time.
CALLERS = 100
#: Enqueues of each kind of callers that are not measured.
WARM_UP = 200
#: Requests a second for which the time to answer is promised: half of the promised rate.
PACE = 1_000

#: Sends one enqueue of a number, and waits for its answer. There is one for each caller.
Caller = Callable[[int], Awaitable[object]]

_REQUEST = (
    "POST /jobs/bench:noop HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
)
_LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    """One connection that stays open, with one request at a time."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._read = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # That of uvloop is of no class of asyncio.
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(_LENGTH)[2].partition(b"\r\n")[0]):
            self._read = b""
            assert self._answer is not None
            self._answer.set_result(head + b" " + body)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server has closed the connection"))

    async def enqueue(self, number: int) -> None:
        """Enqueue over HTTP. Raises RuntimeError for an answer that is not 202."""
        self._answer = asked = asyncio.get_running_loop().create_future()
        body = f'{{"payload":{{"number":{number}}}}}'
        self._transport.write(_REQUEST.format(key=self._key, length=len(body), body=body).encode())
        answer = await asked
        if not answer.startswith(b"HTTP/1.1 202 "):
            raise RuntimeError(f"the API did not enqueue: {answer[:300].decode()}")


@asynccontextmanager
async def over_http(port: int, key: str, count: int) -> AsyncIterator[list[Caller]]:
    """Yield callers, each on a connection of its own, which were used before."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Connection(key), "127.0.0.1", port) for _ in range(count)]
    callers: list[Caller] = [connection.enqueue for _, connection in made]
    await at_once(callers, WARM_UP)
    yield callers
    for transport, _ in made:
        transport.close()


@asynccontextmanager
async def direct(url: str, count: int) -> AsyncIterator[list[Caller]]:
    """Yield callers that share one client, which was used before."""
    async with await rota.connect(load({"REDIS_URL": url})) as client:
        callers: list[Caller] = [lambda number: client.enqueue(noop, number)] * count
        await at_once(callers, WARM_UP)
        yield callers


async def at_once(callers: list[Caller], total: int) -> float:
    """Let the callers enqueue one job after the other, `total` in all; return how many a second."""
    numbers = iter(range(total))

    async def go_on(call: Caller) -> None:
        for number in numbers:
            await call(number)

    began = time.perf_counter()
    await asyncio.gather(*map(go_on, callers))
    return total / (time.perf_counter() - began)


async def at_pace(callers: list[Caller], total: int, pace: float) -> list[float]:
    """Enqueue `total` jobs at `pace` a second; return the times from when each was due to its answer, in ms.

    A job waits for a caller where all are busy, and that counts: requests do not stop coming when a server is slow.
    """
    free = asyncio.Queue[Caller]()
    for caller in callers:
        free.put_nowait(caller)
    took: list[float] = []
    began = time.perf_counter()

    async def one(number: int, due: float) -> None:
        caller = await free.get()
        await caller(number)
        free.put_nowait(caller)
        took.append((time.perf_counter() - due) * 1000)

    async with asyncio.TaskGroup() as group:
        for number in range(total):
            due = began + number / pace
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            group.create_task(one(number, due))
    return took


async def main(chosen: argparse.Namespace) -> dict[str, float]:
    """Enqueue in all ways, one after the other; return what was seen of each."""
    total, api = chosen.total, psutil.Process(chosen.pid)
    async with direct(chosen.url, CALLERS) as callers:
        one = await at_once(callers[:1], total)
        together = await at_once(callers, total)
    async with over_http(chosen.port, chosen.key, CALLERS) as callers:
        cpu = sum(api.cpu_times()[:2])
        requests = await at_once(callers, total)
        cpu = sum(api.cpu_times()[:2]) - cpu
        paced = await at_pace(callers, total, PACE)
    return {
        "direct_one_per_s": one,
        "direct_per_s": together,
        "direct_times": together / one,
        "http_per_s": requests,
        "http_share": requests / one,
        "http_us": cpu / total * 1e6,
        "http_p50_ms": percentile(paced, 0.5),
        "http_p99_ms": percentile(paced, 0.99),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True, help="of Redis")
    parser.add_argument("--port", type=int, required=True, help="of the API")
    parser.add_argument("--pid", type=int, required=True, help="of the API")
    parser.add_argument("--key", required=True)
    parser.add_argument("--total", type=int, required=True, help="enqueues of each way")
    json.dump(uvloop.run(main(parser.parse_args())), sys.stdout)
