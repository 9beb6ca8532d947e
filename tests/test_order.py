"""Where several processes run the tests, each begins with long ones."""

from pathlib import Path

import pytest

from tests.order import LENGTHS, in_shares


def test_each_share_begins_with_long_tests_and_ends_with_short_ones_and_none_is_lost() -> None:
    faults = [(f"faults/test_{file}.py", f"fault {file}{number}") for file in "abc" for number in range(2)]
    units = [("unit/test_a.py", f"unit {number}") for number in range(13)]
    ordered = in_shares([*faults, *units], 3)
    assert sorted(ordered) == sorted(test for _, test in (*faults, *units))
    # 19 tests: xdist gives 6 to the first two processes, and 7 to the third.
    starts = (0, 6, 12)
    assert [ordered[start : start + 2] for start in starts] == [
        [f"fault {one}0", f"fault {one}1"] for one in "abc"
    ]
    assert all(one.startswith("unit") for start in starts for one in ordered[start + 2 : start + 6])


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_files_stay_whole_where_there_are_few_short_tests(processes: int) -> None:
    tests = [(f"stories/test_{file}.py", f"{file}{number}") for file in "ab" for number in range(3)]
    ordered = in_shares(tests, processes)
    assert sorted(ordered) == sorted(test for _, test in tests)
    assert "".join(ordered) in ("a0a1a2b0b1b2", "b0b1b2a0a1a2")


def test_what_is_long_is_there() -> None:
    assert [name for name in LENGTHS if not (Path(__file__).parent / name).exists()] == []
