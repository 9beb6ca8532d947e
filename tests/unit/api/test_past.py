"""The past that charts show is read for all visitors at once, for as long as it holds."""

import asyncio
from typing import Any

import pytest

from rota.api.pages.past import Past
from rota.client.client import Client
from rota.server.faults import ServerError


class Counting:
    """A client that answers when it is told to, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()
        self.fault: Exception | None = None

    async def histories(self, queues: tuple[str, ...], *, period: float, step: int) -> Any:
        self.asked += 1
        await self.answers.wait()
        if self.fault:
            raise self.fault
        return dict.fromkeys(queues, (self.asked, period, step))


@pytest.fixture
def client() -> Client:
    return Counting()  # type: ignore[return-value]


def counting(client: Client) -> Counting:
    assert isinstance(client, Counting)
    return client


async def test_visitors_who_come_at_once_and_soon_after_share_one_look(client: Client) -> None:
    past, own = Past(), counting(client)
    reading = [asyncio.create_task(past.read(client, ("email",), "8h")) for _ in range(3)]
    await asyncio.sleep(0)
    reading[0].cancel()
    own.answers.set()
    found: list[Any] = [await reading[1], await reading[2], await past.read(client, ("email",), "8h")]
    assert found == [{"email": (1, 28_800, 600)}] * 3
    assert own.asked == 1


async def test_other_times_and_queues_are_looked_at_by_themselves(client: Client) -> None:
    past, own = Past(), counting(client)
    own.answers.set()
    for queues, period in ((("email",), "8h"), (("email",), "72h"), (("email", "video"), "72h")):
        await past.read(client, queues, period)
    assert own.asked == 3


async def test_a_look_that_failed_or_is_too_old_is_made_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    past, own, now = Past(), counting(client), [100.0]
    monkeypatch.setattr("rota.api.pages.past.monotonic", lambda: now[0])
    own.answers.set()
    own.fault = ServerError("Redis is away")
    with pytest.raises(ServerError):
        await past.read(client, ("email",), "72h")
    own.fault = None
    assert (await past.read(client, ("email",), "72h"))["email"][0] == 2  # type: ignore[index]
    now[0] += 59
    await past.read(client, ("email",), "72h")
    assert own.asked == 2
    now[0] += 1
    await past.read(client, ("email",), "72h")
    assert own.asked == 3


async def test_what_has_had_its_time_is_let_go(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    past, now = Past(), [100.0]
    monkeypatch.setattr("rota.api.pages.past.monotonic", lambda: now[0])
    counting(client).answers.set()
    for number in range(50):
        now[0] += 1
        await past.read(client, (f"queue-{number}",), "1h")
    assert len(past._kept) == 1
