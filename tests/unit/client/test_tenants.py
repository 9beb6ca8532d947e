"""Tenants: whose a job is, as it is enqueued, runs, enqueues others, and is told of."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

import rota
from rota import Client, JobExists, Run, Snooze, each, fixed, job, pipeline, unique
from rota.client.events import EventReader
from rota.model.event import StreamEvent
from rota.model.options import EnqueueOptions
from rota.names import check_tenant
from rota.telemetry.tracing.relay import TenantSender
from rota.telemetry.tracing.senders import SENDERS
from rota.testing import Bench

TERMS = "arq:queue:default:terms"


@job
async def own(run: Run, item: int = 0) -> str | None:
    return run.tenant


@job
async def pass_on(run: Run) -> list[str]:
    """Enqueue by the run, by the job itself, and by a client."""
    handles = [await run.enqueue(own), await own.enqueue(), await CLIENTS[0].enqueue(own)]
    return [one.id for one in handles]


@job
async def split(run: Run) -> list[int]:
    return [1, 2]


@job
async def merge(run: Run, parts: list[str | None]) -> list[str | None]:
    return [*parts, run.tenant]


@job(max_attempts=2, backoff=fixed(1, jitter=0))
async def live_through_all(run: Run) -> None:
    run.progress(50, "half")
    if not run.snoozes:
        raise Snooze(1)
    raise ValueError("no")


@job(unique=unique(key="order"))
async def ship(run: Run, order: int | str) -> str | None:
    return run.tenant


CLIENTS: list[Client] = []
WHOLE = pipeline(split, each(pipeline(own)), merge)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench([own, pass_on, split, merge, live_through_all, ship]) as bench:
        CLIENTS[:] = [bench.client]
        yield bench


async def told(bench: Bench) -> list[StreamEvent]:
    """Return what was told of all jobs so far."""
    reader = EventReader("rota:events", "0-0", queue=None, types=None)
    found, more = [], True
    while more:
        events, more = await reader.page(bench.redis)
        found += events
    return found


def client_of(bench: Bench, tenant: str) -> Client:
    return Client(bench.redis, bench.settings, senders=(TenantSender(tenant), *SENDERS))


async def test_the_options_go_before_the_client_and_the_client_before_what_is_around(bench: Bench) -> None:
    acme = client_of(bench, "acme")
    with rota.headers(tenant="around"):
        handles = [
            await acme.enqueue(own.options(tenant="chosen")),
            await acme.enqueue(own),
            await bench.client.enqueue(own.options(tenant="chosen")),
            await bench.client.enqueue(own),
            await acme.enqueue_by_name("own", tenant="chosen"),
        ]
    handles.append(await bench.client.enqueue(own))
    await bench.drain()
    owners = ["chosen", "acme", "chosen", "around", "chosen", None]
    assert [await one.result() for one in handles] == owners
    assert [(await one.status()).tenant for one in handles] == owners


async def test_what_a_job_enqueues_is_of_its_tenant(bench: Bench) -> None:
    handle = await bench.client.enqueue(pass_on.options(tenant="acme"))
    await bench.drain()
    for job_id in await handle.result():
        assert await bench.client.handle("default", job_id, own).result() == "acme"


async def test_flows_and_all_that_they_put_are_of_their_tenant(bench: Bench) -> None:
    run = await bench.client.enqueue(WHOLE.options(tenant="acme"))
    calls = [own.call(), own.options(tenant="other").call()]
    batch = await client_of(bench, "acme").batch(calls, on_finished=own.call(7))
    await bench.drain()
    assert await run.result() == ["acme"] * 3
    assert [await one.result() for one in batch.handles] == ["acme", "other"]
    assert bench.results(own)[-1] == "acme", "the job that the batch called back"
    owners = {(one.id, one.tenant) for one in await told(bench)}
    others = {(batch.handles[1].id, "other")}
    assert {tenant for job_id, tenant in owners - others} == {"acme"}
    assert {(run.id, "acme"), (batch.id, "acme")} <= owners, "flows are told of as a whole, too"
    assert others <= owners


async def test_every_event_of_a_job_and_every_look_at_it_says_whose_it_is(bench: Bench) -> None:
    acme = client_of(bench, "acme")
    dead = await acme.enqueue(live_through_all)
    later = await acme.enqueue(own.options(delay=3600))
    assert await bench.client.reschedule("default", later.id, delay=60) == "rescheduled"
    assert await later.cancel() == "cancelled"
    await bench.drain()
    assert (await dead.status()).tenant == "acme"
    await bench.redis.delete(f"arq:result:{dead.id}")
    assert [one.tenant for one in await bench.client.jobs("default", "dead")] == ["acme"]
    await bench.client.retry("default", dead.id)
    assert (await dead.status()).tenant == "acme"
    events = await told(bench)
    kinds = {"enqueued", "started", "progress", "snoozed", "retried", "dead", "cancelled"}
    assert {one.type.value for one in events} == kinds
    assert {one.tenant for one in events} == {"acme"}


async def test_unique_keys_are_apart_by_tenant(bench: Bench) -> None:
    handles = [
        await bench.client.enqueue(ship.options(tenant=tenant), order=7)
        for tenant in ("acme", "acme", "other", None, None)
    ]
    assert [one.created for one in handles] == [True, False, True, True, False]
    assert {key.decode() for key in await bench.redis.keys("rota:unique:*")} == {
        "rota:unique:default:ship:7",
        "rota:unique:default:ship:7!acme",
        "rota:unique:default:ship:7!other",
    }
    with pytest.raises(JobExists):
        await bench.client.enqueue(ship.options(tenant="acme", on_taken="refuse"), order=7)
    await bench.drain()
    assert not await bench.redis.keys("rota:unique:*"), "each gives its own back"
    assert (await bench.client.enqueue(ship, order="7!acme")).created, "no argument can be taken for a tenant"
    assert await bench.redis.keys("rota:unique:*") == [b"rota:unique:default:ship:7%21acme"]


async def test_a_job_of_no_tenant_has_no_terms(bench: Bench) -> None:
    await bench.client.enqueue(own)
    assert not await bench.redis.exists(TERMS)
    await bench.client.enqueue(own.options(tenant="acme", priority=3, id="one"))
    assert await cast(Any, bench.redis).hgetall(TERMS) == {b"default:one": b"p=3 t=acme"}


@pytest.mark.parametrize("name", ["", "a b", "-a", "a:b", "a!b", "a" * 65, "ä", "a\n", 7])
def test_a_name_that_no_tenant_can_have_is_refused(name: Any) -> None:
    for make in (check_tenant, TenantSender, lambda one: EnqueueOptions(tenant=one)):
        with pytest.raises(ValueError, match="it starts with a letter or a digit"):
            make(name)


async def test_a_header_that_names_no_tenant_says_of_no_job_whose_it_is(bench: Bench) -> None:
    # As a sender of an application may write it.
    class Forger(TenantSender):
        def __init__(self) -> None:
            self.tenant = "acme p=9"

    handle = await Client(bench.redis, bench.settings, senders=(Forger(),)).enqueue(own)
    assert not await bench.redis.exists(TERMS)
    await bench.drain()
    assert await handle.result() is None


def test_a_stage_of_a_pipeline_has_no_tenant_of_its_own() -> None:
    with pytest.raises(
        TypeError, match=r"stage 1 of a pipeline, split, has a tenant; all stages are of the pipeline's"
    ):
        pipeline(split.options(tenant="acme"))
