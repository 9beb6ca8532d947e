"""Checkpoints: a long job says how far it is, and the next attempt goes on from there instead of from the beginning."""

import csv
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from rota import Client, Run, Snooze, State, fixed, job


@dataclass
class Shop:
    """A shop that the jobs fill. `outages`: the customers whose import fails once, because the database is away."""

    customers: list[str] = field(default_factory=list)
    outages: set[str] = field(default_factory=set)

    async def add(self, name: str) -> None:
        if name in self.outages:
            self.outages.remove(name)
            raise ConnectionError("the database went away")
        self.customers.append(name)


@asynccontextmanager
async def lifespan() -> AsyncIterator[Shop]:
    yield Shop()


@job(max_attempts=3, backoff=fixed(0.05))
async def import_csv(run: Run, path: str) -> int:
    """Import each line once, however often the job is interrupted."""
    done: int = run.last_checkpoint or 0
    with open(path, newline="") as file:
        for line, (name,) in enumerate(csv.reader(file), 1):
            if line > done:
                await run.deps.add(name)
                run.checkpoint(line)
    return line


class Sums(BaseModel):
    """A checkpoint may be a model or a dataclass; it comes back as JSON, of which the job makes a model again."""

    upto: int = 0
    total: int = 0


@job(process=True, max_attempts=2, backoff=fixed(0.05))
def add_up(run: Run, upto: int) -> int:
    """Save checkpoints in a child process, even one that crashes."""
    sums = Sums.model_validate(run.last_checkpoint or {})
    while sums.upto < upto:
        sums = Sums(upto=sums.upto + 1, total=sums.total + sums.upto + 1)
        run.checkpoint(sums)
        if run.attempt == 1 and sums.upto == upto // 2:
            os._exit(1)
    return sums.total


@job
def visit(run: Run, rounds: int) -> list[int]:
    """Remember earlier attempts in a checkpoint, which outlives a snooze."""
    visited = [*(run.last_checkpoint or []), run.attempt]
    run.checkpoint(visited)
    if len(visited) < rounds:
        raise Snooze(0.05)
    return visited


def write(path: Path, *names: str) -> str:
    path.write_text("".join(f"{name}\n" for name in names))
    return str(path)


async def test_an_import_goes_on_at_its_line(client: Client, deps: Shop, tmp_path: Path) -> None:
    deps.outages = {"cy", "eve"}
    handle = await client.enqueue(import_csv, write(tmp_path / "file", "ann", "bob", "cy", "dan", "eve"))
    assert await handle.result(timeout=10) == 5
    assert deps.customers == ["ann", "bob", "cy", "dan", "eve"]


async def test_a_dead_letter_keeps_it_and_goes_on_from_it(client: Client, deps: Shop, tmp_path: Path) -> None:
    path = write(tmp_path / "file", "ann", "bob", "not,a,line", "dan")
    handle = await client.enqueue(import_csv, path)
    info = await client.wait(handle.queue, handle.id, timeout=10)
    assert (info.state, info.checkpoint) == (State.DEAD, 2)

    write(tmp_path / "file", "ann", "bob", "cy", "dan")
    await client.retry(handle.queue, handle.id)
    assert await handle.result(timeout=10) == 4
    assert deps.customers == ["ann", "bob", "cy", "dan"]
    assert (await handle.status()).checkpoint is None, "a job that is done leaves nothing behind"


async def test_a_process_that_fell_over_goes_on_from_the_last_thing_it_saved(client: Client) -> None:
    handle = await client.enqueue(add_up, upto=100)
    assert await handle.result(timeout=30) == 5050
    assert (await handle.status()).attempts == 2


async def test_a_snooze_keeps_it_too(client: Client) -> None:
    handle = await client.enqueue(visit, rounds=3)
    assert await handle.result(timeout=10) == [1, 1, 1]
