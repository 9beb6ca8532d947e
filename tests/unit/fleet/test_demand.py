"""Demand: arrivals and the time of a job, from counters as they are seen."""

import random

import pytest

from rota.fleet.demand import Demand, Sample


def steady(rate: float, seconds: float, *, until: float, window: float = 60.0) -> Demand:
    """A queue whose workers keep up: nothing waits."""
    demand = Demand(window)
    for now in range(0, int(until) + 1, 2):
        ended = int(rate * now)
        demand.add(Sample(now, ended, ended * seconds, 0, round(rate * seconds)))
    return demand


def test_nothing_seen_is_nothing_wanted() -> None:
    demand = Demand()
    assert demand.arrivals(1.0) == 0.0
    assert demand.job_seconds(otherwise=3.0) == 3.0


def test_an_even_load_is_found() -> None:
    demand = steady(10, 0.5, until=200)
    assert demand.arrivals(0.5) == pytest.approx(10)
    assert demand.job_seconds(otherwise=9) == pytest.approx(0.5)


def test_what_only_waits_has_arrived_too() -> None:
    demand = Demand(window=60)
    for now in range(0, 61):
        demand.add(Sample(now, 0, 0.0, now * 5, 0))
    assert demand.arrivals(1.0) == pytest.approx(5)


def test_what_is_worked_off_has_not_arrived_again() -> None:
    demand = Demand(window=60)
    for now in range(0, 61):
        demand.add(Sample(now, now * 10, now * 10.0, 600 - now * 10, 0))
    assert demand.arrivals(1.0) == pytest.approx(0)


def test_a_burst_just_after_the_start_is_spread_over_the_window() -> None:
    demand = Demand(window=60)
    demand.add(Sample(0, 0, 0.0, 0, 0))
    demand.add(Sample(1, 0, 0.0, 2000, 0))
    assert demand.arrivals(1.0) == pytest.approx(2000 / 60)


def test_just_after_the_start_the_running_jobs_speak_for_the_load() -> None:
    demand = steady(10, 0.5, until=4)
    assert demand.arrivals(0.5) == pytest.approx(10)


def test_jobs_that_are_longer_than_the_window_are_not_forgotten_while_they_run() -> None:
    demand = Demand(window=60)
    for now in range(0, 121):
        demand.add(Sample(now, 50, 50 * 600.0, 0, 5))
    assert demand.arrivals(600.0) * 600 == pytest.approx(5 * (1 - 60 / 600))


def test_one_long_job_that_comes_is_one_job_and_no_load_of_many() -> None:
    demand = Demand(window=60)
    for now in range(0, 121):
        demand.add(Sample(now, 50, 50 * 600.0, 0, 1 if now > 100 else 0))
    assert demand.arrivals(600.0) * 600 == pytest.approx(1)


def test_an_even_load_of_long_jobs_is_found() -> None:
    demand = Demand(window=60)
    for now in range(0, 3001, 2):
        ended = max(0, (now - 600) // 10)
        demand.add(Sample(now, ended, ended * 600.0, 0, now // 10 - ended))
    assert demand.arrivals(600.0) == pytest.approx(0.1, rel=0.1)


def test_with_few_executions_the_time_of_a_job_is_that_of_all() -> None:
    demand = Demand(window=60)
    demand.add(Sample(0, 1000, 2000.0, 0, 0))
    demand.add(Sample(5, 1001, 2100.0, 0, 0))
    assert demand.job_seconds(otherwise=9) == pytest.approx(2100 / 1001)


def test_jobs_that_became_longer_are_noticed_within_the_window() -> None:
    demand = Demand(window=60)
    for now in range(0, 61, 5):
        demand.add(Sample(now, 1000 + now, 1000.0 + now * 7, 0, 7))
    assert demand.job_seconds(otherwise=9) == pytest.approx(7)


def test_an_emptied_redis_begins_a_new_history() -> None:
    demand = steady(10, 0.5, until=200)
    demand.add(Sample(202, 0, 0.0, 0, 0))
    assert demand.arrivals(1.0) == 0.0
    assert demand.job_seconds(otherwise=4) == 4


def test_no_more_is_kept_than_the_window_needs() -> None:
    demand = steady(10, 0.5, until=1000)
    assert len(demand._samples) <= 32


def test_an_uneven_load_is_found_about_right() -> None:
    chance, demand, ended = random.Random(1), Demand(window=120), 0
    for now in range(0, 600, 2):
        ended += sum(chance.random() < 0.1 for _ in range(100))
        demand.add(Sample(now, ended, ended * 2.0, chance.randrange(5), 10))
    assert demand.arrivals(2.0) == pytest.approx(5, rel=0.2)
