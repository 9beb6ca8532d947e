"""Memory and what is left over: what Redis is full of, and how the leader tidies up after jobs were deleted by hand."""

import pytest

from rota import Client, JobFailed, Run, each, fixed, job, pipeline, unique
from rota.server.memory import memory_of
from rota.services import housekeeper
from rota.services.leftovers import named
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import standing


@job
async def pages(run: Run, book: str) -> list[int]:
    return [1, 2, 3]


@job(backoff=fixed(600, jitter=0))
async def read_page(run: Run, number: int) -> str:
    if run.attempt == 1 and number == 3:
        raise ValueError("the page is stuck")
    return f"page {number}"


@job(unique=unique(until="finished"))
async def bind(run: Run, book: str) -> None: ...


whole_book = pipeline(pages, each(read_page))


async def test_what_the_memory_is_used_for(client: Client) -> None:
    await client.enqueue(bind.options(delay=600), "Emma")
    memory = await memory_of(client.redis, "rota")
    kinds = {one.kind: one for one in memory.usage}
    assert kinds["payloads of jobs"].keys == 1
    assert kinds["payloads of jobs"].bytes > 0
    assert memory.used > 0


async def test_the_leader_tidies_up_after_somebody_has_deleted_a_queue(
    client: Client, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A leader looks at every key once an hour, and first five minutes into its term; here at once.
    monkeypatch.setattr(housekeeper, "EVERY", 0.05)
    book = await client.enqueue(whole_book, "Emma")
    await client.enqueue(bind.options(delay=600), "Emma")

    async def is_stuck() -> bool:
        stages = (await book.status()).stages
        return stages[1].completed == 2

    await until(is_stuck)
    # What nobody should do: the pipeline waits for jobs that will never end, and the unique key is taken for ever.
    for pattern in ("arq:queue:default*", "arq:job:*", "arq:retry:*"):
        await client.redis.delete(*await client.redis.keys(pattern))
    # `rota memory` and `rota doctor` say so.
    assert (
        await named(client.redis, "rota") == "pipelines or batches whose jobs are gone (1), unique keys (1)"
    )

    async with standing(server.url, __name__) as leader:
        await until(lambda: leader.leads)

        async def is_tidy() -> bool:
            return await named(client.redis, "rota") == ""

        await until(is_tidy)
    # The pipeline has ended, and says why; it goes on where it was, with the pages that it has.
    with pytest.raises(JobFailed, match="its jobs are gone"):
        await book.result(timeout=10)
    assert await book.retry() == "retried"

    async def is_read() -> bool:
        return (await book.status()).stages[1].completed == 2

    await until(is_read)
    # And the unique key is free.
    handle = await client.enqueue(bind, "Emma")
    assert handle.created
