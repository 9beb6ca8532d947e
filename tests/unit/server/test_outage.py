"""An outage: pauses that grow up to a ceiling, one line when it begins, and one line when it is over."""

import asyncio
import logging
import time

import pytest
from redis import asyncio as aio
from redis import exceptions as faults

from rota.server.outage import CEILING, FAULTS, REST, Outage, Outages

REFUSED = faults.ConnectionError("Connection refused")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make pauses take no time, and return the list of them, in seconds."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return made


async def test_pauses_grow_up_to_a_ceiling_and_vary(pauses: list[float]) -> None:
    outage = Outage("email")
    for _ in range(50):
        await outage.pause(REFUSED)
    assert pauses[0] <= 0.1
    assert all(CEILING / 2 <= pause <= CEILING for pause in pauses[10:])
    assert len(set(pauses[10:])) > 30, "processes that wait for one server must not come back all at once"


async def test_an_outage_is_complained_of_when_it_is_more_than_a_restart(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    outages = Outages()
    outage, now = Outage("email", outages), time.monotonic()
    await outage.pause(faults.AuthenticationError("WRONGPASS"))
    assert outages.complaint() == ""
    monkeypatch.setattr(time, "monotonic", lambda: now + 150)
    await outage.pause(faults.AuthenticationError("WRONGPASS"))
    said = "Redis has been of no use for 2 min (AuthenticationError); the worker goes on trying"
    assert outages.complaint() == said
    monkeypatch.setattr(time, "monotonic", lambda: now + 150 + REST)
    outage.over()
    assert outages.complaint() == ""


async def test_pauses_are_short_again_after_an_outage(pauses: list[float]) -> None:
    outage = Outage("email")
    for _ in range(10):
        await outage.pause(REFUSED)
    outage.over()
    await outage.pause(REFUSED)
    assert pauses[-1] <= 0.1


async def test_an_outage_is_told_of_once_and_so_is_its_end(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage("email")
    with caplog.at_level(logging.INFO, "rota.redis"):
        for _ in range(5):
            await outage.pause(REFUSED)
        await outage.pause(faults.BusyLoadingError("LOADING"))
        outage.over()
        outage.over()
    assert told(caplog) == [
        ("redis.unavailable", "ConnectionError: Connection refused"),
        ("redis.back", None),
    ]


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None]]:
    return [(record.getMessage(), vars(record).get("error")) for record in caplog.records]


async def test_an_outage_of_nine_queues_is_one_of_their_process(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    process = Outages()
    queues = [Outage(f"queue-{number}", process) for number in range(9)]
    with caplog.at_level(logging.INFO, "rota.redis"):
        for _ in range(3):
            for outage in queues:
                await outage.pause(REFUSED)
        for outage in queues:
            outage.over()
    assert told(caplog) == [
        ("redis.unavailable", "ConnectionError: Connection refused"),
        ("redis.back", None),
    ]


async def test_a_server_that_refuses_some_calls_and_takes_others_is_told_of_once(
    pauses: list[float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    full = faults.OutOfMemoryError("OOM command not allowed")
    outage = Outage("email")
    with caplog.at_level(logging.INFO, "rota.redis"):
        for _ in range(49):
            await outage.pause(full)
            now += 1
            outage.over()
        assert told(caplog) == [("redis.unavailable", "OutOfMemoryError: OOM command not allowed")]
        now += REST
        outage.over()
        outage.over()
    assert told(caplog)[1:] == [("redis.back", None)]
    assert vars(caplog.records[-1])["seconds"] == 48


async def test_a_server_that_refuses_and_then_is_gone_is_told_of_again(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage("email")
    with caplog.at_level(logging.INFO, "rota.redis"):
        await outage.pause(faults.ResponseError("OOM"))
        for _ in range(2):
            await outage.pause(REFUSED)
        outage.over()
    assert [event for event, _ in told(caplog)] == ["redis.unavailable", "redis.unavailable", "redis.back"]


async def test_it_is_known_whether_one_is_going_on_and_how_many_there_were(pauses: list[float]) -> None:
    outage = Outage("email")
    assert not outage.ongoing
    for _ in range(2):
        await outage.pause(REFUSED)
        await outage.pause(REFUSED)
        assert outage.ongoing
        outage.over()
    assert not outage.ongoing
    assert outage.count == 2


async def test_any_answer_ends_one_in_which_there_was_none_and_not_one_in_which_we_were_refused(
    pauses: list[float],
) -> None:
    outage = Outage("email")
    await outage.pause(REFUSED)
    outage.reached()
    assert not outage.ongoing
    await outage.pause(faults.ResponseError("OOM command not allowed"))
    outage.reached()
    assert outage.ongoing
    outage.over()
    assert not outage.ongoing


async def test_one_outage_that_several_workers_see_is_one_of_the_process(pauses: list[float]) -> None:
    process = Outages()
    one, other = Outage("email", process), Outage("reports", process)
    await one.pause(REFUSED)
    await other.pause(REFUSED)
    one.over()
    assert (process.ongoing, process.ended) == ({"reports"}, 0)
    other.over()
    other.over()
    assert (process.ongoing, process.ended) == (set(), 1)


async def test_a_replica_that_was_the_primary_is_not_asked_again_on_the_same_connections(
    pauses: list[float],
) -> None:
    class Pool(aio.ConnectionPool):
        closed = False

        async def disconnect(self, inuse_connections: bool = True) -> None:
            self.closed = not inuse_connections

    pool = Pool()
    outage = Outage("email")
    await outage.pause(REFUSED, aio.Redis(connection_pool=pool))
    assert not pool.closed
    await outage.pause(faults.ReadOnlyError("READONLY"), aio.Redis(connection_pool=pool))
    assert pool.closed


def test_what_the_network_and_the_server_do_wrong_are_faults_and_our_bugs_are_not() -> None:
    for fault in (REFUSED, faults.ResponseError("x"), ConnectionResetError(), TimeoutError()):
        assert isinstance(fault, FAULTS)
    for bug in (TypeError(), ValueError(), asyncio.CancelledError()):
        assert not isinstance(bug, FAULTS)
