"""The series of a history: steps in UTC, what falls into them, marks, and what cannot be asked for."""

from datetime import UTC, datetime, timedelta

import pytest

from rota.model.history.scale import ERROR
from rota.model.history.series import DeployMark, Window, fold
from rota.model.history.tallies import Tallies

#: A day on which clocks in Europe go back: of no matter here.
NOON = datetime(2026, 10, 25, 12, 0, 30, tzinfo=UTC).timestamp()
HOUR, MINUTE = 3600, 60


def completed(number: int) -> Tallies:
    return Tallies({0: number})


def test_steps_begin_at_whole_multiples_in_utc_and_the_last_one_goes_on() -> None:
    history = fold("email", Window.of(24 * HOUR, HOUR, 100), NOON, [], [])
    assert len(history.points) == 25
    assert history.points[0].at == datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert history.points[-1].at == datetime(2026, 10, 25, 12, tzinfo=UTC)
    distances = {
        later.at - earlier.at for earlier, later in zip(history.points, history.points[1:], strict=False)
    }
    assert distances == {timedelta(hours=1)}


def test_a_day_s_steps_begin_at_midnight_in_utc() -> None:
    history = fold("email", Window.of(72 * HOUR, 24 * HOUR, 100), NOON, [], [])
    assert {point.at.hour for point in history.points} == {0}


def test_what_was_counted_in_a_minute_is_in_its_step_and_in_no_other() -> None:
    minute = int(NOON) // MINUTE * MINUTE
    # Before the first step, at its beginning, at the end of the last but one, now, and in the future.
    begin = minute - 2 * HOUR
    minutes = [
        (begin - MINUTE, completed(100)),
        (begin, completed(1)),
        (minute - MINUTE, completed(2)),
        (minute, completed(4)),
        (minute + MINUTE, completed(100)),
    ]
    history = fold("email", Window.of(2 * HOUR, HOUR, 100), NOON, minutes, [])
    assert [point.completed for point in history.points] == [1, 2, 4]
    assert history.total.completed == 7


def test_a_point_has_each_outcome_and_the_percentiles() -> None:
    tallies = Tallies(dict(enumerate((1, 2, 3, 4, 5, 6, 7))), {31: 20}, {41: 18, 51: 2})
    (*_, point) = fold("email", Window.of(60, 60, 100), NOON, [(int(NOON) - 30, tallies)], []).points
    assert (point.completed, point.retried, point.dead, point.cancelled) == (1, 2, 3, 4)
    assert (point.lost, point.snoozed, point.interrupted, point.started) == (5, 6, 7, 20)
    assert point.wait.p50 == point.wait.p99 == pytest.approx(1.12, rel=ERROR)
    assert point.run.count == 20
    assert point.run.p50 == point.run.percentile(0.9) == pytest.approx(11.2, rel=ERROR)
    assert point.run.p95 == point.run.p99 == pytest.approx(112, rel=ERROR)


def test_a_series_is_one_value_of_each_point() -> None:
    minute = int(NOON) // MINUTE * MINUTE
    history = fold("email", Window.of(60, 60, 9), NOON, [(minute, Tallies({2: 5}, {31: 1}))], [])
    assert [value for _, value in history.series("dead")] == [0, 5]
    assert [value for _, value in history.series("wait_p95")] == [None, history.points[-1].wait.p95]
    assert [at for at, _ in history.series("started")] == [point.at for point in history.points]
    for name in ("", "wait", "wait_p42", "at", "dead_p50", "_p50"):
        with pytest.raises(ValueError, match="there is no series"):
            history.series(name)


def test_marks_are_those_of_the_time_in_their_order() -> None:
    def mark(hours: float) -> DeployMark:
        return DeployMark(datetime.fromtimestamp(NOON, UTC) - timedelta(hours=hours), "1", "p")

    history = fold("email", Window.of(2 * HOUR, HOUR, 9), NOON, [], [mark(1), mark(0), mark(2), mark(9)])
    assert history.marks == (mark(2), mark(1), mark(0))


@pytest.mark.parametrize(
    ("period", "step"),
    [(60, 60), (HOUR, MINUTE), (8 * HOUR, 300), (24 * HOUR, 900), (72 * HOUR, HOUR)],
)
def test_a_step_that_is_not_said_makes_as_many_points_as_fit(period: float, step: int) -> None:
    assert Window.of(period, None, 100) == (period, step)
    assert Window.of(timedelta(seconds=period), timedelta(seconds=step), 1).step == step


@pytest.mark.parametrize("period", [0, 59, -1, 72 * HOUR + 1, float("nan"), timedelta(days=4)])
def test_a_time_without_a_history_is_refused(period: float | timedelta) -> None:
    with pytest.raises(ValueError, match="the period is"):
        Window.of(period, None, 100)


@pytest.mark.parametrize("step", [0, 1, 90, -60, 60.5, float("nan"), timedelta(days=4)])
def test_a_step_that_is_no_number_of_minutes_is_refused(step: float | timedelta) -> None:
    with pytest.raises(ValueError, match="number of whole minutes"):
        Window.of(HOUR, step, 100)
