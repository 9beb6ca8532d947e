"""Reading entries of the streams of events and records: all that the scripts write, and whatever else may lie there."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.wire.claims import encode_id
from rota.wire.events import RawEvent, Record, read_events, read_records

ENTRY = b"1767225600000-0"
STARTED = ["started", "q", "q:1", "send", 1, {"worker": "w", "due": 1_767_225_600_000}]
ENDED = ["completed", "q", "q:1", "send", 1]


def fields(*rows: Any, **raw: bytes) -> dict[bytes, bytes]:
    return {b"e": json.dumps(rows).encode(), **{name.encode(): value for name, value in raw.items()}}


def test_an_entry_has_the_events_of_one_call_each_with_a_place_of_its_own() -> None:
    assert read_events(ENTRY, fields(STARTED, ENDED)) == [
        RawEvent(
            "1767225600000-0.0", "started", "q", "q:1", "send", 1, {"worker": "w", "due": 1_767_225_600_000}
        ),
        RawEvent("1767225600000-0.1", "completed", "q", "q:1", "send", 1, {}),
    ]


def test_a_row_with_many_ids_is_an_event_of_each() -> None:
    many = ["started", "q", ["q:1", "q:2"], "send", 1, {"worker": "w", "due": [7, 8]}]
    alike = ["enqueued", "q", ["q:1", "q:2"], "send", 0, {"due": 9}]
    plain = ["completed", "q", ["q:3", "q:4"], "send", 1]
    found = read_events(ENTRY, fields(many, ENDED, alike, plain))
    assert [(event.position.partition(".")[2], event.type, event.id, event.extras) for event in found] == [
        ("0", "started", "q:1", {"worker": "w", "due": 7}),
        ("1", "started", "q:2", {"worker": "w", "due": 8}),
        ("2", "completed", "q:1", {}),
        ("3", "enqueued", "q:1", {"due": 9}),
        ("4", "enqueued", "q:2", {"due": 9}),
        ("5", "completed", "q:3", {}),
        ("6", "completed", "q:4", {}),
    ]


def test_a_row_whose_times_are_not_those_of_its_ids_is_read_as_it_stands() -> None:
    found = read_events(ENTRY, fields(["started", "q", ["q:1", "q:2"], "send", 1, {"due": [7]}]))
    assert [event.extras for event in found] == [{"due": [7]}] * 2
    assert read_events(ENTRY, fields(["started", "q", ["q:1", 2, ["q:3"]], "send", 1])) == [
        RawEvent("1767225600000-0.0", "started", "q", "q:1", "send", 1, {})
    ]


def test_a_record_has_the_raw_values_that_lie_beside_it() -> None:
    first, second = read_records(ENTRY, fields(STARTED, ENDED, p0=b"\xff{}", d1=b"[1]", d7=b"none's"))
    extras = {"worker": "w", "due": 1_767_225_600_000}
    assert first == Record("1767225600000-0.0", "started", "q", "q:1", "send", 1, extras, b"\xff{}", None)
    assert second == Record("1767225600000-0.1", "completed", "q", "q:1", "send", 1, {}, None, b"[1]")


def test_an_id_of_any_bytes_comes_back_and_elsewhere_a_character_stands_in_for_them() -> None:
    raw = b'[["lost","q","\xff\xc3","n\xffme",0,{"message":"\xffa"}]]'
    (event,) = read_events(ENTRY, {b"e": raw})
    assert encode_id(event.id) == b"\xff\xc3"
    assert (event.task, event.extras) == ("n\ufffdme", {"message": "\ufffda"})


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {b"type": b"completed", b"queue": b"q", b"id": b"1"},
        *({b"e": text} for text in (b"", b"[", b"\xff", b"1", b"null", b'{"a":1}', b"[" * 100_000, b"[[]]")),
        {b"e": b"9" * 10_000},
    ],
    ids=["empty", "old", *map(str, range(9))],
)
def test_an_entry_that_is_none_has_no_events(raw: dict[bytes, bytes]) -> None:
    assert read_events(ENTRY, raw) == []
    assert read_records(ENTRY, raw) == []


@pytest.mark.parametrize(
    "row",
    [
        *(None, 1, "started", {}, [], ENDED[:4]),
        *([*ENDED[:4], attempt] for attempt in (None, "1", True, -1, 1.5, 10**30)),
        *([*ENDED[:place], None, *ENDED[place + 1 :]] for place in range(5)),
        [*ENDED[:2], "\ud800", *ENDED[3:]],
    ],
)
def test_what_is_no_event_is_passed_over_and_those_beside_it_keep_their_places(row: Any) -> None:
    found = read_records(ENTRY, fields(STARTED, row, ENDED, d2=b"[1]"))
    assert [(one.position[-2:], one.type, one.detail) for one in found] == [
        (".0", "started", None),
        (".2", "completed", b"[1]"),
    ]


def test_what_a_later_version_adds_to_an_event_is_passed_over() -> None:
    (event,) = read_events(ENTRY, fields([*STARTED, {"more": 1}]))
    assert event.extras == STARTED[5]
    (event,) = read_events(ENTRY, fields([*ENDED, "more"]))
    assert event.extras == {}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.binary(max_size=40)
    | st.lists(st.lists(_VALUES, max_size=7), max_size=4).map(lambda rows: json.dumps(rows).encode())
)
def test_no_entry_can_harm_its_reader(raw: bytes) -> None:
    for record in read_records(ENTRY, {b"e": raw}):
        encode_id(record.id)
        f"{record.type}{record.queue}{record.task}".encode()
