from asyncio import CancelledError
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from rota.errors import Cancel, JobError, UnreadablePayload
from rota.errors.causes import cause_of
from rota.wire.marks import CANCELLED, ERROR, ESCAPED, dumps, escaped, has_marks, loads, mark_of, unescape

KEYS = st.sampled_from([ERROR, CANCELLED, ESCAPED, "type", "message", "other", "__dunder__"])
TRICKY = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=20,
)


@settings(database=None, deadline=None, max_examples=500)
@given(value=TRICKY)
def test_a_users_dictionary_that_looks_like_a_mark_survives(value: Any) -> None:
    assert unescape(loads(dumps(value)), revive=True) == value
    assert unescape(loads(dumps(value)), revive=False) == value


def test_what_holds_no_mark_is_not_rewritten() -> None:
    raw = b'{"a":[1,2,{"error":3}]}'
    assert escaped(raw) is raw
    assert not has_marks(raw)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def written(error: BaseException) -> dict[str, Any]:
    body: dict[str, Any] = from_json(dumps(mark_of(error)))[ERROR]
    return body


def test_an_exception_travels_as_its_words() -> None:
    body = written(raised(ValueError("boom")))
    assert (body["type"], body["message"]) == ("ValueError", "boom")
    assert body["traceback"].startswith("Traceback (most recent call last):")
    assert body["traceback"].endswith("ValueError: boom\n")


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@dataclass
class Fields(Exception):
    code: int


def test_a_type_is_named_with_its_module() -> None:
    assert written(Odd())["type"] == f"{__name__}.Odd"
    assert written(KeyError("x"))["type"] == "KeyError"


def test_an_exception_without_words_is_written_still() -> None:
    assert written(raised(Odd()))["message"] == "(its message could not be made)"


def test_odd_characters_and_long_words_are_written_still() -> None:
    assert written(ValueError("a\udc80"))["message"] == "a\\udc80"
    assert written(JobError("\ud800", "\ud800", "\ud800"))["type"] == "\\ud800"
    assert len(written(ValueError("x" * 1_000_000))["message"]) == 2_000


def _sink(depth: int) -> None:
    if depth == 0:
        raise ValueError("x" * 100_000)
    _sink(depth - 1)


def test_the_traceback_keeps_its_last_frames_whatever_the_message() -> None:
    try:
        _sink(200)
    except ValueError as error:
        trace = written(error)["traceback"]
    assert len(trace) <= 8_000
    assert "in _sink" in trace
    assert "ValueError: xxx" in trace


def test_the_traceback_shows_the_cause_and_the_members_of_a_group() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ExceptionGroup("several", [OSError("one of them")]) from error
    except ExceptionGroup as group:
        trace = written(group)["traceback"]
    assert "KeyError: 'inner'" in trace
    assert "OSError: one of them" in trace


@pytest.mark.parametrize("error", [CancelledError("by hand"), Cancel("by hand")])
def test_a_cancellation_travels_as_one(error: BaseException) -> None:
    raw = dumps(mark_of(error))
    assert raw == b'{"__cancelled__":"by hand"}'
    revived = unescape(loads(raw), revive=True)
    assert isinstance(revived, CancelledError)
    assert revived.args == ("by hand",)


def test_an_exception_inside_a_value_is_marked_and_revived() -> None:
    raw = dumps({"all": [ValueError("a"), {ERROR: 1}]})
    first, second = unescape(loads(raw), revive=True)["all"]
    assert isinstance(first, JobError)
    assert str(first) == "ValueError: a"
    assert second == {ERROR: 1}


def test_an_error_passed_on_keeps_its_first_words() -> None:
    error = JobError("ValueError", "boom", "Traceback…")
    kept = {"type": "ValueError", "message": "boom", "traceback": "Traceback…"}
    assert written(error) == {**kept, "cause": cause_of(error, "ValueError")}


@pytest.mark.parametrize("mark", [{ERROR: "text"}, {ERROR: {"type": 5, "message": ""}}, {CANCELLED: 5}])
def test_a_mark_of_another_shape_stays_a_dictionary(mark: dict[str, Any]) -> None:
    assert unescape(mark, revive=True) == mark


@pytest.mark.parametrize("value", [object(), {"a": [lambda: None]}, "\ud800"])
def test_what_json_cannot_carry_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="JSON can carry"):
        dumps(value)


def test_a_circle_is_a_type_error() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(TypeError, match="JSON can carry"):
        dumps(circle)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b"\x80\x04K\x01.", "5 bytes that are a pickle"),
        (b"{", "1 bytes that are not JSON"),
        (b"NaN", "not JSON"),
    ],
)
def test_other_bytes_are_unreadable_and_say_what_they_look_like(raw: bytes, named: str) -> None:
    with pytest.raises(UnreadablePayload, match=named):
        loads(raw)
