"""The seams: middleware from the outside in, subscribers that cannot do harm."""

import logging
from typing import Any

import pytest

from rota.event import Event, EventType
from rota.run import Run
from rota.seams import Call, Middleware, compose, tell

RUN = Run(id="1", job="greet", queue="default")
EVENT = Event(EventType.COMPLETED, "default", "1", "greet", 1)


def noting(name: str, log: list[str]) -> Middleware:
    async def middleware(run: Run, call_next: Call) -> Any:
        log.append(f"{name} in")
        try:
            return f"{name}({await call_next(run)})"
        finally:
            log.append(f"{name} out")

    return middleware


async def test_middleware_wraps_the_handler_from_the_outside_in() -> None:
    log: list[str] = []

    async def handler(run: Run) -> str:
        log.append(run.id)
        return "result"

    call = compose([noting("outer", log), noting("inner", log)], handler)
    assert await call(RUN) == "outer(inner(result))"
    assert log == ["outer in", "inner in", "1", "inner out", "outer out"]


async def test_what_the_handler_raises_goes_through_all_of_it() -> None:
    log: list[str] = []

    async def handler(run: Run) -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await compose([noting("outer", log), noting("inner", log)], handler)(RUN)
    assert log[-2:] == ["inner out", "outer out"]


async def test_middleware_may_answer_without_the_handler() -> None:
    async def answers(run: Run, call_next: Call) -> str:
        return "from the cache"

    async def handler(run: Run) -> str:
        raise AssertionError("not to be called")

    assert await compose([answers], handler)(RUN) == "from the cache"


async def test_an_empty_stack_is_the_handler_itself() -> None:
    async def handler(run: Run) -> str:
        return "result"

    assert compose([], handler) is handler


def test_all_subscribers_are_told_in_order() -> None:
    told: list[tuple[str, Event]] = []
    tell([lambda event: told.append(("a", event)), lambda event: told.append(("b", event))], EVENT)
    assert told == [("a", EVENT), ("b", EVENT)]


def test_a_subscriber_that_raises_is_logged_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []

    def fails(event: Event) -> None:
        raise RuntimeError("broken")

    with caplog.at_level(logging.ERROR, "rota.events"):
        tell([fails, told.append], EVENT)
    assert told == [EVENT]
    (record,) = caplog.records
    assert record.getMessage() == "subscriber.failed"
    assert vars(record)["job_id"] == "1"
    assert record.exc_info is not None
