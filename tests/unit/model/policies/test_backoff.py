import random
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.model.policies.backoff import Backoff, BackoffKind, exponential, fixed, linear, none


def middle() -> float:
    return 0.5


def waits(backoff: Backoff, attempts: int = 4) -> list[float]:
    return [backoff.delay(attempt, middle) for attempt in range(1, attempts + 1)]


def test_the_default_waits_one_two_and_four_seconds() -> None:
    assert waits(Backoff(), 3) == [1.0, 2.0, 4.0]
    assert exponential() == Backoff()


def test_the_default_jitter_is_ten_percent_either_way() -> None:
    assert Backoff().delay(1, lambda: 0.0) == pytest.approx(0.9)
    assert Backoff().delay(1, lambda: 1.0) == pytest.approx(1.1)
    rolled = [Backoff().delay(3) for _ in range(2_000)]
    assert 3.6 <= min(rolled) < 3.7
    assert 4.3 < max(rolled) <= 4.4


def test_each_kind_has_its_schedule() -> None:
    assert waits(exponential(3, 3)) == [3, 9, 27, 81]
    assert waits(linear(5, 2)) == [5, 7, 9, 11]
    assert waits(linear(5)) == [5, 10, 15, 20]
    assert waits(fixed(7)) == [7, 7, 7, 7]
    assert waits(none()) == [0, 0, 0, 0]


def test_the_ceiling_bounds_the_wait_with_its_jitter() -> None:
    backoff = exponential(1, 2, ceiling=10)
    assert backoff.delay(20, lambda: 1.0) == 10
    assert backoff.delay(20, lambda: 0.0) == pytest.approx(9)


def test_a_fixed_wait_is_spread_around_what_was_asked() -> None:
    assert fixed(100).delay(1, lambda: 1.0) == pytest.approx(110)
    assert fixed(100).delay(1, lambda: 0.0) == pytest.approx(90)


def test_the_ten_thousandth_attempt_waits_the_ceiling() -> None:
    assert exponential().delay(10_000, middle) == 3600
    assert exponential(base=0).delay(10_000, middle) == 0


NUMBERS = st.floats(0, 1e300)


@settings(database=None, deadline=None)
@given(
    backoff=st.builds(
        Backoff,
        st.sampled_from(get_args(BackoffKind)),
        NUMBERS,
        st.floats(1, 1e300),
        NUMBERS,
        st.floats(0, 1),
    ),
    attempt=st.integers(1, 10**6),
    seed=st.integers(),
)
def test_a_wait_is_never_negative_and_never_over_the_ceiling(
    backoff: Backoff, attempt: int, seed: int
) -> None:
    assert 0 <= backoff.delay(attempt, random.Random(seed).random) <= backoff.ceiling


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"kind": "quadratic"}, "choose one of: exponential, linear, fixed, none"),
        ({"base": -1}, "backoff base is -1"),
        ({"ceiling": float("inf")}, "backoff ceiling is inf"),
        ({"base": float("nan")}, "backoff base is nan"),
        ({"base": True}, "backoff base is True"),
        ({"base": "1"}, "backoff base is '1'"),
        ({"jitter": 1.5}, "a fraction from 0 to 1"),
        ({"factor": 0.5}, "backoff factor is 0.5"),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Backoff(**fields)


def test_a_fixed_wait_of_text_is_refused() -> None:
    with pytest.raises(ValueError, match="backoff base is '5'"):
        fixed("5")  # type: ignore[arg-type]


def test_attempts_count_from_one() -> None:
    with pytest.raises(ValueError, match="attempts count from 1"):
        Backoff().delay(0)


@pytest.mark.parametrize("backoff", [exponential(2, 3, 50, 0.2), linear(5, 2), fixed(7), none()])
def test_a_backoff_travels(backoff: Backoff) -> None:
    assert Backoff.from_wire(backoff.wire()) == backoff
    assert Backoff.from_wire({**backoff.wire(), "from_a_later_version": 1}) == backoff
