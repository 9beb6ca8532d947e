"""The form that makes a job."""

import json
import re
import shlex
from collections.abc import AsyncIterator
from html import unescape
from typing import Literal
from urllib.parse import urlencode

import pytest

from rota import Run, job
from rota.model.access.keys import make, scopes_of
from rota.model.state import State
from rota.wire.access import AccessRecords
from tests.integration.api.pages.visiting import entered, greet, job_path, page, sent
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer


@job(queue="orders")
async def ship(
    run: Run, order_id: int, kind: Literal["book", "food"] = "book", to: dict[str, str] | None = None
) -> None:
    """Ship an order to where its buyer lives."""


def commands(shown: str) -> list[list[str]]:
    """Return the lines that a page shows to be copied, as a shell reads them."""
    return [shlex.split(unescape(line)) for line in re.findall(r'data-copy="([^"]*)"', shown)]


async def test_a_job_is_made_by_the_json_of_a_form_that_knows_its_payload(api: Api) -> None:
    shown = await page(api, "/new?name=email:greet")
    assert "&#34;name&#34;" in shown, "the schema names the argument"
    wrong = await sent(api, "/new", name="email:greet", by="json", payload='{"name": 7}')
    assert wrong.status_code == 422
    assert "&#34;name&#34;: 7" in wrong.text, "what was written stays in the form"
    assert (await sent(api, "/new", name="email:greet", by="json", payload="{")).status_code == 400
    assert (await sent(api, "/new", name="none", by="json", payload="{}")).status_code == 404
    answer = await sent(
        api, "/new", name="email:greet", by="json", payload='{"name": "Ann"}', id="own", delay="60"
    )
    assert answer.headers["location"] == "/ui/job?queue=email&id=email%3Aown"
    assert (await api.client.status("email", "own")).payload == {"name": "Ann"}
    (action,) = await api.client.actions.page(limit=1)
    assert (action.action, action.target) == ("enqueue", {"queue": "email", "id": "email:own"})
    again = await page(api, job_path("email", "own"))
    like_it = urlencode({"name": "email:greet", "payload": '{\n  "name": "Ann"\n}'})
    assert f"/ui/new?{like_it}" in unescape(again)


@pytest.fixture
async def orders(server: RedisServer) -> AsyncIterator[Api]:
    """Yield a dashboard with a job of several arguments."""
    async with answering(server.url, greet, ship, works=False) as api:
        yield api


async def test_a_job_is_made_by_fields_and_what_is_wrong_stands_at_them(orders: Api) -> None:
    shown = await page(orders, "/new?name=orders:ship")
    assert "Ship an order to where its buyer lives." in shown
    fields = {"name": "orders:ship", "by": "fields", "payload.kind": '"food"', "payload.to": '{"city": 1}'}
    wrong = await sent(orders, "/new", **fields, **{"payload.order_id": "many", "delay": "soon"})
    assert wrong.status_code == 422
    assert 'id="why-order_id"' in wrong.text
    assert re.search(r'name="payload.order_id" value="many"[^>]*aria-invalid="true"', wrong.text)
    assert 'id="why-to">Input should be a valid string' in wrong.text
    wrong = await sent(orders, "/new", **fields | {"payload.order_id": "7", "payload.to": "{"})
    assert re.search(r'id="why-to">is not JSON', wrong.text)
    wrong = await sent(
        orders, "/new", name="orders:ship", by="fields", **{"payload.order_id": "7", "delay": "soon"}
    )
    assert 'id="why-options.delay"' in wrong.text
    answer = await sent(orders, "/new", name="orders:ship", by="fields", id="o7", **{"payload.order_id": "7"})
    assert answer.status_code == 303, answer.text
    assert (await orders.client.status("orders", "o7")).payload == {"order_id": 7}


async def test_fields_are_shown_as_json_and_as_the_lines_that_do_the_same(orders: Api) -> None:
    fields = {"payload.order_id": "7", "payload.kind": '"food"', "priority": "9"}
    shown = await sent(orders, "/new", name="orders:ship", by="show", **fields)
    assert shown.status_code == 200
    assert await orders.client.counts("orders") == dict.fromkeys(await orders.client.counts("orders"), 0)
    cli, curl = commands(shown.text)
    payload = {"order_id": 7, "kind": "food"}
    assert cli[:3] == ["rota", "enqueue", "orders:ship"]
    assert (json.loads(cli[3]), cli[4:]) == (payload, ["--priority", "9"])
    assert curl[-3:-1] == ["http://localhost/jobs/orders:ship", "-d"]
    assert json.loads(curl[-1]) == {"payload": payload, "options": {"priority": "9"}}
    answer = await orders.http.post(
        curl[-3].removeprefix("http://localhost"),
        content=curl[-1],
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 202, answer.text


async def test_a_payload_of_another_job_fills_the_fields(orders: Api) -> None:
    shown = await page(orders, '/new?name=orders:ship&payload={"order_id":9,"kind":"food"}')
    assert re.search(r'name="payload.order_id" value="9"', shown)
    assert "selected>food" in shown


async def test_who_may_not_enqueue_is_shown_no_form(api: Api) -> None:
    await entered(api, "read")
    assert "/ui/new" not in await page(api, "/")
    await page(api, "/new", 403)
    assert (await sent(api, "/new", name="email:greet", payload="{}")).status_code == 403


async def test_a_key_makes_no_more_jobs_by_forms_than_it_may_have(api: Api) -> None:
    text, key = make(scopes_of(["read", "enqueue"]))
    await AccessRecords(api.client.redis, "rota").put({key.id: key.bound(most_jobs=1).write()})
    await sent(api, "/login", key=text)
    over = await api.client.enqueue(greet)
    await api.client.cancel("email", over.id)
    fields = {"name": "email:greet", "by": "json", "payload": "{}"}
    assert [(await sent(api, "/new", **fields)).status_code for _ in range(2)] == [303, 429]
    assert (await sent(api, "/job/again", queue="email", id=over.id)).status_code == 429
    assert (await api.client.counts("email"))[State.WAITING] == 1
