"""What a process sends of its counts: what came since the last time, of each queue, and nothing twice."""

import asyncio

import pytest

from rota.model.event import Event, EventType
from rota.model.history.scale import ERROR, percentile
from rota.model.history.tallies import OUTCOMES, Tallies
from rota.telemetry.history.counting import Deltas
from rota.telemetry.metrics.jobs import JobMetrics


@pytest.fixture
def metrics() -> JobMetrics:
    return JobMetrics([("email", "send"), ("email", "welcome"), ("video", "cut")])


@pytest.fixture
def lost() -> dict[str, int]:
    return {"email": 0}


@pytest.fixture
def deltas(metrics: JobMetrics, lost: dict[str, int]) -> Deltas:
    return Deltas(metrics, lambda: lost)


def outcomes(tallies: Tallies) -> dict[str, int]:
    return {OUTCOMES[place]: number for place, number in tallies.outcomes.items()}


def test_where_nothing_happened_there_is_nothing(deltas: Deltas) -> None:
    assert deltas.take() == {}


def test_it_is_what_came_since_the_last_time(metrics: JobMetrics, deltas: Deltas) -> None:
    for _ in range(700):  # more than lie in a list
        metrics.started("email", "send", [0.02])
        metrics.completed("email", "send", [3.0])
    metrics.started("email", "welcome", [40.0])
    found = deltas.take()
    assert found.keys() == {"email"}
    assert outcomes(found["email"]) == {"completed": 700}
    assert sum(found["email"].waits.values()) == 701
    assert percentile(found["email"].waits, 0.5) == pytest.approx(0.02, rel=ERROR)
    assert percentile(found["email"].waits, 1.0) == pytest.approx(40.0, rel=ERROR)
    assert percentile(found["email"].runs, 0.5) == pytest.approx(3.0, rel=ERROR)
    assert deltas.take() == {}
    metrics.tidy()
    assert deltas.take() == {}
    metrics.completed("email", "welcome", [0.5])
    assert outcomes(deltas.take()["email"]) == {"completed": 1}


def test_each_outcome_is_counted_on_the_queue_where_it_came_to_be(
    metrics: JobMetrics, deltas: Deltas
) -> None:
    for kind in ("retried", "dead", "cancelled", "snoozed", "interrupted"):
        metrics(Event(EventType(kind), "email", "x", "send", 1, duration=1.0, reason="failed"))
    metrics.completed("video", "cut", [1.0])
    metrics.completed("bulk", "stranger", [1.0])
    found = deltas.take()
    assert outcomes(found["email"]) == dict.fromkeys(
        ("retried", "dead", "cancelled", "snoozed", "interrupted"), 1
    )
    assert sum(found["email"].runs.values()) == 5
    assert outcomes(found["video"]) == outcomes(found["bulk"]) == {"completed": 1}


def test_a_loss_is_counted_once_by_the_worker_that_takes_the_job_over(
    metrics: JobMetrics, deltas: Deltas, lost: dict[str, int]
) -> None:
    # What the worker counts that had lost the claim, and was alive.
    metrics.lost("email", "send")
    assert deltas.take() == {}
    lost["email"] = 3
    assert outcomes(deltas.take()["email"]) == {"lost": 3}
    assert deltas.take() == {}
    lost["email"] = 4
    assert outcomes(deltas.take()["email"]) == {"lost": 1}


async def test_the_event_loop_goes_on_between_two_jobs_and_what_is_cut_off_is_taken_the_next_time() -> None:
    jobs = [("email", f"job-{number}") for number in range(9)]
    metrics = JobMetrics(jobs)
    deltas = Deltas(metrics, dict)
    for queue, task in jobs:
        metrics.completed(queue, task, [1.0])
    taking = asyncio.create_task(deltas.take_in_turns())
    for _ in range(4):
        await asyncio.sleep(0)
    assert not taking.done()
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    assert outcomes((await deltas.take_in_turns())["email"]) == {"completed": 9}
    assert await deltas.take_in_turns() == {}
