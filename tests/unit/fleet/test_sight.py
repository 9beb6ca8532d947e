"""Sight: what an exporter answers, and what is taken for no answer."""

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


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="AUTOSCALER_URL"):
        ask_exporter("file:///etc/passwd", None)
