"""Tenants: one deployment works for several customers, and each meets its own jobs alone."""

import contextlib
from collections.abc import AsyncIterator

import httpx2
import pytest

import rota
import rota.api
from rota import Client, Run, job, pipeline
from rota.model.access.keys import make, scopes_of
from rota.settings.load import load
from rota.telemetry.metrics.series import SERIES
from rota.wire.access import AccessRecords
from tests.servers import RedisServer
from tests.workers import registry_of


@job
async def write_invoice(run: Run, order: int) -> str:
    return f"{run.tenant}: invoice {order}"


@job
async def send_invoice(run: Run, text: str) -> str:
    return f"{text}, sent for {run.tenant}"


invoice = pipeline(write_invoice, send_invoice)


@job
async def ship(run: Run, order: int) -> str:
    handle = await run.enqueue(invoice, order)
    return await handle.result(timeout=20)


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[httpx2.AsyncClient]:
    """Return what asks the API over HTTP, as a program of a customer does."""
    settings = load({"REDIS_URL": server.url})
    app = rota.api.create(settings, registry_of([write_invoice, send_invoice, ship]))
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(rota.api.lifespan(app))
        transport = httpx2.ASGITransport(app=app)
        http = httpx2.AsyncClient(transport=transport, base_url="http://localhost")
        yield await stack.enter_async_context(http)


async def key_of(client: Client, tenant: str) -> dict[str, str]:
    """Make a key, as `rota keys make --tenant acme` does; return the header that shows it."""
    text, key = make(scopes_of(["enqueue", "operate"]), tenant=tenant)
    await AccessRecords(client.redis, "rota").put({key.id: key.write()})
    return {"Authorization": f"Bearer {text}"}


async def test_all_that_a_job_enqueues_is_for_the_same_customer(client: Client) -> None:
    handle = await client.enqueue(ship.options(tenant="acme"), order=7)
    with rota.headers(tenant="globex"):
        other = await client.enqueue(ship, order=7)
    assert await handle.result(timeout=20) == "acme: invoice 7, sent for acme"
    assert await other.result(timeout=20) == "globex: invoice 7, sent for globex"
    assert (await other.status()).tenant == "globex"


async def test_customers_use_the_same_ids_and_do_not_meet(client: Client, api: httpx2.AsyncClient) -> None:
    acme, globex = await key_of(client, "acme"), await key_of(client, "globex")
    body = {"payload": {"order": 7}, "options": {"id": "order-7"}}
    for key, tenant in ((acme, "acme"), (globex, "globex")):
        answer = await api.post("/jobs/ship", json=body, headers=key | {"Prefer": "wait=20"})
        assert answer.json()["result"].startswith(f"{tenant}: invoice 7")
    found = (await api.get("/jobs/default/order-7", headers=acme)).json()
    assert (found["id"], found["tenant"]) == ("default:acme~order-7", "acme")
    assert (await api.get(f"/jobs/default/{found['id']}", headers=globex)).status_code == 404


def test_no_metric_has_a_customer_s_name() -> None:
    assert not [one.name for one in SERIES if "tenant" in one.labels]
