"""Check-ins of schedules: one at the start of a tick, one at its end, at a monitor that says when ticks are."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sentry_sdk

from rota import Cancel, Run, every, job
from rota.model.event import Event, EventType
from rota.model.registry import schedules_of
from rota.model.schedules.schedule import OVERLAPPED
from rota.telemetry.tracing.sentry.sentry import CheckIns
from rota.testing import Bench
from rota.wire.keys import tick_id
from tests.envelopes import DSN, Captured, forgotten


@every("0 * * * *", tz="Europe/Berlin")
@job(queue="reports")
async def report(run: Run) -> None: ...


@every("30m", name="failing")
@job(max_attempts=1)
async def fail(run: Run) -> None:
    raise ValueError("no")


@every("90s", name="odd")
@job
async def odd(run: Run) -> None: ...


JOBS = [report, fail, odd]


@pytest.fixture
def captured() -> Iterator[Captured]:
    with forgotten():
        kept = Captured()
        sentry_sdk.init(DSN, transport=kept, default_integrations=False)
        yield kept


@pytest.fixture
def check_ins() -> CheckIns:
    return CheckIns(one for scheduled in JOBS for one in schedules_of(scheduled, "default"))


def seen(captured: Captured) -> list[tuple[str, str]]:
    return [(one["monitor_slug"], one["status"]) for one in captured.check_ins]


async def test_a_tick_checks_in_when_it_starts_and_when_it_has_ended(
    captured: Captured, check_ins: CheckIns
) -> None:
    with Bench(JOBS, subscribers=[check_ins]) as bench:
        await bench.drain(until=bench.now + timedelta(hours=1), schedules=True)
    found: dict[str, list[dict[str, Any]]] = {}
    for one in captured.check_ins:
        found.setdefault(one["monitor_slug"], []).append(one)
    assert found.keys() == {"reports-report", "failing"}
    start, end = found["reports-report"]
    assert (start["status"], end["status"]) == ("in_progress", "ok")
    assert start["check_in_id"] == end["check_in_id"]
    assert end["duration"] is not None
    assert start["monitor_config"] == {
        "schedule": {"type": "crontab", "value": "0 * * * *"},
        "timezone": "Europe/Berlin",
    }
    assert [one["status"] for one in found["failing"]] == ["in_progress", "error"] * 2
    interval = {"type": "interval", "value": 30, "unit": "minute"}
    assert found["failing"][0]["monitor_config"]["schedule"] == interval


def test_a_tick_that_is_left_out_is_no_failure_and_other_jobs_do_not_check_in(
    captured: Captured, check_ins: CheckIns
) -> None:
    job_id = tick_id("failing", 60_000)
    check_ins(Event(EventType.CANCELLED, "default", job_id, "fail", 1, error=Cancel(OVERLAPPED)))
    check_ins(Event(EventType.CANCELLED, "default", job_id, "fail", 1, error=Cancel("by hand")))
    check_ins(Event(EventType.STARTED, "default", job_id, "fail", 2))
    check_ins(Event(EventType.STARTED, "default", "default:mine", "fail", 1))
    check_ins(Event(EventType.STARTED, "default", tick_id("unknown", 60_000), "fail", 1))
    assert seen(captured) == [("failing", "ok"), ("failing", "error")]


def test_nothing_is_heard_where_sentry_is_off_or_no_schedule_has_a_monitor(check_ins: CheckIns) -> None:
    assert not check_ins.wants(EventType.STARTED)
    with forgotten():
        sentry_sdk.init(DSN, transport=Captured(), default_integrations=False)
        assert check_ins.wants(EventType.STARTED)
        assert not check_ins.wants(EventType.PROGRESS)
        assert not CheckIns(schedules_of(odd, "default")).wants(EventType.STARTED)
