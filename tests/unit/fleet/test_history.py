"""History: arrivals and the time of a job, from counters as they are seen."""

import random

import pytest

from rota.fleet.history import History, Sample


def steady(rate: float, seconds: float, *, until: float, window: float = 60.0) -> History:
    """Return the history of a queue whose workers keep up: nothing waits."""
    history = History(window)
    for now in range(0, int(until) + 1, 2):
        ended = int(rate * now)
        history.add(Sample(now, ended, ended * seconds, 0, round(rate * seconds)))
    return history


def test_nothing_seen_is_nothing_wanted() -> None:
    history = History()
    assert history.arrivals(1.0) == 0.0
    assert history.job_seconds(otherwise=3.0) == 3.0


def test_an_even_load_is_found() -> None:
    history = steady(10, 0.5, until=200)
    assert history.arrivals(0.5) == pytest.approx(10)
    assert history.job_seconds(otherwise=9) == pytest.approx(0.5)


def test_what_only_waits_has_arrived_too() -> None:
    history = History(window=60)
    for now in range(0, 61):
        history.add(Sample(now, 0, 0.0, now * 5, 0))
    assert history.arrivals(1.0) == pytest.approx(5)


def test_what_is_worked_off_has_not_arrived_again() -> None:
    history = History(window=60)
    for now in range(0, 61):
        history.add(Sample(now, now * 10, now * 10.0, 600 - now * 10, 0))
    assert history.arrivals(1.0) == pytest.approx(0)


def test_a_burst_just_after_the_start_is_spread_over_the_window() -> None:
    history = History(window=60)
    history.add(Sample(0, 0, 0.0, 0, 0))
    history.add(Sample(1, 0, 0.0, 2000, 0))
    assert history.arrivals(1.0) == pytest.approx(2000 / 60)


def test_just_after_the_start_the_running_jobs_speak_for_the_load() -> None:
    history = steady(10, 0.5, until=4)
    assert history.arrivals(0.5) == pytest.approx(10)


def test_jobs_that_are_longer_than_the_window_are_not_forgotten_while_they_run() -> None:
    history = History(window=60)
    for now in range(0, 121):
        history.add(Sample(now, 50, 50 * 600.0, 0, 5))
    assert history.arrivals(600.0) * 600 == pytest.approx(5 * (1 - 60 / 600))


def test_one_long_job_that_comes_is_one_job_and_no_load_of_many() -> None:
    history = History(window=60)
    for now in range(0, 121):
        history.add(Sample(now, 50, 50 * 600.0, 0, 1 if now > 100 else 0))
    assert history.arrivals(600.0) * 600 == pytest.approx(1)


def test_an_even_load_of_long_jobs_is_found() -> None:
    history = History(window=60)
    for now in range(0, 3001, 2):
        ended = max(0, (now - 600) // 10)
        history.add(Sample(now, ended, ended * 600.0, 0, now // 10 - ended))
    assert history.arrivals(600.0) == pytest.approx(0.1, rel=0.1)


def test_with_few_executions_the_time_of_a_job_is_that_of_all() -> None:
    history = History(window=60)
    history.add(Sample(0, 1000, 2000.0, 0, 0))
    history.add(Sample(5, 1001, 2100.0, 0, 0))
    assert history.job_seconds(otherwise=9) == pytest.approx(2100 / 1001)


def test_jobs_that_became_longer_are_noticed_within_the_window() -> None:
    history = History(window=60)
    for now in range(0, 61, 5):
        history.add(Sample(now, 1000 + now, 1000.0 + now * 7, 0, 7))
    assert history.job_seconds(otherwise=9) == pytest.approx(7)


def test_an_emptied_redis_begins_a_new_history() -> None:
    history = steady(10, 0.5, until=200)
    history.add(Sample(202, 0, 0.0, 0, 0))
    assert history.arrivals(1.0) == 0.0
    assert history.job_seconds(otherwise=4) == 4


def test_no_more_is_kept_than_the_window_needs() -> None:
    history = steady(10, 0.5, until=1000)
    assert len(history._samples) <= 32


def test_an_uneven_load_is_found_about_right() -> None:
    chance, history, ended = random.Random(1), History(window=120), 0
    for now in range(0, 600, 2):
        ended += sum(chance.random() < 0.1 for _ in range(100))
        history.add(Sample(now, ended, ended * 2.0, chance.randrange(5), 10))
    assert history.arrivals(2.0) == pytest.approx(5, rel=0.2)
