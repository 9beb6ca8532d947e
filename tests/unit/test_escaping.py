"""Escaping: what strangers write is shown, and does nothing."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from rota.escaping import escaped, indented, plain


def test_text_that_shows_stays_as_it_is() -> None:
    assert escaped("sent to Zoë, 漢字 🙂") == "sent to Zoë, 漢字 🙂"


def test_every_character_that_does_not_show_is_escaped() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    assert escaped(everything).isprintable()
    assert escaped("a\nb\x1b\u2028\u202e") == "a\\nb\\x1b\\u2028\\u202e"


@given(st.text())
def test_each_line_of_a_block_is_set_in(text: str) -> None:
    assert all(line.startswith("    ") and line.isprintable() for line in indented(text).split("\n"))


def test_values_that_are_no_text_are_shown_by_their_repr() -> None:
    assert plain(["a\u2028"]) == "['a\\u2028']"
    assert (plain(None), plain(True), plain(1.5)) == (None, True, 1.5)
