"""The log of a job: what its handler logs is kept with the job, and is read while it runs and when it is over."""

import logging

import pytest

from rota import Client, Run, job


@job(queue="reports")
async def build(run: Run, name: str) -> int:
    run.log.info("report.begun", extra={"report": name})
    logging.getLogger("library").warning("slow disk")
    return 3


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    """Let the loggers write what they write in a worker, from `info` on."""
    caplog.set_level(logging.INFO)


async def test_what_a_handler_logs_is_kept_with_the_job(client: Client) -> None:
    handle = await client.enqueue(build, name="march")
    await handle.result(timeout=10)
    first, second = await handle.log()
    assert (first.level, first.message, dict(first.fields)) == ("info", "report.begun", {"report": "march"})
    assert (second.level, second.message, second.attempt) == ("warning", "slow disk", 1)
