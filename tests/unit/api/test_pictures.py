"""Charts: what happened in a step is drawn where the step is, a gap stays one, and all of it is said in words."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from rota.api.pages.pictures import Bar, Chart, became, spans, sparkline
from rota.model.history.scale import BOUNDS
from rota.model.history.series import DeployMark, Distribution, HistoryPoint

BEGIN = datetime(2027, 1, 4, 12, tzinfo=UTC)


def taking(*seconds: float) -> Distribution:
    """Return the distribution of these times, each the upper bound of its bucket at the latest."""
    counts: dict[int, int] = {}
    for one in seconds:
        place = next(place for place, bound in enumerate(BOUNDS) if one <= bound)
        counts[place] = counts.get(place, 0) + 1
    return Distribution(counts)


def waits(*steps: Distribution, limit: float | None = None, marks: Iterable[DeployMark] = ()) -> Chart:
    given = [(BEGIN + timedelta(minutes=place), one) for place, one in enumerate(steps)]
    return spans("Waits", given, steps[0], marks, limit)


def shape(chart: Chart, kind: str) -> str:
    (path,) = [one.path for one in chart.shapes if one.kind == kind]
    return path


def test_a_bar_stands_on_what_completed_and_is_as_high_as_its_part_of_the_scale() -> None:
    points = [
        HistoryPoint(at=BEGIN, completed=20, dead=20),
        HistoryPoint(at=BEGIN + timedelta(minutes=1)),
        HistoryPoint(at=BEGIN + timedelta(minutes=2), completed=1),
    ]
    chart = became("Ended", [[one] for one in points], [])
    assert [tick.words for tick in chart.ticks] == ["40 jobs", "20", "0"]
    assert shape(chart, "completed") == "M1 100.0v-50.0h8v50.0zM21 100.0v-2.5h8v2.5z"
    assert shape(chart, "failed") == "M1 50.0v-50.0h8v50.0z"
    assert [(step.x, step.told) for step in chart.steps] == [
        (0, ("0", "20", "0", "20")),
        (20, ("0", "1", "0", "0")),
    ]
    assert (
        chart.steps[1].sentence == "12:02 UTC: started 0, completed 1, retried, lost or cancelled 0, died 0"
    )


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (1, ["1 job", "0.5", "0"]),
        (700_000, ["800,000 jobs", "400,000", "0"]),
        (1_100_000, ["2 M jobs", "1 M", "0"]),
        (9_000_000_000, ["10,000 M jobs", "5,000 M", "0"]),
    ],
)
def test_the_figures_of_a_scale_are_round_and_short(most: int, ticks: list[str]) -> None:
    chart = became("Ended", [[HistoryPoint(at=BEGIN, completed=most)]])
    assert [tick.words for tick in chart.ticks] == ticks


def test_one_job_among_thousands_is_still_to_be_seen_and_no_bar_leaves_the_chart() -> None:
    drawn = sparkline([Bar(10_000, 1)], "all")
    assert 'class="failed" d="M1 2.0v-2.0h8v2.0z"' in drawn
    assert 'class="completed" d="M1 100.0v-98.0h8v98.0z"' in drawn


def test_a_line_is_broken_where_nothing_ran_and_a_step_alone_is_still_drawn() -> None:
    some, none = taking(0.1), Distribution()
    chart = waits(some, some, none, some)
    height = shape(chart, "p50").split()[1].partition("L")[0]
    assert shape(chart, "p50") == f"M5 {height}L15 {height}M31 {height}L39 {height}"
    assert shape(chart, "many").count("z") == 2
    assert [step.x for step in chart.steps] == [0, 10, 30]


@pytest.mark.parametrize(
    ("limit", "lowest", "highest"),
    [(None, "100 ms", "10 s"), (60, "100 ms", "1 min"), (0.005, "1 ms", "10 s")],
)
def test_the_scale_has_all_times_and_the_objective(limit: float | None, lowest: str, highest: str) -> None:
    chart = waits(taking(0.5), taking(2.0), limit=limit)
    assert (chart.ticks[0].words, chart.ticks[-1].words) == (lowest, highest)
    assert (chart.ticks[0].y, chart.ticks[-1].y) == (100, 0)
    heights = [float(one.split()[1]) for one in shape(chart, "p50")[1:].split("L")]
    assert 100 > heights[0] > heights[1] > 0, "the longer one is higher"


def test_times_beyond_the_scale_are_drawn_at_its_end() -> None:
    chart = waits(taking(BOUNDS[-1]), limit=100 * 86_400)
    assert shape(chart, "limit") == "M0 0.0H10"


def test_a_deploy_stands_where_it_was_and_once_for_all_queues() -> None:
    marks = [DeployMark(BEGIN + timedelta(seconds=later), "v2", "one") for later in (90, 30)]
    times = waits(taking(1), taking(1), marks=marks).times
    assert [(mark.version, x) for mark, x in times.deploys] == [("v2", 5.0)]


def test_days_are_told_where_a_time_of_day_would_not_do() -> None:
    hours = [(BEGIN + timedelta(hours=place), taking(1)) for place in range(25)]
    assert spans("Runs", hours, taking(1)).times.is_long
    assert not spans("Runs", hours[:24], taking(1)).times.is_long
