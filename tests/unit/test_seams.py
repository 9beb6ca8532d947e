"""The seams: middleware from the outside in, subscribers and senders that cannot do harm."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from rota.model.event import Event, EventType
from rota.model.run import Run
from rota.seams import (
    Audience,
    CallNext,
    Count,
    Middleware,
    Outgoing,
    Senders,
    compose,
    count,
    switched_on,
    tell,
)

RUN = Run(id="1", job="greet", queue="default")
EVENT = Event(EventType.COMPLETED, "default", "1", "greet", 1)


def noting(name: str, log: list[str]) -> Middleware:
    async def middleware(run: Run, call_next: CallNext) -> Any:
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
    async def answers(run: Run, call_next: CallNext) -> str:
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


# Senders


def outgoing() -> list[Outgoing]:
    return [Outgoing("email", "greet", "j1", b"{}")]


@contextlib.contextmanager
def stamping(jobs: Sequence[Outgoing]) -> Iterator[None]:
    for one in jobs:
        one.headers["stamp"] = one.id
    yield


def test_a_sender_adds_headers_before_jobs_are_sent() -> None:
    jobs = outgoing()
    with Senders([stamping]).around(jobs):
        assert jobs[0].headers == {"stamp": "j1"}


def test_jobs_of_several_queues_are_sent_with_one_sender_for_each_queue() -> None:
    heard: list[tuple[str, ...]] = []

    @contextlib.contextmanager
    def listening(jobs: Sequence[Outgoing]) -> Iterator[None]:
        heard.append(tuple(job.id for job in jobs))
        yield

    jobs = [*outgoing(), Outgoing("other", "greet", "j2", b"{}"), Outgoing("email", "greet", "j3", b"{}")]
    with Senders([listening, stamping]).around(jobs):
        assert [job.headers for job in jobs] == [{"stamp": "j1"}, {"stamp": "j2"}, {"stamp": "j3"}]
    with Senders([listening]).around([]):
        assert heard == [("j1", "j3"), ("j2",)]


def test_a_sender_hears_of_a_failure_which_goes_on() -> None:
    heard: list[str] = []

    @contextlib.contextmanager
    def listening(jobs: Sequence[Outgoing]) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            heard.append(str(error))
            raise

    with pytest.raises(OSError, match="no server"), Senders([listening, stamping]).around(outgoing()):
        raise OSError("no server")
    assert heard == ["no server"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_sender_that_raises_keeps_no_job_from_being_sent(
    when: str, caplog: pytest.LogCaptureFixture
) -> None:
    @contextlib.contextmanager
    def broken(jobs: Sequence[Outgoing]) -> Iterator[None]:
        if when == "before":
            raise RuntimeError("a bug")
        yield
        raise RuntimeError("a bug")

    sent = outgoing()
    with Senders([broken, stamping]).around(sent):
        assert sent[0].headers == {"stamp": "j1"}
    assert [record.message for record in caplog.records] == ["sender.failed"]


class Switch:
    """An entry of a stack that can be switched off; as a sender it counts its round trips."""

    def __init__(self, *, on: bool) -> None:
        self.on = on
        self.calls = 0

    def is_on(self) -> bool:
        return self.on

    def __call__(self, *_: object) -> contextlib.AbstractContextManager[object]:
        self.calls += 1
        return contextlib.nullcontext()


def test_middleware_that_is_switched_off_is_left_out() -> None:
    async def plain(run: Run, call_next: CallNext) -> Any:
        return await call_next(run)

    off, on = Switch(on=False), Switch(on=True)
    assert switched_on([off, on, plain]) == (on, plain)


class Ledger:
    """A sender that is called for nothing, and told which jobs were created."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def created(self, jobs: Sequence[Outgoing]) -> None:
        self.ids += [job.id for job in jobs]


class StampingLedger(Ledger):
    """A sender that is called and told."""

    def __call__(self, jobs: Sequence[Outgoing]) -> contextlib.AbstractContextManager[None]:
        return stamping(jobs)


def test_a_sender_may_be_told_which_jobs_were_created() -> None:
    told, both = Ledger(), StampingLedger()
    senders, jobs = Senders([told, stamping, both]), [*outgoing(), Outgoing("other", "greet", "j2", b"{}")]
    with senders.around(jobs):
        assert (told.ids, jobs[1].headers) == ([], {"stamp": "j2"})
    senders.created(jobs[1:])
    assert (told.ids, both.ids) == (["j2"], ["j2"])


def test_a_sender_that_raises_when_it_is_told_keeps_no_other_from_being_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        def created(self, jobs: Sequence[Outgoing]) -> None:
            raise RuntimeError("a bug")

    told = Ledger()
    Senders([Broken(), told]).created(outgoing())
    assert told.ids == ["j1"]
    assert [record.message for record in caplog.records] == ["sender.failed"]


def test_a_sender_is_asked_before_each_round_trip_whether_it_is_on() -> None:
    sender = Switch(on=False)
    senders = Senders([sender])
    for is_on, calls in ((False, 0), (True, 1), (False, 1), (True, 2)):
        sender.on = is_on
        with senders.around(outgoing()):
            assert sender.calls == calls


class Listener:
    """A subscriber that wants some types of events, as long as it does."""

    def __init__(self, *types: EventType) -> None:
        self.types = set(types)
        self.asked = 0

    def wants(self, event_type: EventType) -> bool:
        self.asked += 1
        return event_type in self.types

    def __call__(self, event: Event) -> None: ...


class Counter(Listener):
    """A subscriber that has starts counted by `count`, and hears of all else."""

    def __init__(self, count: Count, *types: EventType) -> None:
        super().__init__(*types)
        self.counters = {EventType.STARTED: count}


def test_only_those_hear_of_an_event_that_want_to() -> None:
    everything, ends = (lambda event: None), Listener(EventType.COMPLETED)
    audience = Audience([everything, ends])
    assert audience.of(EventType.COMPLETED, 0).listeners == (everything, ends)
    assert audience.of(EventType.STARTED, 0).listeners == (everything,)
    assert Audience([ends]).of(EventType.STARTED, 0) == ((), ())


def test_what_they_want_is_asked_again_after_a_second() -> None:
    ends = Listener()
    audience = Audience([ends])
    assert [audience.of(EventType.COMPLETED, now).listeners for now in (5.0, 5.5, 4.0)] == [()] * 3
    assert ends.asked == 1
    ends.types.add(EventType.COMPLETED)
    assert audience.of(EventType.COMPLETED, 5.9).listeners == ()
    assert audience.of(EventType.COMPLETED, 6.0).listeners == (ends,)


def test_a_counter_is_called_in_place_of_its_subscriber(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[str, str, Sequence[float]]] = []

    def broken(queue: str, task: str, seconds: Sequence[float]) -> None:
        raise ValueError("no")

    first = Counter(broken, EventType.STARTED)
    other = Counter(lambda *values: seen.append(values), EventType.STARTED, EventType.COMPLETED)
    audience = Audience([first, other])
    listeners, counts = audience.of(EventType.STARTED, 0)
    assert listeners == ()
    with caplog.at_level(logging.ERROR):
        count(counts, "email", "send", [0.5])
    assert seen == [("email", "send", [0.5])]
    assert "subscriber.failed" in caplog.text
    assert audience.of(EventType.COMPLETED, 0) == ((other,), ())
