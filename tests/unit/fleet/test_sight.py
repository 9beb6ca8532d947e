"""Sight: what an exporter answers, and what is taken for no answer."""

import asyncio
import base64
import contextlib
import json
from typing import Any

import pytest

from rota.fleet.sight import Unseen, ask_exporter
from rota.process.http import Endpoint, Reply
from rota.settings.load import ConfigError
from tests.unit.fleet.needs import need


def answering(status: int, body: Any) -> Endpoint:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    endpoint = Endpoint(
        {"/scaling": lambda _: Reply(status, "application/json", content)}, host="127.0.0.1", port=0
    )
    endpoint.start()
    return endpoint


async def test_it_asks_an_exporter() -> None:
    endpoint = answering(200, need(4, 2, ready=3).to_json())
    try:
        found = await ask_exporter(f"http://127.0.0.1:{endpoint.port}/", None)()
    finally:
        endpoint.stop()
    assert (found.desired, found.workers, found.ready) == (4, 2, 3)


@pytest.mark.parametrize(("status", "body"), [(503, {}), (200, {}), (200, b"no json"), (200, [1])])
async def test_what_is_no_answer_is_not_seen(status: int, body: Any) -> None:
    endpoint = answering(status, body)
    try:
        with pytest.raises(Unseen, match=str(endpoint.port)):
            await ask_exporter(f"http://127.0.0.1:{endpoint.port}", None)()
    finally:
        endpoint.stop()


async def test_a_queue_that_the_exporter_does_not_know_is_not_seen_rather_than_idle() -> None:
    endpoint = answering(200, need(4, 2).to_json())
    try:
        assert (await ask_exporter(f"http://127.0.0.1:{endpoint.port}", ("email",))()).desired == 4
        with pytest.raises(Unseen, match="emial"):
            await ask_exporter(f"http://127.0.0.1:{endpoint.port}", ("email", "emial"))()
    finally:
        endpoint.stop()


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://", "http://host:port", "http://[::1", "10.0.0.1"]
)
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="AUTOSCALER_URL"):
        ask_exporter(url, None)


#: Nobody listens there.
PROXY = "http://127.0.0.1:9"


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
async def test_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, PROXY)
    endpoint = answering(200, need(4, 2).to_json())
    try:
        for host in ("127.0.0.1", "localhost"):
            assert (await ask_exporter(f"http://{host}:{endpoint.port}", None)()).desired == 4
    finally:
        endpoint.stop()


@pytest.mark.parametrize(
    ("no_proxy", "proxied"),
    [("", True), ("other.test", True), ("*", False), ("test", False), (".test", False)],
)
async def test_other_machines_are_asked_by_the_proxy_unless_no_proxy_says_not(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, proxied: bool
) -> None:
    asked: list[str] = []

    def proxy(_: str) -> Reply:
        asked.append("proxy")
        return Reply(200, "application/json", json.dumps(need(4, 2).to_json()).encode())

    endpoint = Endpoint(
        {"http://exporter.test:1/scaling": proxy, "/scaling": proxy}, host="127.0.0.1", port=0
    )
    endpoint.start()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{endpoint.port}")
    monkeypatch.setenv("no_proxy", no_proxy)
    try:
        with contextlib.suppress(Unseen):
            await ask_exporter("http://exporter.test:1", None)()
    finally:
        endpoint.stop()
    assert bool(asked) is proxied


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b"x" * 5_000_000,
        json.dumps({**need(4, 2).to_json(), "queues": [{}]}).encode(),
        json.dumps(need(4, 2).to_json()).replace("2", "1e999").encode(),
        b"NaN",
        b"\xff",
    ],
)
async def test_an_answer_that_is_nonsense_is_not_seen(body: bytes) -> None:
    endpoint = answering(200, body)
    try:
        with pytest.raises(Unseen, match=str(endpoint.port)):
            await ask_exporter(f"http://127.0.0.1:{endpoint.port}", None)()
    finally:
        endpoint.stop()


async def test_a_server_that_speaks_no_http_is_not_seen() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"-ERR unknown command\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        with pytest.raises(Unseen, match=str(port)):
            await ask_exporter(f"http://127.0.0.1:{port}", None)()


async def test_a_user_and_a_password_are_sent_and_never_shown() -> None:
    seen: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.0 401 Unauthorized\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unseen, match="answers 401") as unseen:
            await ask_exporter(f"http://ann:open%20sesame@127.0.0.1:{port}", None)()
    assert f"Authorization: Basic {base64.b64encode(b'ann:open sesame').decode()}" in seen[0]
    assert "sesame" not in str(unseen.value)


@pytest.mark.parametrize("address", ["http://:sesame@:1", "http://u:sesame@host:port", "ftp://u:sesame@host"])
def test_a_wrong_address_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(ConfigError, match="AUTOSCALER_URL") as refused:
        ask_exporter(address, None)
    assert "sesame" not in str(refused.value)
