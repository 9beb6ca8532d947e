"""The blocking client has each method of the one for event loops, with the same arguments."""

import inspect
from typing import Any

import pytest

from rota import (
    BatchHandle,
    Client,
    FlowHandle,
    Handle,
    SyncBatchHandle,
    SyncClient,
    SyncFlowHandle,
    SyncHandle,
    connect_sync,
    job,
)
from rota.model.run import Run

PAIRS = [
    (Client, SyncClient),
    (Handle, SyncHandle),
    (FlowHandle, SyncFlowHandle),
    (BatchHandle, SyncBatchHandle),
]
METHODS = [
    (of, sync, name)
    for of, sync in PAIRS
    for name, method in inspect.getmembers(of, inspect.isfunction)
    if not name.startswith("_")
]


@job(queue="mail")
async def send(run: Run, to: str) -> None: ...


def arguments(of: type[Any], name: str) -> list[tuple[str, Any, Any]]:
    return [
        (one.name, one.kind, one.default) for one in inspect.signature(getattr(of, name)).parameters.values()
    ]


@pytest.mark.parametrize(("of", "sync", "name"), METHODS)
def test_each_method_has_a_counterpart_with_the_same_arguments(of: type, sync: type, name: str) -> None:
    assert arguments(sync, name) == arguments(of, name)
    assert not inspect.iscoroutinefunction(getattr(sync, name))


def test_a_client_is_made_without_settings_or_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "not a url")
    client = connect_sync()
    client.close()


def test_a_handle_needs_no_server() -> None:
    with connect_sync() as client:
        assert send.handle(client, "u1").queue == "mail"
        assert isinstance(send.handle(client, "u1"), SyncHandle)


def test_a_closed_client_says_so() -> None:
    client = connect_sync()
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="is closed"):
        client.enqueue(send, "ann")


async def test_on_the_thread_of_an_event_loop_it_says_what_to_use() -> None:
    with connect_sync() as client, pytest.raises(RuntimeError, match=r"await rota\.connect\(\)"):
        client.enqueue(send, "ann")


def test_what_is_no_job_is_refused() -> None:
    with connect_sync() as client, pytest.raises(TypeError, match="is no job"):
        client.enqueue(len)  # type: ignore[arg-type]
