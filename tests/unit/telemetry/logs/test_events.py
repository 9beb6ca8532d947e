"""The log of jobs: one line for each event, and at high rates a sample of the jobs that succeed."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from rota.model.event import Event, EventType
from rota.names import new_id
from rota.telemetry.logs import events as module
from rota.telemetry.logs.events import Log, Sampler

GOOD = [EventType.STARTED, EventType.PROGRESS, EventType.COMPLETED]


class Lines(logging.Handler):
    """The records that were logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    caplog.set_level(logging.INFO, "rota.jobs")
    handler = Lines()
    module.logger.addHandler(handler)
    yield handler.records
    module.logger.removeHandler(handler)


class Clock:
    """The clock of the log, in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(module, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def event(kind: EventType, job_id: str = "1", **more: Any) -> Event:
    return Event(kind, "email", job_id, "send", 1, **more)


def second(log: Log, clock: Clock, rate: int) -> None:
    """Log a second in which `rate` jobs start and complete."""
    for _ in range(rate):
        clock.now += 1 / rate
        job_id = new_id()
        log(event(EventType.STARTED, job_id, waited=0.0))
        log(event(EventType.COMPLETED, job_id, duration=0.01))


def stood_for(lines: list[logging.LogRecord], name: str) -> int:
    return sum(vars(line).get("stands_for", 1) for line in lines if line.getMessage() == name)


def test_few_jobs_are_all_told_of_and_each_line_stands_for_one(
    lines: list[logging.LogRecord], clock: Clock
) -> None:
    log = Log(rate=100)
    for _ in range(5):
        second(log, clock, 90)
    assert len(lines) == 2 * 5 * 90
    assert not [line for line in lines if hasattr(line, "stands_for")]


def test_of_many_a_sample_is_told_that_stands_for_all(lines: list[logging.LogRecord], clock: Clock) -> None:
    log = Log(rate=100)
    for _ in range(10):
        second(log, clock, 3000)
    for name in ("job.started", "job.completed"):
        written = len([line for line in lines if line.getMessage() == name])
        assert 400 < written < 2000, "about a hundred a second, and a few more while it grew"
        assert 0.8 * 30_000 < stood_for(lines, name) < 1.2 * 30_000


def test_a_job_in_the_sample_has_all_of_its_lines(lines: list[logging.LogRecord], clock: Clock) -> None:
    log = Log(rate=100)
    for _ in range(3):
        second(log, clock, 3000)
    lines.clear()
    second(log, clock, 3000)
    started, completed = (
        {vars(line)["job_id"] for line in lines if line.getMessage() == name}
        for name in ("job.started", "job.completed")
    )
    assert started
    assert started == completed


def test_an_attempt_that_began_in_quiet_and_ends_in_a_burst_has_all_of_its_lines(
    lines: list[logging.LogRecord], clock: Clock
) -> None:
    log = Log(10)
    long = [new_id() for _ in range(50)]
    for job_id in long:
        log(event(EventType.STARTED, job_id, waited=0.0))
    for _ in range(3):
        second(log, clock, 1000)
    lines.clear()
    for job_id in long:
        log(event(EventType.PROGRESS, job_id, percent=50.0))
        log(event(EventType.COMPLETED, job_id, duration=3.0))
    told = [vars(line) for line in lines]
    assert [one["job_id"] for one in told if "percent" in one] == long
    assert [one["job_id"] for one in told if "seconds" in one] == long
    assert all("stands_for" not in one for one in told)


def test_a_job_that_began_in_a_burst_keeps_its_place_in_the_sample_until_it_ends(
    lines: list[logging.LogRecord], clock: Clock
) -> None:
    log = Log(10)
    for _ in range(3):
        second(log, clock, 1000)
    lines.clear()
    long = [new_id() for _ in range(2000)]
    for job_id in long:
        log(event(EventType.STARTED, job_id, waited=0.0))
    started = [(vars(line)["job_id"], vars(line)["stands_for"]) for line in lines]
    assert 0 < len(started) < 200
    clock.now += 100
    lines.clear()
    for job_id in long:
        log(event(EventType.COMPLETED, job_id, duration=3.0))
    assert [(vars(line)["job_id"], vars(line)["stands_for"]) for line in lines] == started


def test_attempts_that_are_never_heard_of_again_are_forgotten(
    lines: list[logging.LogRecord], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    log = Log(10)
    for job_id in "abcde":
        log(event(EventType.STARTED, job_id, waited=0.0))
    log(event(EventType.DEAD, "e"))
    assert list(log._running) == [("email", "c"), ("email", "d")]


def test_all_are_told_of_again_when_it_is_quiet_again(lines: list[logging.LogRecord], clock: Clock) -> None:
    log = Log(rate=100)
    second(log, clock, 3000)
    for _ in range(2):
        second(log, clock, 10)
    lines.clear()
    second(log, clock, 10)
    assert len(lines) == 20


@pytest.mark.parametrize("kind", [kind for kind in EventType if kind not in GOOD])
def test_what_does_not_go_well_is_always_told(
    lines: list[logging.LogRecord], clock: Clock, kind: EventType
) -> None:
    log = Log(rate=1)
    for _ in range(3):
        second(log, clock, 1000)
    lines.clear()
    for number in range(50):
        log(event(kind, str(number)))
    assert len(lines) == 50


def test_a_rarer_sample_is_part_of_a_fuller_one() -> None:
    fuller, rarer = Sampler(1), Sampler(1)
    fuller.one_of, rarer.one_of = 2, 8
    ids = [new_id() for _ in range(2000)]
    assert {one for one in ids if rarer.takes(one)} < {one for one in ids if fuller.takes(one)}


def test_an_id_that_is_not_text_is_logged_too(lines: list[logging.LogRecord], clock: Clock) -> None:
    log = Log(rate=1)
    second(log, clock, 100)
    log(event(EventType.DEAD, "\udcff"))
    log(event(EventType.COMPLETED, "\udcff"))
    assert vars(lines[-1])["job_id"].isascii()


TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_a_line_has_the_trace_and_the_tenant_that_the_job_belongs_to(lines: list[logging.LogRecord]) -> None:
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "tenant": "acme"}
    Log()(event(EventType.DEAD, headers=headers))
    assert (vars(lines[0])["trace_id"], vars(lines[0])["tenant"]) == (TRACE, "acme")


def test_headers_that_say_neither_or_lie_add_nothing(lines: list[logging.LogRecord]) -> None:
    log = Log()
    log(event(EventType.DEAD))
    log(event(EventType.DEAD, headers={"traceparent": "00-evil\nline-1-01", "other": "x", "tenant": ""}))
    for line in lines:
        assert not {"trace_id", "tenant", "traceparent", "other"} & vars(line).keys()


def test_a_tenants_name_is_cut_where_it_is_endless(lines: list[logging.LogRecord]) -> None:
    Log()(event(EventType.DEAD, headers={"tenant": "x" * 100_000}))
    assert len(vars(lines[0])["tenant"]) == 100
