"""Tallies: counts and buckets."""

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from rota.telemetry.metrics.tally import Buckets, Tally

BOUNDS = (0.1, 1.0, 10.0)


def test_a_tally_counts_by_labels() -> None:
    tally = Tally()
    tally.add(("email", "send"))
    tally.add(("email", "send"), 2)
    tally.add(("email", "check"))
    assert tally.read() == [(("email", "send"), 3), (("email", "check"), 1)]


def test_what_a_tally_begins_with_shows_before_it_is_counted() -> None:
    assert Tally([("stale",)]).read() == [(("stale",), 0)]


@given(st.lists(st.floats(0, 100) | st.sampled_from(BOUNDS)), st.integers(0, 50))
def test_each_value_is_in_the_first_bucket_that_it_does_not_exceed(values: list[float], tidy_at: int) -> None:
    buckets = Buckets(BOUNDS)
    expected = [0] * (len(BOUNDS) + 1)
    for index, value in enumerate(values):
        buckets.add([value])
        expected[bisect_left(BOUNDS, value)] += 1
        if index == tidy_at:
            buckets.tidy()
    spread = buckets.spread(("a",))
    assert spread.labels == ("a",)
    assert list(spread.counts) == expected
    assert abs(spread.sum - sum(values)) < 1e-6
    assert len(buckets) == len(values)


def test_many_values_take_no_room_once_they_are_tidied() -> None:
    buckets = Buckets(BOUNDS)
    before = buckets.spread(())
    for _ in range(10):
        for _ in range(1000):
            buckets.add([0.5])
        buckets.tidy()
    assert buckets.spread(()).counts == (0, 10_000, 0, 0)
    assert before.counts == (0, 0, 0, 0), "what was read stays as it was"
    buckets.add([0.5])
    assert len(buckets) == 10_001
