"""The text of a new job's module and of its tests: short, complete, and made to be changed."""

from dataclasses import dataclass
from enum import StrEnum

#: Names that the texts use themselves, and that a job therefore cannot have.
TAKEN = frozenset(
    {"asyncio", "bench", "every", "handle", "items", "job", "jobs", "pytest", "rota", "run", "time"}
)


class Kind(StrEnum):
    """The kinds of handlers: where a job runs."""

    ASYNC = "async"
    THREAD = "thread"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class NewJob:
    """The job that is to be written; None: what the settings say, and no schedule."""

    name: str
    package: str
    kind: Kind
    queue: str | None
    every: str | None


_JOB = '''\
"""Say here in a sentence what `{name}` is for."""
{library}
from rota import {imports}


{schedule}@job({options})
{define} {name}(run: Run, items: int = 3) -> int:
    """Do something with each item, and return how many there were."""
    for item in range(run.last_checkpoint or 0, items):
        run.progress(100 * item / items, f"item {{item + 1}} of {{items}}")
{work}
        run.checkpoint(item + 1)  # another attempt begins behind this item
    return items
'''

_LIBRARY = {Kind.ASYNC: "\nimport asyncio\n", Kind.THREAD: "\nimport time\n", Kind.PROCESS: ""}
_WORK = {
    Kind.ASYNC: """\
        await asyncio.sleep(0.01)  # in its place your work, by libraries that are awaited""",
    Kind.THREAD: """\
        if run.cancelled:
            return item  # a thread cannot be stopped from outside: it looks, and ends by itself
        time.sleep(0.01)  # in its place your work, by libraries that block""",
    Kind.PROCESS: """\
        sum(range(100_000))  # in its place your computation; its process is killed when its time is up""",
}

_TESTS = '''\
"""Tests of the job `{name}`.

A bench has queues and a clock of its own, so nothing has to be started for them.
"""

import pytest

from {package}.{name} import {name}
from rota.testing import Bench

pytestmark = pytest.mark.asyncio


async def test_every_item_is_done() -> None:
    with Bench([{name}]) as bench:
        handle = await bench.client.enqueue({name}, items=4)
        await bench.drain()
        assert await handle.result() == 4


async def test_another_attempt_begins_behind_what_is_done() -> None:
    with Bench([{name}]) as bench:
        await bench.resume({name}, 2, items=4)
        assert bench.checkpoints({name}) == [3, 4]
'''


def job_of(new: NewJob) -> str:
    """Return the text of the module with the job."""
    queue = [f'queue="{new.queue}"'] if new.queue else []
    process = ["process=True"] if new.kind is Kind.PROCESS else []
    return _JOB.format(
        name=new.name,
        library=_LIBRARY[new.kind],
        imports="Run, every, job" if new.every else "Run, job",
        schedule=f'@every("{new.every}")\n' if new.every else "",
        options=", ".join([*queue, *process, "timeout=60", "max_attempts=5"]),
        define="async def" if new.kind is Kind.ASYNC else "def",
        work=_WORK[new.kind],
    )


def tests_of(new: NewJob) -> str:
    """Return the text of the module with the job's tests."""
    return _TESTS.format(name=new.name, package=new.package)
