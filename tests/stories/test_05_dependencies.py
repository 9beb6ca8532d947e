"""Dependencies: a lifespan opens what jobs share, once a worker process; each handler finds it in `run.deps`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rota import Client, Run, job


@dataclass(frozen=True)
class Shelf:
    books: list[str] = field(default_factory=list)


# It stands in jobs/lifespan.py: a database or an HTTP client is opened before the yield, and closed behind it.
@asynccontextmanager
async def lifespan() -> AsyncIterator[Shelf]:
    yield Shelf()


@job
async def shelve(run: Run, title: str) -> int:
    shelf: Shelf = run.deps
    shelf.books.append(title)
    return len(shelf.books)


async def test_all_jobs_of_a_worker_share_what_the_lifespan_opened(client: Client, deps: Shelf) -> None:
    first = await client.enqueue(shelve, "Emma")
    assert await first.result(timeout=10) == 1
    second = await client.enqueue(shelve, "Ulysses")
    assert await second.result(timeout=10) == 2
    assert deps.books == ["Emma", "Ulysses"]


async def test_a_unit_test_gives_a_handler_what_it_likes() -> None:
    assert await shelve(Run(id="1", job="shelve", queue="default", deps=Shelf(["Emma"])), "Ulysses") == 2
