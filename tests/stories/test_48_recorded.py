"""In a test environment nothing is connected to: what your code enqueues is checked, and recorded for your test."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import rota
from rota import InvalidPayload, OnlyRecorded, RecordedWarning, Run, each, every, job, pipeline
from rota.client.recording import recorded as record
from rota.settings.load import load
from rota.testing import clear, recorded
from rota.wire.sealing.ring import new_key


@job(queue="email")
async def send(run: Run, to: str, *, copies: int = 1) -> str:
    return to


@every("1h", args={"to": "ops@example.com"})
@job(queue="email")
async def report(run: Run, to: str) -> None: ...


@job
async def readers(run: Run, city: str) -> list[str]:
    return [city]


newsletter = pipeline(readers, each(send))
second_first = pipeline(each(send), name="everybody")


@pytest.fixture(autouse=True)
def in_a_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set APP_ENV, as a test environment does, and a Redis that would not answer."""
    monkeypatch.setenv("APP_ENV", "test")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("JOBS_PACKAGE", __name__)
    monkeypatch.setattr(record, "_warned", {"email:send", "default:readers", "email:report"})
    clear()
    yield
    clear()


async def test_what_is_enqueued_is_found() -> None:
    async with await rota.connect() as client:
        await client.enqueue(
            send.options(delay=60, id="welcome", max_attempts=2), "ann@example.com", copies=3
        )
        await send.enqueue("bob@example.com")
        await client.enqueue_by_name("email:send", {"to": "eve@example.com"})
    first, second, third = recorded(send)
    assert (first.queue, first.task, first.id) == ("email", "send", "email:welcome")
    assert first.arguments == {"to": "ann@example.com", "copies": 3}
    assert first.options["max_attempts"] == 2
    assert (first.due - first.at).total_seconds() == pytest.approx(60, abs=1)
    assert (second.arguments["to"], third.arguments["to"]) == ("bob@example.com", "eve@example.com")


async def test_arguments_are_checked_as_always() -> None:
    wrong: Any = {"to": ["no", "address"]}
    async with await rota.connect() as client:
        with pytest.raises(InvalidPayload):
            await client.enqueue(send, **wrong)
    assert recorded() == []


async def test_nothing_runs_and_who_waits_is_told_what_to_do() -> None:
    async with await rota.connect() as client:
        handle = await client.enqueue(send, "ann@example.com")
        flow = await client.enqueue(newsletter, city="oslo")
        for asked in (handle.result(5), handle.status(), flow.result(), client.counts("email")):
            with pytest.raises(OnlyRecorded, match=r"nothing runs it.*rota\.testing\.recorded.*MODE=worker"):
                await asked


async def test_many_pipelines_batches_and_schedules_are_recorded_too() -> None:
    async with await rota.connect() as client:
        await client.enqueue_many(send.call(name) for name in ("a", "b"))
        await client.batch(
            [send.options(delay=9).call("c"), readers.call("rom")], on_finished=report.call("d")
        )
        await client.batch([], on_finished=report.call("e"))
        with rota.headers(tenant="acme"):
            await client.enqueue(newsletter.options(delay=60), city="oslo")
        await client.enqueue(second_first, ["f", "g"])
        await client.run_schedule("email:report")
        with pytest.raises(rota.UnknownSchedule, match="email:report"):
            await client.run_schedule("email:reprot")
    found = [(one.task, next(iter(one.arguments.values()))) for one in recorded()]
    assert found[:4] == [("send", "a"), ("send", "b"), ("send", "c"), ("readers", "rom")]
    assert found[4:6] == [("report", "e"), ("readers", "oslo")]
    assert found[6:] == [("send", ["f", "g"]), ("report", "ops@example.com")]
    oslo = recorded(readers)[-1]
    assert (oslo.headers["tenant"], round((oslo.due - oslo.at).total_seconds())) == ("acme", 60)
    delayed = recorded(send)[2]
    assert (delayed.due - delayed.at).total_seconds() == pytest.approx(9, abs=1)


async def test_a_request_that_comes_twice_is_recorded_once() -> None:
    async with await rota.connect() as client:
        first, is_replayed = await client.enqueue_once(send.call("a"), "key", fingerprint="1")
        again, is_replayed_now = await client.enqueue_once(send.call("a"), "key", fingerprint="1")
        assert (first.id, is_replayed, is_replayed_now) == (again.id, False, True)
        with pytest.raises(rota.RotaError, match="key"):
            await client.enqueue_once(send.call("b"), "key", fingerprint="2")
    assert len(recorded()) == 1


async def test_a_transaction_is_left_alone_and_nothing_is_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYLOAD_KEYS", new_key("k"))
    monkeypatch.setenv("PAYLOAD_SIGNING", "on")
    monkeypatch.setenv("PAYLOAD_ENCRYPTION", "on")
    connection = type("Connection", (), {"__module__": "asyncpg"})()
    async with await rota.connect() as client:
        handle = await client.outbox(connection).enqueue(send.options(delay=60), "ann@example.com")
        with pytest.raises(TypeError, match="holds no transaction"):
            client.outbox(object())
    (sent,) = recorded(send)
    assert (sent.id, sent.arguments) == (handle.id, {"to": "ann@example.com"})


def test_code_without_an_event_loop() -> None:
    session = type("Session", (), {"__module__": "sqlalchemy.orm"})()
    with rota.connect_sync() as client:
        handle = client.enqueue(send, "ann@example.com")
        send.enqueue_sync("bob@example.com")
        client.outbox(session).enqueue(send, "eve@example.com")
        with pytest.raises(OnlyRecorded):
            handle.result(5)
    assert [one.arguments["to"] for one in recorded(send)] == [
        f"{name}@example.com" for name in ("ann", "bob", "eve")
    ]


async def test_the_first_of_each_name_warns_and_a_warning_is_never_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(record, "_warned", set())
    async with await rota.connect() as client:
        with pytest.warns(RecordedWarning, match="email:send was recorded and not enqueued") as caught:
            await client.enqueue_many(send.call(name) for name in ("a", "b"))
        assert len(caught) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await client.enqueue(readers, "oslo")
    assert [one.getMessage() for one in caplog.records] == ["job.recorded"]
    assert len(recorded()) == 3


@pytest.mark.parametrize(
    ("environment", "records"),
    [
        ({"APP_ENV": "test"}, True),
        ({"APP_ENV": "test", "MODE": "api"}, True),
        ({"APP_ENV": "test", "MODE": "worker"}, False),
        ({"APP_ENV": "development"}, False),
        ({}, False),
    ],
)
def test_who_records(environment: dict[str, str], records: bool) -> None:
    assert load(environment).records is records


async def test_a_client_may_be_told_to_connect_all_the_same() -> None:
    settings = load({"APP_ENV": "test", "REDIS_URL": "redis://127.0.0.1:1", "BOOT_TIMEOUT": "0"})
    with pytest.raises(rota.ServerError):
        await rota.connect(settings, record=False)
    async with await rota.connect(load({}), record=True) as client:
        await client.enqueue(send, "ann@example.com")
    assert len(recorded()) == 1
