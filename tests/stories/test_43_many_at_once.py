"""Many jobs at once: a bug is fixed, and what died of it is counted, brought back by the leader, and recorded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from rota import Client, Run, State, job
from rota.errors import MoreThanExpected
from rota.model.bulk.actions import Actor
from rota.model.bulk.filters import BulkAction
from rota.model.bulk.where import filter_of
from tests.integration.bulk.operating import leading
from tests.servers import RedisServer
from tests.waiting import until


@dataclass
class Code:
    """The code of the jobs, which a deploy fixes."""

    is_fixed: bool = False


@asynccontextmanager
async def lifespan() -> AsyncIterator[Code]:
    yield Code()


@job(queue="letters", max_attempts=1)
async def send(run: Run, number: int) -> int:
    if not run.deps.is_fixed:
        raise TimeoutError(f"the printer of letter {number} timed out")
    return number


@job(queue="letters", max_attempts=1)
async def tear(run: Run) -> None:
    raise ValueError("no paper")


async def test_what_died_of_a_bug_is_brought_back_and_who_did_it_is_known(
    client: Client, deps: Code, server: RedisServer
) -> None:
    letters = await client.enqueue_many(send.call(number) for number in range(30))
    await client.enqueue(tear)

    async def have_died() -> bool:
        return (await client.counts("letters"))[State.DEAD] == 31

    await until(have_died, "all have died")

    # `rota retry --where … --dry-run`: how many are there, and which? Nothing is changed.
    wanted = filter_of('name=letters:send error~"timed out" since=2h', datetime.now(UTC))
    preview = await client.bulk.preview(BulkAction.RETRY, wanted)
    assert (preview.count, preview.sample[0].job) == (30, "letters:send")

    # Where more have died than were seen, nothing is done.
    ann = Actor("cli", "ann@desk")
    with pytest.raises(MoreThanExpected):
        await client.bulk.start(BulkAction.RETRY, wanted, ann, expect=29)

    # The code is fixed and deployed. The leader brings them back, portion by portion, and can be followed.
    deps.is_fixed = True
    operation = await client.bulk.start(BulkAction.RETRY, wanted, ann, expect=preview.count)
    async with leading(server.url):
        over = await client.bulk.follow(operation.id, lambda one: None, every=0.02)
    assert (over.state, over.done) == ("done", 30)
    assert await asyncio.gather(*(one.result(timeout=10) for one in letters)) == list(range(30))

    # `rota actions`: who did what to how many.
    (action,) = await client.actions.page()
    assert (action.actor.id, action.action, action.count) == ("ann@desk", "retry", 30)
    assert action.target["error_contains"] == "timed out"
