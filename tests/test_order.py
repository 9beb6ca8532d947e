"""Where several processes run the tests, each has its share of the long ones."""

from pathlib import Path

import pytest

from tests.order import LENGTHS, in_shares


def test_each_share_has_long_tests_with_short_ones_between_and_ends_with_short_ones_and_none_is_lost() -> (
    None
):
    faults = [(f"faults/test_{file}.py", f"fault {file}{number}") for file in "abcdef" for number in range(2)]
    units = [(f"unit/test_{file}.py", f"unit {file}{number}") for file in "abcdefghi" for number in range(3)]
    ordered = in_shares([*faults, *units], 3)
    assert sorted(ordered) == sorted(test for _, test in (*faults, *units))
    # 39 tests: xdist gives 13 to each of the processes. Two faults, as many units as there is room for, and so on.
    for start, (first, second) in ((0, "ad"), (13, "be"), (26, "cf")):
        share = ordered[start : start + 13]
        assert share[:2] == [f"fault {first}0", f"fault {first}1"]
        assert share[5:7] == [f"fault {second}0", f"fault {second}1"]
        assert all(one.startswith("unit") for one in share[2:5] + share[7:])


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_files_stay_whole_where_there_are_few_short_tests(processes: int) -> None:
    tests = [(f"stories/test_{file}.py", f"{file}{number}") for file in "ab" for number in range(3)]
    ordered = in_shares(tests, processes)
    assert sorted(ordered) == sorted(test for _, test in tests)
    assert "".join(ordered) in ("a0a1a2b0b1b2", "b0b1b2a0a1a2")


def test_what_is_long_is_there() -> None:
    assert [name for name in LENGTHS if not (Path(__file__).parent / name).exists()] == []
