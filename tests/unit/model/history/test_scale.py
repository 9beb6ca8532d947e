"""The scale of times: percentiles are off by as much as is said, and by no more."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.model.history.scale import BOUNDS, ERROR, percentile, seconds_of
from rota.telemetry.metrics.tally import Buckets

PARTS = (0.5, 0.95, 0.99)


def counted(values: list[float]) -> dict[int, int]:
    buckets = Buckets(BOUNDS)
    for value in values:
        buckets.add([value])
    return dict(enumerate(buckets.spread(()).counts))


@given(st.lists(st.floats(0.001, BOUNDS[-1]), min_size=1, max_size=200), st.sampled_from(PARTS))
def test_a_percentile_is_off_by_at_most_what_is_said(values: list[float], part: float) -> None:
    exact = sorted(values)[max(0, math.ceil(part * len(values)) - 1)]
    told = percentile(counted(values), part)
    assert told is not None
    assert told / exact - 1 <= ERROR + 1e-9
    assert exact / told - 1 <= ERROR + 1e-9


def test_the_error_that_the_documents_state() -> None:
    assert round(100 * ERROR, 1) == 12.2


def test_without_a_value_there_is_no_percentile() -> None:
    assert percentile({}, 0.5) is None
    assert percentile({3: 0}, 0.5) is None


def test_what_is_off_the_scale_is_told_as_its_end() -> None:
    assert percentile(counted([0.0, 0.0004]), 0.5) == BOUNDS[0] == 0.001
    assert percentile(counted([1e9]), 0.5) == BOUNDS[-1]
    assert seconds_of(-1) == BOUNDS[0]
    assert seconds_of(99) == BOUNDS[-1]


def test_half_of_the_values_are_below_the_median() -> None:
    counts = counted([0.0009, 0.01, 0.02, 5.0])
    assert [percentile(counts, part) for part in (0.0, 0.25)] == [0.001, 0.001]
    assert percentile(counts, 0.5) == pytest.approx(0.01, rel=ERROR)
    assert percentile(counts, 0.75) == pytest.approx(0.02, rel=ERROR)
    assert percentile(counts, 1.0) == pytest.approx(5.0, rel=ERROR)


@pytest.mark.parametrize("part", [-0.1, 1.1, 95, float("nan")])
def test_a_part_that_is_none_is_refused(part: float) -> None:
    with pytest.raises(ValueError, match="is not a part from 0 to 1"):
        percentile({1: 1}, part)
