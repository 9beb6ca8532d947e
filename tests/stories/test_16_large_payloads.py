"""Large payloads: Redis holds every job in memory, so data goes elsewhere and the job gets its id."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rota import Client, Job, JobFailed, PayloadTooLarge, Run, State, job

MEGABYTE = 1024 * 1024


@job(queue="reports")
async def summarise(run: Run, text: str) -> int:
    return len(text.split())


@job(queue="reports")
async def summarise_stored(run: Run, document: str) -> int:
    return len(run.deps[document].split())


@job(queue="reports")
async def export(run: Run, rows: int) -> list[str]:
    return ["a row of the export"] * rows


@job(queue="reports", process=True)
def export_in_a_process(run: Run, rows: int) -> list[str]:
    return ["a row of the export"] * rows


@job(queue="reports")
async def export_to_storage(run: Run, rows: int) -> str:
    run.deps["export-7"] = json.dumps(["a row of the export"] * rows)
    return "export-7"


@asynccontextmanager
async def lifespan() -> AsyncIterator[dict[str, str]]:
    yield {}


async def test_a_payload_over_the_limit_is_refused_before_it_is_sent(client: Client) -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        await client.enqueue(summarise, text="word " * MEGABYTE)
    said = str(refused.value)
    assert said.startswith("the payload of job reports:summarise has 5")
    assert said.endswith("PAYLOAD_LIMIT allows 262144; store the data elsewhere and enqueue its id")


async def test_of_many_either_all_fit_or_none_is_sent(client: Client) -> None:
    texts = ["short", "also short", "word " * MEGABYTE]
    with pytest.raises(PayloadTooLarge):
        await client.enqueue_many(summarise.call(text=text) for text in texts)
    assert await client.redis.exists("rota:events") == 0


async def test_the_data_is_stored_and_its_id_is_sent(client: Client, deps: dict[str, str]) -> None:
    deps["document-1"] = "word " * MEGABYTE
    handle = await client.enqueue(summarise_stored, document="document-1")
    assert await handle.result(timeout=30) == MEGABYTE


@pytest.mark.parametrize("large", [export, export_in_a_process], ids=lambda one: one.name)
async def test_a_result_over_the_limit_ends_its_job_which_is_not_tried_again(
    client: Client, large: Job[[int], list[str]]
) -> None:
    handle = await client.enqueue(large, MEGABYTE // 10)
    with pytest.raises(JobFailed, match="RESULT_LIMIT allows 1048576; store the data elsewhere and return"):
        await handle.result(timeout=30)
    info = await handle.status()
    assert (info.state, info.reason, info.attempts) == (State.DEAD, "result_too_large", 1)


async def test_a_large_result_is_stored_and_its_id_is_returned(client: Client, deps: dict[str, str]) -> None:
    handle = await client.enqueue(export_to_storage, rows=MEGABYTE // 10)
    assert len(deps[await handle.result(timeout=30)]) > MEGABYTE
