"""Logs: one line an event, found by the job, by the trace it belongs to and by the tenant that it is for."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import sentry_sdk

import rota
from rota import Client, Run, job
from rota.telemetry.logs import logs
from tests.envelopes import DSN, Captured, forgotten
from tests.waiting import until

Lines = Callable[[str], Awaitable[list[dict[str, Any]]]]


@job(queue="email")
async def send(run: Run, to: str) -> str:
    run.log.info("mail.sent", extra={"server": "smtp-2"})
    return to


@job(max_attempts=1)
async def fail(run: Run, word: str) -> None:
    raise ValueError(word)


def look_up() -> None:
    try:
        raise KeyError("the first")
    except KeyError as error:
        raise OSError("the second") from error


@job(max_attempts=2, backoff=rota.fixed(0.01))
async def break_in_a_coroutine(run: Run) -> None:
    look_up()


@job(max_attempts=2, backoff=rota.fixed(0.01))
def break_in_a_thread(run: Run) -> None:
    look_up()


@job(max_attempts=2, backoff=rota.fixed(0.01), process=True)
def break_in_a_process(run: Run) -> None:
    look_up()


async def wait_for_the_other_side() -> None:
    await asyncio.sleep(60)


@job(max_attempts=1, timeout=0.05)
async def dawdle(run: Run) -> None:
    await wait_for_the_other_side()


@job
async def talk_in_a_coroutine(run: Run) -> None:
    await asyncio.to_thread(logging.getLogger("library").info, "a library's words")


@job
def talk_in_a_thread(run: Run) -> None:
    logging.getLogger("library").info("a library's words")


@job(process=True)
def talk_in_a_process(run: Run) -> None:
    logging.getLogger("library").info("a library's words")


@pytest.fixture
def variables() -> dict[str, str]:
    # Beyond one completed job a second, only a sample of what goes well is written.
    return {"LOG_SUCCESS_RATE": "1"}


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Return a function that waits for a line of an event, and returns all lines; they are as of LOG_FORMAT=json."""
    root, stderr = logging.getLogger(), io.StringIO()
    before, level = list(root.handlers), root.level
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        logs.setup("info", "json")

    def written() -> list[dict[str, Any]]:
        return [json.loads(line) for line in stderr.getvalue().splitlines()]

    async def with_event(event: str) -> list[dict[str, Any]]:
        await until(lambda: any(line["event"] == event for line in written()))
        return written()

    yield with_event
    root.handlers[:] = before
    root.setLevel(level)


async def test_all_lines_of_a_job_have_its_id_its_trace_and_its_tenant(client: Client, lines: Lines) -> None:
    with forgotten():  # the Sentry of a web application, which begins the trace
        sentry_sdk.init(DSN, transport=Captured)
        with rota.headers(tenant="acme"):
            handle = await client.enqueue(send, "ann@example.com")
        trace = (sentry_sdk.get_traceparent() or "").partition("-")[0]
    own = [line for line in await lines("job.completed") if line.get("job_id") == handle.id]
    assert [line["event"] for line in own] == ["job.started", "mail.sent", "job.completed"]
    assert {(line["trace_id"], line["tenant"], line["attempt"]) for line in own} == {(trace, "acme", 1)}
    assert (own[1]["server"], own[2]["job"]) == ("smtp-2", "email:send")
    assert own[2]["seconds"] >= 0
    assert "ann@example.com" not in json.dumps(own), "what a job was given is not logged"


@pytest.mark.parametrize("broken", [break_in_a_coroutine, break_in_a_thread, break_in_a_process])
async def test_a_failure_has_its_traceback_with_each_retry_and_the_death(
    client: Client, lines: Lines, broken: rota.Job[Any, Any]
) -> None:
    await client.enqueue(broken)
    for event in ("job.retried", "job.dead"):
        (line,) = [line for line in await lines(event) if line["event"] == event]
        assert line["error"].startswith("OSError: the second")
        for part in ("KeyError: 'the first'", "direct cause", "in look_up", "in break_in_a_"):
            assert part in line["exception"]
        assert "/src/rota/" not in line["exception"], "the frames of the worker help nobody"


async def test_a_timeout_shows_where_the_handler_stood(client: Client, lines: Lines) -> None:
    await client.enqueue(dawdle)
    (line,) = [line for line in await lines("job.dead") if line["event"] == "job.dead"]
    assert line["error"].startswith("rota.errors.JobTimeout: ")
    assert "in wait_for_the_other_side" in line["exception"]
    assert "/src/rota/" not in line["exception"]


@pytest.mark.parametrize("talking", [talk_in_a_coroutine, talk_in_a_thread, talk_in_a_process])
async def test_a_line_of_any_logger_within_an_attempt_says_whose_it_is(
    client: Client, lines: Lines, talking: rota.Job[Any, Any]
) -> None:
    with rota.headers(tenant="acme"):
        handle = await client.enqueue(talking)
    (line,) = [line for line in await lines("a library's words") if line["logger"] == "library"]
    assert (line["job_id"], line["attempt"], line["tenant"]) == (handle.id, 1, "acme")
    assert (line["queue"], line["job"]) == ("default", f"default:{talking.name}")


async def test_no_word_of_a_stranger_s_makes_a_line(client: Client, lines: Lines) -> None:
    forged = '\n{"event": "job.completed", "job_id": "x"}'
    await client.enqueue(fail, forged)
    (dead,) = [line for line in await lines("job.dead") if line["event"] == "job.dead"]
    assert (dead["level"], dead["error"]) == ("error", f"ValueError: {forged}")


async def test_of_many_jobs_that_go_well_a_sample_is_written(client: Client, lines: Lines) -> None:
    handles = await client.enqueue_many([send.call(f"{number}@example.com") for number in range(100)])
    for handle in handles:
        await handle.result(timeout=10)
    await client.enqueue(fail, "the end")  # what goes wrong is always written
    written = await lines("job.dead")
    told = [line for line in written if line["event"] == "job.completed"]
    assert len(told) < 50
    assert max(line.get("stands_for", 1) for line in told) >= 4
