"""Tallies: what was counted, as text and back, and whatever else may lie there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.model.history.scale import BOUNDS
from rota.model.history.tallies import OUTCOMES, Tallies, minutes_in

COUNTS = st.dictionaries(st.integers(0, len(BOUNDS)), st.integers(1, 10**12), max_size=30)
TALLIES = st.builds(Tallies, COUNTS, COUNTS, COUNTS)


@given(TALLIES)
def test_a_text_says_what_was_counted(tallies: Tallies) -> None:
    assert dict(minutes_in(f"\n59 {tallies.text()}".encode())) == {59: tallies}


def test_a_text_has_neighbours_together_and_no_noughts() -> None:
    tallies = Tallies({0: 1203, 1: 4, 5: 1}, {10: 25, 11: 0, 12: 26}, {})
    assert tallies.text() == "0buHE5B|10Z12bA|"
    assert OUTCOMES[:2] == ("completed", "retried")


def test_nothing_was_counted_where_all_are_noughts() -> None:
    assert not Tallies()
    assert not Tallies({0: 0}, {3: 0})
    assert Tallies({}, {}, {3: 1})


@given(TALLIES, TALLIES)
def test_sums_are_sums(one: Tallies, other: Tallies) -> None:
    whole = Tallies(dict(one.outcomes), dict(one.waits), dict(one.runs))
    whole.add(other)
    for place in range(100):
        for part in ("outcomes", "waits", "runs"):
            expected = getattr(one, part).get(place, 0) + getattr(other, part).get(place, 0)
            assert getattr(whole, part).get(place, 0) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x 0B||",
        b"60 0B||",
        b"7 0B|",
        b"7 0B||||",
        b"7 0-B||",
        b"7 0 B||",
        b"\xff\xfe",
        "\N{ARABIC-INDIC DIGIT SEVEN} 0B||".encode(),
    ],
)
def test_a_line_that_is_none_is_passed_over(line: bytes) -> None:
    assert dict(minutes_in(b"\n" + line + b"\n8 0C||")) == {8: Tallies({0: 2})}


def test_of_a_strange_line_what_is_a_count_counts() -> None:
    text = b"7 C0B_2D99EF100J5A6b7" + b"z" * 400 + b"||"
    assert dict(minutes_in(text)) == {7: Tallies({0: 1, 2: 3, 99: 4})}


@given(st.binary(max_size=200))
def test_whatever_lies_there_is_read_without_an_error(text: bytes) -> None:
    for minute, tallies in minutes_in(text):
        assert 0 <= minute < 60
        assert Tallies.read(*tallies.text().split("|")) == tallies
