"""Lines that are written within an attempt say whose they are."""

import asyncio
import contextvars
import logging
from typing import Any

from rota import Run
from rota.model.run import enter
from rota.telemetry.logs.belonging import Belonging

TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "tenant": "acme"}
RUN = Run(id="1", job="send", queue="email", attempt=2, headers=HEADERS)
FIELDS = {
    "job_id": "1",
    "job": "email:send",
    "queue": "email",
    "attempt": 2,
    "trace_id": TRACE,
    "tenant": "acme",
}


def record(name: str = "library", **fields: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": name, "msg": "x", **fields})


def within(run: Run, one: logging.LogRecord) -> dict[str, Any]:
    def filtered() -> dict[str, Any]:
        enter(run)
        assert Belonging().filter(one)
        return dict(vars(one))

    return contextvars.copy_context().run(filtered)


def test_a_line_of_any_logger_has_the_fields_of_the_attempt() -> None:
    assert within(RUN, record()).items() >= FIELDS.items()


def test_a_line_outside_of_an_attempt_is_as_it_was() -> None:
    one = record()
    before = dict(vars(one))
    assert Belonging().filter(one)
    assert vars(one) == before


def test_what_a_call_gave_by_the_same_name_stays_beside_it() -> None:
    told = within(RUN, record(job_id="forged", attempt=2))
    assert (told["job_id"], told["job_id_"]) == ("1", "forged")
    assert "attempt_" not in told


def test_a_line_of_the_engine_s_about_another_job_stays_that_job_s() -> None:
    told = within(RUN, record("rota.jobs", job_id="2"))
    assert told["job_id"] == "2"
    assert "tenant" not in told


async def test_a_thread_and_a_task_of_the_attempt_have_them_too() -> None:
    async def attempt() -> list[Any]:
        enter(RUN)
        one, other = record(), record()
        await asyncio.to_thread(Belonging().filter, one)
        await asyncio.create_task(filtering(other))
        return [vars(one).get("job_id"), vars(other).get("job_id")]

    async def filtering(one: logging.LogRecord) -> None:
        Belonging().filter(one)

    assert await asyncio.create_task(attempt()) == ["1", "1"]
    after = record()
    Belonging().filter(after)
    assert "job_id" not in vars(after)
