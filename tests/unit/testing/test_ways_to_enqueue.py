"""What arrives is what was given, whichever way it was enqueued: by either client, by a job, or on another queue."""

import asyncio
import os
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import rota
from rota import Job, Run, job
from rota.testing import Bench

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))

arrived: list[tuple[Any, ...]] = []


class Colour(Enum):
    """One of two colours."""

    RED = "red"
    BLUE = 2


class Mail(BaseModel):
    """A model with what JSON does not have."""

    to: str
    sent: datetime | None = None
    size: Decimal = Decimal(0)


@dataclass
class Order:
    """A dataclass that holds others."""

    id: UUID
    mails: list[Mail] = field(default_factory=list)


Facts = tuple[Colour, int, bytes]
Rest = dict[str, tuple[int, str]]


@job
async def take(run: Run, order: Order, day: date, facts: Facts, *, rest: Rest) -> int:
    arrived.append((order, day, facts, rest, dict(run.headers)))
    return facts[1]


@job(queue="other")
async def relay(run: Run, order: Order, day: date, facts: Facts, rest: Rest) -> None:
    await run.enqueue(take.options(queue="other"), order, day, facts, rest=rest)


@job(queue="other")
def relay_from_a_thread(run: Run, order: Order, day: date, facts: Facts, rest: Rest) -> None:
    take.enqueue_sync(order, day, facts, rest=rest)


texts = st.text(st.characters(codec="utf-8"), max_size=30)
mails = st.builds(
    Mail,
    to=texts,
    sent=st.none() | st.datetimes(),
    size=st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9),
)
orders = st.builds(Order, id=st.uuids(), mails=st.lists(mails, max_size=2))
payloads = st.tuples(
    orders,
    st.dates(),
    st.tuples(st.sampled_from(Colour), st.integers(-(2**70), 2**70), st.binary(max_size=30)),
    st.dictionaries(texts, st.tuples(st.integers(-(2**63), 2**63), texts), max_size=2),
)


@settings(max_examples=EXAMPLES)
@given(payloads)
def test_every_way_brings_the_same(payload: tuple[Any, ...]) -> None:
    *args, rest = payload
    arrived.clear()
    with Bench([take, relay, relay_from_a_thread]) as bench, rota.headers(tenant="acme"):
        handle = bench.sync_client.enqueue(take.options(queue="other"), *args, rest=rest)
        take.enqueue_sync(*args, rest=rest)
        bench.sync_client.enqueue_many([take.call(*args, rest=rest)])
        asyncio.run(by_coroutine(bench, [relay, relay_from_a_thread], [*args, rest]))
        asyncio.run(bench.drain())
        assert handle.result(timeout=1) == args[2][1]
    assert arrived == [(*args, rest, {"tenant": "acme"})] * 6
    assert {tuple(map(type, one)) for one in arrived} == {tuple(map(type, (*args, rest, {})))}


async def by_coroutine(bench: Bench, relays: list[Job[..., Any]], args: list[Any]) -> None:
    await bench.client.enqueue(take, *args[:-1], rest=args[-1])
    for one in relays:
        await bench.client.enqueue(one, *args)
