"""What all adapters have in common: the driver's orders, and how they are carried out. It needs nothing but Python.

An adapter is called as `python -m benchmarks.peers.adapters.NAME worker CONCURRENCY`, or `… client`. A client reads
orders from its standard input, one line of JSON each, and prints an answer for each.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

Order = dict[str, Any]
Answer = dict[str, Any]

#: The job of each system that waits does so for this long, in seconds.
NAP = 0.005
#: The most jobs of one call in bulk.
PORTION = 1_000
#: At a pace, the client looks this often, in seconds, which jobs are due, and enqueues them together.
TICK = 0.002


class Client(Protocol):
    """Enqueues jobs by name and number, from a loop."""

    async def one(self, task: str, number: int) -> object:
        """Enqueue a single job, and wait for the server."""

    async def many(self, task: str, numbers: Sequence[int]) -> object:
        """Enqueue many jobs in the client's fastest public way."""


class BlockingClient(Protocol):
    """Enqueues jobs by name and number, without a loop."""

    def one(self, task: str, number: int) -> object:
        """Enqueue a single job, and wait for the server."""

    def many(self, task: str, numbers: Sequence[int]) -> object:
        """Enqueue many jobs in the client's fastest public way."""


async def gathered(one: Callable[[str, int], Awaitable[object]], task: str, numbers: Sequence[int]) -> None:
    """Enqueue in portions of a hundred at a time: what a user does whose client has no call for many."""
    for start in range(0, len(numbers), 100):
        await asyncio.gather(*(one(task, number) for number in numbers[start : start + 100]))


def due(numbers: Sequence[int], sent: int, pace: float, seconds: float) -> Sequence[int]:
    """Return the jobs that are to be enqueued now, `seconds` after the first, for `pace` jobs a second."""
    return numbers[sent : max(sent, int(pace * seconds))]


async def serve(client: Client) -> None:
    """Carry out orders until there are no more."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        _answer(await _carry_out(client, json.loads(line)))


def serve_blocking(client: BlockingClient) -> None:
    """Carry out orders until there are no more; callers at once are threads."""
    for line in iter(sys.stdin.readline, ""):
        _answer(_carry_out_blocking(client, json.loads(line)))


async def _carry_out(client: Client, order: Order) -> Answer:
    task, numbers = order["task"], range(order["first"], order["first"] + order["count"])
    called = []
    began = time.perf_counter()
    match order["do"]:
        case "one":
            for number in numbers:
                await client.one(task, number)
        case "many":
            for start in range(0, len(numbers), PORTION):
                await client.many(task, numbers[start : start + PORTION])
        case "callers":
            left = iter(numbers)
            await asyncio.gather(*(_call(client, task, left) for _ in range(order["callers"])))
        case "singles":
            for number, gap in zip(numbers, order["gaps"], strict=True):
                await asyncio.sleep(gap)
                called.append(time.monotonic_ns())
                await client.one(task, number)
        case "paced":
            while len(called) < len(numbers):
                await asyncio.sleep(TICK)
                portion = due(numbers, len(called), order["pace"], time.perf_counter() - began)
                if portion:
                    called += [time.monotonic_ns()] * len(portion)
                    await client.many(task, portion)
    return {"seconds": time.perf_counter() - began, "called": called}


async def _call(client: Client, task: str, left: Iterable[int]) -> None:
    for number in left:
        await client.one(task, number)


def _carry_out_blocking(client: BlockingClient, order: Order) -> Answer:
    task, numbers = order["task"], range(order["first"], order["first"] + order["count"])
    called = []
    began = time.perf_counter()
    match order["do"]:
        case "one":
            for number in numbers:
                client.one(task, number)
        case "many":
            for start in range(0, len(numbers), PORTION):
                client.many(task, numbers[start : start + PORTION])
        case "callers":
            with ThreadPoolExecutor(order["callers"]) as threads:
                for _ in threads.map(lambda number: client.one(task, number), numbers):
                    pass
        case "singles":
            for number, gap in zip(numbers, order["gaps"], strict=True):
                time.sleep(gap)
                called.append(time.monotonic_ns())
                client.one(task, number)
        case "paced":
            while len(called) < len(numbers):
                time.sleep(TICK)
                for number in due(numbers, len(called), order["pace"], time.perf_counter() - began):
                    called.append(time.monotonic_ns())
                    client.one(task, number)
    return {"seconds": time.perf_counter() - began, "called": called}


def _answer(answer: Answer) -> None:
    print(json.dumps(answer), flush=True)
