"""Escaping: text that others write is shown, and has no effect on a terminal."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from rota.telemetry.logs.escaping import cut, escaped, indented, plain, portable


def test_text_that_shows_stays_as_it_is() -> None:
    assert escaped("sent to Zoë, 漢字 🙂") == "sent to Zoë, 漢字 🙂"


def test_every_character_that_does_not_show_is_escaped() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    assert escaped(everything).isprintable()
    assert escaped("a\nb\x1b\u2028\u202e") == "a\\nb\\x1b\\u2028\\u202e"


@given(st.text())
def test_each_line_of_a_block_is_set_in(text: str) -> None:
    assert all(line.startswith("    ") and line.isprintable() for line in indented(text).split("\n"))


def test_what_json_can_carry_is_carried_and_all_else_is_text() -> None:
    assert portable({"a": [1, None, (2.5, "b\n")]}, 100) == {"a": [1, None, [2.5, "b\n"]]}
    assert portable({"a": {1, 2}}, 100) == {"a": "{1, 2}"}
    assert portable({(1, 2): "b\n"}, 100) == "{(1, 2): 'b\\n'}"
    assert portable(float("inf"), 100) == "inf"
    assert portable(2**60, 100) == 2**60


@given(st.text(), st.integers(4, 50))
def test_what_is_cut_shows_its_beginning_and_its_end(text: str, most: int) -> None:
    shown = cut(text, most)
    assert shown == text if len(text) <= most else len(shown) < most + 40
    assert shown.startswith(text[: most // 2])
    assert shown.endswith(text[-(most // 4) :])


def test_values_that_are_no_text_are_shown_by_their_repr() -> None:
    assert plain(["a\u2028"]) == "['a\\u2028']"
    assert (plain(None), plain(True), plain(1.5)) == (None, True, 1.5)
