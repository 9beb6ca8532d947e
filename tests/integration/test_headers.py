"""Headers on their way: from who enqueues to the job, its log and its spans, and on to what the job enqueues."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sentry_sdk

import rota
from rota import Client, Handle, Run, State, fixed, job
from rota.app.connect import client_of
from rota.server import connections
from rota.server.target import RedisTarget
from rota.settings.load import load
from rota.telemetry.tracing.sentry import sentry
from rota.wire.envelopes import decode_job
from tests.envelopes import DSN, Captured, forgotten
from tests.servers import RedisServer
from tests.spans import collected
from tests.waiting import until, until_in
from tests.workers import serving

CLIENTS: list[Client] = []


@job
async def tell(run: Run) -> dict[str, str]:
    run.log.warning("tell.told")
    return dict(run.headers)


@job
async def pass_on(run: Run) -> str:
    """Enqueue another, with one header more."""
    with rota.headers(step="2"):
        return (await CLIENTS[0].enqueue(tell)).id


@job
def from_thread(run: Run) -> str:
    return asyncio.run_coroutine_threadsafe(CLIENTS[0].enqueue(tell), LOOPS[0]).result(10).id


@job(process=True)
def from_process(run: Run, url: str) -> str:
    """Enqueue another from a child process."""

    async def enqueue() -> str:
        async with client_of(load({}), connections.async_client(RedisTarget.from_url(url))) as client:
            return (await client.enqueue(tell)).id

    return asyncio.run(enqueue())


@job(max_attempts=2, backoff=fixed(0, jitter=0))
async def fail(run: Run) -> None:
    raise ValueError(run.headers["tenant"])


LOOPS: list[asyncio.AbstractEventLoop] = []
JOBS = (tell, pass_on, from_thread, from_process, fail)


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Client]:
    redis = connections.async_client(RedisTarget.from_url(server.url))
    async with client_of(load({}), redis) as client:
        CLIENTS[:], LOOPS[:] = [client], [asyncio.get_running_loop()]
        yield client


@pytest.fixture
async def at_work(client: Client, server: RedisServer) -> AsyncIterator[None]:
    # A worker that is started inside of such a block does not give these headers to its jobs.
    with rota.headers(around="the worker"):
        worker = serving(server.url, *JOBS)
        await worker.__aenter__()
    yield
    await worker.__aexit__(None, None, None)


async def came_with(client: Client, handle: Handle[str]) -> dict[str, Any]:
    """Return the headers of the job that another job enqueued."""
    inner: Handle[Any] = client.handle("default", await handle.result(20))
    told: dict[str, Any] = await inner.result(20)
    return told


async def test_a_job_has_the_headers_that_were_given_around_its_enqueue(
    client: Client, at_work: None
) -> None:
    with rota.headers(tenant="acme"):
        one, *_ = await client.enqueue_many([tell.call(), tell.call()])
        by_name = await client.enqueue_by_name("tell")
    none = await client.enqueue(tell)
    assert [await handle.result(20) for handle in (one, by_name, none)] == [
        {"tenant": "acme"},
        {"tenant": "acme"},
        {},
    ]


async def test_without_headers_a_payload_does_not_grow(client: Client) -> None:
    handle = await client.enqueue(tell)
    assert b'"h"' not in await client.redis.get(f"arq:job:{handle.id}")


@pytest.mark.parametrize("kind", ["loop", "thread", "process"])
async def test_a_job_gives_them_to_what_it_enqueues(
    client: Client, server: RedisServer, at_work: None, kind: str
) -> None:
    call: Any = {
        "loop": pass_on.call(),
        "thread": from_thread.call(),
        "process": from_process.call(server.url),
    }[kind]
    with rota.headers(tenant="acme"):
        (handle,) = await client.enqueue_many([call])
    assert await came_with(client, handle) == {"tenant": "acme", **({"step": "2"} if kind == "loop" else {})}


async def test_jobs_that_run_side_by_side_keep_theirs_apart(client: Client, at_work: None) -> None:
    handles = {}
    for tenant in ("acme", "other", "third"):
        with rota.headers(tenant=tenant):
            handles[tenant] = [await client.enqueue(pass_on), await client.enqueue(from_thread)]
    bare = await client.enqueue(from_thread)
    for tenant, enqueued in handles.items():
        for handle in enqueued:
            assert (await came_with(client, handle))["tenant"] == tenant
    assert await came_with(client, bare) == {}


async def test_they_do_not_count_for_the_payload_s_limit(client: Client) -> None:
    small = client_of(load({"PAYLOAD_LIMIT": "1024"}), client.redis)
    with rota.headers(note="n" * 4000):
        handle = await small.enqueue(tell)
    assert decode_job(await client.redis.get(f"arq:job:{handle.id}")).headers == {"note": "n" * 4000}


async def test_a_line_of_the_log_has_the_tenant(
    client: Client, at_work: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with rota.headers(tenant="acme"):
        await (await client.enqueue(tell)).result(20)
    lines = {
        one.message: vars(one).get("tenant") for one in caplog.records if one.name in ("jobs", "rota.jobs")
    }
    assert lines["job.started"] == lines["tell.told"] == "acme"


async def test_sentry_and_opentelemetry_say_for_whom_a_job_was(client: Client, server: RedisServer) -> None:
    with forgotten(), collected() as spans:
        given = {"SENTRY_DSN": DSN, "SENTRY_TRACES_SAMPLE_RATE": "1"}
        assert sentry.start(load(given), transport=Captured)
        async with serving(server.url, *JOBS):
            with rota.headers(tenant="acme"):
                handle = await client.enqueue(fail)
            await until_in(handle, State.DEAD)
        transport = sentry_sdk.get_client().transport
        assert isinstance(transport, Captured)
        (error,) = transport.errors
        assert [one["tags"]["tenant"] for one in (error, *transport.transactions)] == ["acme"] * 3
        told = [one.attributes for one in spans.get_finished_spans() if one.name == "process default"]
        assert [attributes["messaging.rota.tenant"] for attributes in told if attributes] == ["acme"] * 2


async def test_a_lost_job_s_report_says_for_whom_it_was(client: Client, server: RedisServer) -> None:
    with forgotten():
        assert sentry.start(load({"SENTRY_DSN": DSN}), transport=Captured)
        with rota.headers(tenant="acme"):
            handle = await client.enqueue(fail)
        await client.redis.hset("arq:queue:default:runs", handle.id, "- 1 0 3 0")
        transport = sentry_sdk.get_client().transport
        assert isinstance(transport, Captured)
        async with serving(server.url, *JOBS):
            await until(lambda: transport.errors)
        (error,) = transport.errors
        assert (error["tags"]["reason"], error["tags"]["tenant"]) == ("lost", "acme")
