"""Processes: `@job(process=True)` for work that keeps a processor busy, or that may have to be killed."""

import os
import time
from dataclasses import dataclass

from rota import Client, Run, State, fixed, job


@dataclass
class Primes:
    """A typed result: a dataclass or a pydantic model travels as JSON and comes back as itself."""

    count: int
    process: int


@job(process=True)
def count_primes(run: Run, below: int) -> Primes:
    found = [n for n in range(2, below) if all(n % divisor for divisor in range(2, int(n**0.5) + 1))]
    return Primes(len(found), os.getpid())


@job(process=True, timeout=0.5, max_attempts=1)
def never_ends(run: Run) -> None:
    while True:
        time.sleep(0.01)


@job(process=True, max_attempts=2, backoff=fixed(0.05))
def falls_over(run: Run) -> int:
    if run.attempt == 1:
        os._exit(1)
    return run.attempt


async def test_a_process_job_runs_in_a_process_of_its_own(client: Client) -> None:
    handle = await client.enqueue(count_primes, below=1000)
    primes = await handle.result(timeout=30)
    assert primes.count == 168
    assert primes.process != os.getpid()


async def test_one_that_takes_too_long_is_killed(client: Client) -> None:
    handle = await client.enqueue(never_ends)
    info = await client.wait(handle.queue, handle.id, timeout=30)
    assert (info.state, info.reason) == (State.DEAD, "timeout")


async def test_one_that_takes_its_process_with_it_is_tried_again(client: Client) -> None:
    handle = await client.enqueue(falls_over)
    assert await handle.result(timeout=30) == 2
