"""Scaling: the formula and the threshold rule by tables, and the pace of a fleet on a clock of the test's."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.fleet.scaling import Course, Decision, Load, Pace, by_threshold, slots_needed, steer, workers_needed

IDLE = Load(arrivals=0, job_seconds=1, ready=0, slo=60, slots=10)

# arrivals, seconds a job, ready, objective, slots a worker: workers
TABLE = [
    (0, 1, 0, 60, 10, 0),
    (0.001, 0.1, 0, 60, 10, 1),
    (10, 1, 0, 60, 10, 1),
    (10.1, 1, 0, 60, 10, 2),
    (100, 0.5, 0, 60, 10, 5),
    (0, 1, 300, 60, 10, 1),
    (0, 1, 301, 60, 10, 2),
    (0, 0.5, 2000, 20, 10, 10),
    (0, 0.5, 2000, 20, 25, 4),
    (10, 0.5, 2000, 20, 25, 5),
    (0.05, 60, 0, 60, 10, 1),
    (1, 60, 20, 60, 10, 10),
    (30, 0.1, 0, 60, 3, 1),
    (1, 3600, 0, 60, 1, 3600),
]


@pytest.mark.parametrize("row", TABLE)
def test_the_formula(row: tuple[float, float, int, float, int, int]) -> None:
    arrivals, seconds, ready, slo, slots, workers = row
    load = Load(arrivals=arrivals, job_seconds=seconds, ready=ready, slo=slo, slots=slots)
    assert workers_needed([load]) == workers


def test_without_queues_no_worker_is_needed() -> None:
    assert workers_needed([]) == 0


def test_of_several_queues_the_neediest_decides() -> None:
    loads = [replace(IDLE, arrivals=arrivals) for arrivals in (5, 35, 12)]
    assert workers_needed(loads) == 4


def test_under_a_cap_the_queues_share_the_slots() -> None:
    loads = [replace(IDLE, arrivals=arrivals) for arrivals in (5, 35, 12)]
    assert workers_needed(loads, cap=10) == 6
    assert workers_needed(loads, cap=100) == 4


def test_a_cap_below_a_queue_s_own_slots_is_what_a_worker_has() -> None:
    assert workers_needed([replace(IDLE, arrivals=20)], cap=5) == 4


def test_no_worker_is_wanted_for_what_a_rate_limit_keeps_back() -> None:
    load = replace(IDLE, arrivals=100, ready=10_000, rate=20)
    assert slots_needed(load) == pytest.approx(20)
    assert slots_needed(replace(load, rate=math.inf)) > 400


# arrivals, seconds a job, ready, active: slots
LONG = [
    (10 / 1800, 1800, 10, 0, 10),
    (10 / 1800, 1800, 0, 10, 10),
    (0.1, 1800, 0, 180, 180),
    (0, 1800, 1, 0, 1),
    (0.1, 1, 0, 0, 0.1),
    (0, 0.5, 2000, 0, 2000 * 0.5 / 30),
]


@pytest.mark.parametrize("row", LONG)
def test_no_slot_is_wanted_that_no_job_would_fill(row: tuple[float, float, int, float, float]) -> None:
    arrivals, seconds, ready, active, slots = row
    load = replace(IDLE, arrivals=arrivals, job_seconds=seconds, ready=ready, active=active)
    assert slots_needed(load) == pytest.approx(slots, abs=0.2)


@pytest.mark.parametrize("wrong", [{"slo": 0}, {"slo": -1}, {"slots": 0}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="has to"):
        replace(IDLE, **wrong)


loads = st.builds(
    Load,
    arrivals=st.floats(0, 1e4),
    job_seconds=st.floats(0, 1e3),
    ready=st.integers(0, 10**6),
    slo=st.floats(0.1, 1e4),
    slots=st.integers(1, 500),
    active=st.integers(0, 10**5) | st.just(math.inf),
)


@given(loads)
def test_the_slots_of_the_answer_suffice_and_those_of_one_worker_fewer_do_not(load: Load) -> None:
    workers, needed = workers_needed([load]), slots_needed(load)
    assert workers * load.slots >= needed * (1 - 1e-6) - 1e-6
    assert (workers - 1) * load.slots < needed or workers == 0


@given(loads, st.integers(1, 10_000))
def test_more_waiting_never_wants_fewer(load: Load, more: int) -> None:
    assert workers_needed([replace(load, ready=load.ready + more)]) >= workers_needed([load])


# ready, wait, cpu: by how much it changes
THRESHOLDS = [
    (100, 60, 80, 0),
    (101, 0, None, +1),
    (0, 60.5, None, +1),
    (0, 0, 81, +1),
    (0, 0, 60, 0),
    (0, 0, 30, -1),
    (0, 0, None, -1),
    (1, 1, 10, 0),
    (5, 0, None, 0),
]


@pytest.mark.parametrize(("ready", "wait", "cpu", "change"), THRESHOLDS)
def test_the_threshold_rule(ready: int, wait: float, cpu: float | None, change: int) -> None:
    assert by_threshold(4, ready=ready, wait=wait, cpu=cpu) == 4 + change


PACE = Pace(least=1, most=10, scale_in_after=60, cooldown=20)


def drive(pace: Pace, *wanted: tuple[float, int], workers: int = 1) -> list[Decision]:
    """Return how a fleet goes that is asked for these numbers of workers at these times."""
    course, said = Course(workers, since=0.0), []
    for now, desired in wanted:
        course, decision = steer(course, desired, now, pace)
        assert course.workers == decision.workers
        said.append(decision)
    return said


def test_it_scales_out_at_once_and_again_at_once() -> None:
    assert drive(PACE, (0, 4), (1, 7), (1.5, 8)) == [
        Decision(4, "out"),
        Decision(7, "out"),
        Decision(8, "out"),
    ]


def test_it_keeps_within_its_limits() -> None:
    assert [one.workers for one in drive(PACE, (0, 400), (100, 0), (200, 0))] == [10, 10, 1]


def test_it_scales_in_when_less_was_wanted_for_long_enough() -> None:
    said = drive(PACE, (0, 5), (10, 1), (60, 1), (69, 1), (71, 1))
    assert [one.workers for one in said] == [5, 5, 5, 5, 1]
    assert said[1].why == "until it lasts"
    assert said[4].why == "in"


def test_it_goes_down_only_to_the_most_that_was_wanted_meanwhile() -> None:
    said = drive(PACE, (0, 8), (30, 3), (50, 1), (61, 1), (91, 1), (111, 1))
    assert [one.workers for one in said] == [8, 8, 8, 8, 3, 1]


def test_what_was_wanted_is_wanted_until_something_else_is() -> None:
    said = drive(PACE, (0, 8), (1000, 1), (1061, 1))
    assert [one.workers for one in said] == [8, 8, 1]


def test_a_load_that_comes_and_goes_does_not_move_it() -> None:
    said = drive(PACE, *((now, 5 if now % 40 == 0 else 2) for now in range(0, 400, 10)))
    assert {one.workers for one in said} == {5}


def test_it_lets_nobody_go_before_it_has_watched_for_long_enough() -> None:
    said = drive(PACE, (0, 1), (59, 1), (60, 1), workers=6)
    assert [one.workers for one in said] == [6, 6, 1]


def test_after_a_change_it_cools_down_before_it_scales_in() -> None:
    pace = replace(PACE, scale_in_after=0)
    said = drive(pace, (0, 4), (5, 1), (21, 1))
    assert said == [Decision(4, "out"), Decision(4, "cooling down"), Decision(1, "in")]


def test_a_steady_fleet_cools_down_before_it_scales_out_too() -> None:
    said = drive(replace(PACE, steady=True), (0, 2), (5, 3), (20, 3))
    assert said == [Decision(2, "out"), Decision(2, "cooling down"), Decision(3, "out")]


def test_a_fleet_below_its_least_is_not_kept_waiting() -> None:
    assert drive(replace(PACE, steady=True), (0, 0), (1, 0), workers=0)[0] == Decision(1, "out")


def test_a_fleet_above_its_most_comes_down_to_it() -> None:
    assert drive(PACE, (0, 50), workers=30) == [Decision(10, "in")]


@given(st.lists(st.tuples(st.floats(0.1, 50), st.integers(0, 50)), max_size=60))
def test_whatever_is_wanted_it_is_never_outside_its_limits_nor_behind_what_is_wanted(
    steps: list[tuple[float, int]],
) -> None:
    now, wanted = 0.0, []
    for pause, desired in steps:
        now += pause
        wanted.append((now, desired))
    for (_, desired), decision in zip(wanted, drive(PACE, *wanted), strict=True):
        assert 1 <= decision.workers <= 10
        assert decision.workers >= min(desired, 10)
