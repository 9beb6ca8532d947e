"""Recycling: when a process asks to be replaced by a fresh one, and when not."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rota.app import recycling
from rota.app.recycling import Recycling, resident
from rota.model.event import Event, EventType
from tests.waiting import until

MB = 2**20


class Asked:
    """A process, the reasons for which recycling was asked of it, and how often its memory was measured."""

    def __init__(self, chance: float = 0.0, *, advise: bool = True, **limits: int | None) -> None:
        self.reasons: list[str] = []
        self.memory = 50 * MB
        self.measured = 0
        limits = {"after_jobs": None, "after_memory": None, **limits}
        self.recycling = Recycling(
            self.reasons.append, chance=lambda: chance, measure=self.measure, advise=advise, **limits
        )

    def measure(self) -> int:
        self.measured += 1
        return self.memory

    def ends(self, count: int = 1, kind: EventType = EventType.COMPLETED) -> None:
        for _ in range(count):
            self.recycling(Event(kind, "email", "1", "send", 1))


@contextlib.asynccontextmanager
async def watching(asked: Asked) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(asked.recycling.run())
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recycling, "LOOK_EVERY", 0.005)


def test_enough_jobs_ask_once() -> None:
    asked = Asked(after_jobs=3)
    asked.ends(2)
    assert asked.reasons == []
    asked.ends(5)
    assert asked.reasons == ["jobs"]


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        (EventType.COMPLETED, True),
        (EventType.RETRIED, True),
        (EventType.SNOOZED, True),
        (EventType.DEAD, True),
        (EventType.CANCELLED, True),
        (EventType.STARTED, False),
        (EventType.PROGRESS, False),
        (EventType.INTERRUPTED, False),
    ],
)
def test_every_end_of_an_execution_counts_and_nothing_else(kind: EventType, counts: bool) -> None:
    asked = Asked(after_jobs=1)
    asked.ends(kind=kind)
    assert asked.reasons == (["jobs"] if counts else [])
    assert asked.recycling.wants(kind) is counts


def test_chance_lowers_the_limit_by_a_tenth_at_most() -> None:
    asked = Asked(after_jobs=1000, chance=0.9999)
    asked.ends(899)
    assert asked.reasons == []
    asked.ends()
    assert asked.reasons == ["jobs"]


def test_without_a_limit_nothing_is_asked() -> None:
    asked = Asked()
    asked.ends(100)
    assert asked.reasons == []


async def test_without_a_limit_of_memory_it_is_not_looked_at() -> None:
    async with watching(Asked(after_jobs=1)) as task:
        await asyncio.wait_for(task, 5)


async def test_much_memory_asks_once_a_job_has_run() -> None:
    asked = Asked(after_memory=100 * MB)
    async with watching(asked) as task:
        asked.memory = 101 * MB
        await asyncio.sleep(0.05)
        assert asked.reasons == []
        asked.ends()
        await until(lambda: asked.reasons == ["memory"])
        await asyncio.wait_for(task, 5)


async def test_little_memory_asks_nothing() -> None:
    asked = Asked(after_memory=100 * MB)
    async with watching(asked):
        asked.ends(10)
        await until(lambda: asked.measured > 3)
    assert asked.reasons == []


async def test_a_limit_below_what_the_process_begins_with_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "rota"):
        async with watching(Asked(after_memory=40 * MB)):
            await until(lambda: caplog.records)
    (advice,) = caplog.records
    assert vars(advice)["advice"].startswith(
        "RECYCLE_AFTER_MEMORY is near or below the 50 MB that this process "
    )


async def test_but_not_again_in_the_next_life(caplog: pytest.LogCaptureFixture) -> None:
    asked = Asked(after_memory=40 * MB, advise=False)
    asked.ends()
    with caplog.at_level(logging.WARNING, "rota"):
        async with watching(asked):
            await until(lambda: asked.reasons == ["memory"])
    assert caplog.records == []


def test_memory_is_what_is_resident_now() -> None:
    before = resident()
    block: Any = bytearray(64 * MB)
    block[::4096] = b"x" * len(block[::4096])
    assert resident() - before > 32 * MB
    del block


def test_where_that_is_not_told_it_is_the_most_that_ever_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = resident()
    monkeypatch.setattr(recycling, "_STATM", tmp_path / "nosuch")
    assert resident() >= now * 0.9
