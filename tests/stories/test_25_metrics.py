"""Metrics: every worker counts what it does, and shows the counts at `/metrics`."""

import asyncio
import urllib.request
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families as parsed

from rota import Client, Retry, Run, client_metrics, fixed, job
from tests.waiting import until
from tests.workers import Works

Read = Callable[..., Awaitable[float]]


@job(queue="email", max_attempts=2, backoff=fixed(0, jitter=0))
async def send(run: Run, to: str) -> str:
    if to == "nobody":
        raise LookupError(to)
    if to == "busy" and run.attempt == 1:
        raise Retry(0)
    return to


@pytest.fixture
def variables() -> dict[str, str]:
    # Any free port; by default it is 9464.
    return {"METRICS_PORT": "0", "QUEUES__EMAIL__CONCURRENCY": "4"}


@pytest.fixture
def read(works: Works) -> Read:
    """Return a function that scrapes the worker for one series, summed over the labels that are not named."""

    def scraped(name: str, labels: dict[str, str]) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{works.port}/metrics", timeout=5) as answer:
            page = answer.read().decode()
        samples = [sample for family in parsed(page) for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    return lambda name, **labels: asyncio.to_thread(scraped, name, labels)


async def until_it_is(read: Read, value: float, name: str, **labels: str) -> None:
    async def look() -> bool:
        return await read(name, **labels) == value

    await until(look, f"{name} is {value}")


async def test_attempts_are_counted_by_what_they_came_to(client: Client, read: Read) -> None:
    await client.enqueue_many([send.call(to) for to in ("ann", "bob", "busy", "nobody")])
    finished = "arq_jobs_finished_total"
    # Completed: Ann's, Bob's, and the second attempt of "busy". Retried: the first attempts of "busy" and "nobody".
    await until_it_is(read, 3, finished, queue="email", task="send", outcome="completed")
    await until_it_is(read, 2, finished, queue="email", task="send", outcome="retried")
    await until_it_is(read, 1, finished, queue="email", task="send", outcome="dead")
    assert await read("arq_jobs_started_total", task="send") == 6


async def test_how_long_they_ran_and_waited_is_a_histogram(client: Client, read: Read) -> None:
    assert await (await client.enqueue(send, "ann")).result(timeout=10) == "ann"
    await until_it_is(read, 1, "arq_job_duration_seconds_count", task="send")
    assert await read("arq_job_duration_seconds_bucket", task="send", le="+Inf") == 1
    assert await read("arq_job_wait_seconds_count", task="send") == 1


async def test_slots_say_how_much_work_there_is_room_for(read: Read) -> None:
    assert await read("arq_worker_slots", queue="email") == 4
    assert await read("arq_worker_slots_busy", queue="email") == 0


async def test_a_job_that_no_code_knows_waits_and_makes_no_series_of_its_own(
    client: Client, read: Read
) -> None:
    await client.enqueue_by_name("email:made-up")
    await until_it_is(read, 1, "arq_jobs_rejected_total", queue="email", reason="unknown")
    assert await read("arq_jobs_started_total", task="made-up") == 0


async def test_a_web_application_counts_what_it_enqueues(client: Client) -> None:
    registry = CollectorRegistry()
    registry.register(client_metrics())

    def enqueued() -> float:
        return registry.get_sample_value("arq_jobs_enqueued_total", {"queue": "email", "task": "send"}) or 0

    before = enqueued()
    await client.enqueue_many([send.call("ann"), send.call("bob")])
    assert enqueued() == before + 2
