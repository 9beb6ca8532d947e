"""Records folded into rows: each thing that can happen to a job, alone, in a row, and in batches cut anywhere."""

from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.errors import JobError
from rota.errors.causes import cause_of
from rota.model.audit.columns import BLANK, moment_of, place_of
from rota.model.audit.folding import Row, fold
from rota.model.event import EventType
from rota.store.values import clean
from rota.wire.envelopes import encode_job
from rota.wire.events import Record
from rota.wire.results import encode_error

BEGAN = 1_767_225_600_000
OURS = encode_job("send", b'{"to":"ann"}', enqueued_ms=BEGAN - 5, headers={"tenant": "acme"})
STOCK = b'{"f":"send","t":null,"a":[],"k":{},"et":%d}' % (BEGAN - 9000)
ERROR = encode_error(JobError("SMTPError", "451 busy, try 7", "a traceback"), failure=True)
ENQUEUED = ("enqueued", 0, {"due": BEGAN + 50})
STARTED = ("started", 1, {"worker": "w-1", "due": BEGAN + 50})

Told = tuple[str, int, dict[str, Any]]


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(BEGAN / 1000 + seconds, UTC)


def records(*told: Told, job_id: str = "email:u1", raw: dict[str, bytes] | None = None) -> list[Record]:
    """Return one record a second; `p0` and `d0` in `raw` are the payload and the detail of the first one."""
    return [
        Record(
            f"{BEGAN + 1000 * number}-0.0",
            kind,
            "email",
            job_id,
            "" if kind == "lost" else "send",
            attempt,
            extras,
            raw.get(f"p{number}") if raw else None,
            raw.get(f"d{number}") if raw else None,
        )
        for number, (kind, attempt, extras) in enumerate(told)
    ]


def row_of(changes: list[Row]) -> Row:
    """Return the row of the only job as the table has it after these changes."""
    whole = {**BLANK, "enqueued_at": at(0)}
    for change in changes:
        # The table keeps the name that it has where none is told.
        whole |= {name: value for name, value in change.items() if name != "name" or value}
    return whole


def only(row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that hold something, without those that all rows of these tests share."""
    shared = {"id": "email:u1", "queue": "email", "name": "send", "enqueued_at": at(0)}
    held = {name: value for name, value in row.items() if value is not None and name != "event"}
    return {name: value for name, value in held.items() if shared.get(name) != value}


WAITS = {"status": "PENDING", "attempts": 0, "due_at": at(0).replace(microsecond=50_000)}
RUNS = WAITS | {"status": "RUNNING", "attempts": 1, "started_at": at(1), "worker": "w-1"}
FAILURE = {
    "error": "SMTPError: 451 busy, try 7",
    "error_key": cause_of(JobError("SMTPError", "451 busy, try 7"), "SMTPError"),
}
LATER = {"due": BEGAN + 9000}

CASES: dict[str, tuple[list[Told], dict[str, bytes], dict[str, Any]]] = {
    "enqueued": ([ENQUEUED], {}, WAITS),
    "started": ([ENQUEUED, STARTED], {}, RUNS),
    "reports": (
        [ENQUEUED, STARTED, ("progress", 0, {"percent": "40", "message": "half"})],
        {},
        RUNS | {"progress": 40.0, "message": "half"},
    ),
    "completed": (
        [ENQUEUED, STARTED, ("completed", 1, {})],
        {"d2": b'{"sent":1}'},
        RUNS | {"status": "COMPLETED", "finished_at": at(2), "progress": 100.0, "result": '{"sent":1}'},
    ),
    "retried": (
        [ENQUEUED, STARTED, ("retried", 1, LATER)],
        {"d2": ERROR},
        RUNS | FAILURE | {"status": "PENDING", "due_at": at(9)},
    ),
    "a retry of which the error was left out but for its beginning": (
        [ENQUEUED, STARTED, ("retried", 1, LATER | {"detail": ERROR[:94].decode()})],
        {},
        RUNS | FAILURE | {"status": "PENDING", "due_at": at(9)},
    ),
    "a retry runs, and keeps the last error": (
        [ENQUEUED, STARTED, ("retried", 1, LATER), ("started", 2, {"worker": "w-2", **LATER})],
        {"d2": ERROR},
        RUNS | FAILURE | {"attempts": 2, "due_at": at(9), "started_at": at(3), "worker": "w-2"},
    ),
    "completed at last, without an error": (
        [ENQUEUED, ("retried", 1, LATER), ("completed", 2, {})],
        {"d1": ERROR},
        WAITS
        | {"status": "COMPLETED", "attempts": 2, "due_at": at(9), "finished_at": at(2), "progress": 100.0},
    ),
    "dead": (
        [ENQUEUED, STARTED, ("dead", 4, {"reason": "failed"})],
        {"d2": ERROR},
        RUNS | FAILURE | {"status": "FAILED", "attempts": 4, "finished_at": at(2), "reason": "failed"},
    ),
    "dead without an error": (
        [ENQUEUED, STARTED, ("dead", 1, {"reason": "expired"})],
        {},
        RUNS | {"status": "FAILED", "finished_at": at(2), "reason": "expired"},
    ),
    "cancelled while it waits": (
        [ENQUEUED, ("cancelled", 0, {"reason": "cancelled"})],
        {"d1": b'{"__cancelled__":"cancelled"}'},
        WAITS | {"status": "CANCELLED", "finished_at": at(1), "reason": "cancelled"},
    ),
    "cancelled by its handler": (
        [ENQUEUED, STARTED, ("cancelled", 1, {})],
        {"d2": b'{"__cancelled__":"no such user"}'},
        RUNS | {"status": "CANCELLED", "finished_at": at(2), "reason": "no such user"},
    ),
    "snoozed, and its attempt not spent": (
        [ENQUEUED, STARTED, ("progress", 0, {"percent": 7.5}), ("snoozed", 1, LATER)],
        {},
        RUNS | {"status": "PENDING", "attempts": 0, "due_at": at(9)},
    ),
    "interrupted": (
        [ENQUEUED, STARTED, ("interrupted", 1, {"due": BEGAN + 50})],
        {},
        RUNS | {"status": "PENDING", "attempts": 0},
    ),
    "lost, of which neither name nor attempt is told": (
        [ENQUEUED, STARTED, ("lost", 0, {})],
        {},
        RUNS | {"status": "PENDING"},
    ),
    "lost after an end that did not come to be": (
        [ENQUEUED, STARTED, ("completed", 1, {}), ("lost", 0, {})],
        {"d2": b"1"},
        RUNS | {"status": "PENDING"},
    ),
    "told twice of its end": (
        [ENQUEUED, STARTED, ("completed", 1, {}), ("completed", 1, {})],
        {"d2": b"1", "d3": b"1"},
        RUNS | {"status": "COMPLETED", "finished_at": at(3), "progress": 100.0, "result": "1"},
    ),
    "enqueued again after its end": (
        [("enqueued", 0, {}), ("dead", 4, {"reason": "failed"}), ("enqueued", 0, {"due": BEGAN + 50})],
        {"p0": STOCK, "d1": ERROR, "p2": OURS},
        WAITS | {"enqueued_at": at(2), "payload": OURS.decode(), "tenant": "acme"},
    ),
    "a tenant's, of which records are without payloads": (
        [("enqueued", 0, {"due": BEGAN + 50, "tenant": "acme"})],
        {},
        WAITS | {"tenant": "acme"},
    ),
    "replaced while it waits for a retry": (
        [
            ENQUEUED,
            STARTED,
            ("retried", 1, LATER),
            ("enqueued", 0, {"reason": "replaced", "due": BEGAN + 50}),
        ],
        {"p0": OURS, "d2": ERROR},
        WAITS | {"enqueued_at": at(3)},
    ),
    "replayed: all attempts before it, and enqueued when it was": (
        [
            ENQUEUED,
            STARTED,
            ("dead", 4, {"reason": "failed"}),
            ("enqueued", 0, {"reason": "replayed", **LATER}),
        ],
        {"p0": OURS, "d2": ERROR},
        RUNS
        | {"status": "PENDING", "attempts": 0, "due_at": at(9), "payload": OURS.decode(), "tenant": "acme"},
    ),
    "rescheduled, and nothing else changes": (
        [ENQUEUED, ("retried", 1, {}), ("enqueued", 0, {"reason": "rescheduled", **LATER})],
        {"p0": OURS, "d1": ERROR},
        WAITS | FAILURE | {"attempts": 1, "due_at": at(9), "payload": OURS.decode(), "tenant": "acme"},
    ),
    "a stock client's, of which the start is the first that is told": (
        [STARTED, ("completed", 1, {})],
        {"p0": STOCK, "d1": b"null"},
        RUNS
        | {"payload": STOCK.decode(), "enqueued_at": at(-9), "started_at": at(0)}
        | {"status": "COMPLETED", "finished_at": at(1), "progress": 100.0, "result": "null"},
    ),
    "a stock client's id that is used again": (
        [STARTED, ("dead", 1, {"reason": "failed"}), STARTED],
        {"p0": STOCK, "d1": ERROR, "p2": STOCK},
        RUNS | {"payload": STOCK.decode(), "enqueued_at": at(-9), "started_at": at(2)},
    ),
    "a stock client's second attempt keeps the error of the first": (
        [STARTED, ("retried", 1, {}), ("started", 2, {})],
        {"p0": STOCK, "d1": ERROR, "p2": STOCK},
        {k: v for k, v in RUNS.items() if k != "worker"}
        | FAILURE
        | {"payload": STOCK.decode(), "enqueued_at": at(-9), "started_at": at(2), "attempts": 2},
    ),
    "a member of a flow": (
        [("enqueued", 0, {"due": BEGAN + 50, "flow": "f1|2|7"}), STARTED],
        {},
        RUNS | {"flow": "f1"},
    ),
}


@pytest.mark.parametrize(("told", "raw", "row"), CASES.values(), ids=CASES)
def test_what_happens_to_a_job_ends_in_its_row(told: list[Told], raw: dict[str, bytes], row: Any) -> None:
    assert only(row_of(fold(records(*told, raw=raw)))) == row


@pytest.mark.parametrize(("told", "raw", "row"), CASES.values(), ids=CASES)
def test_it_does_not_matter_where_batches_are_cut(told: list[Told], raw: dict[str, bytes], row: Any) -> None:
    every = records(*told, raw=raw)
    for cuts in product((False, True), repeat=len(every) - 1):
        batches: list[list[Record]] = [[every[0]]]
        for record, cut in zip(every[1:], cuts, strict=True):
            if cut:
                batches.append([])
            batches[-1].append(record)
        assert only(row_of([change for batch in batches for change in fold(batch)])) == row


def test_a_batch_has_one_change_a_job_in_the_order_of_the_jobs_with_its_last_event() -> None:
    first, second = records(ENQUEUED, STARTED), records(ENQUEUED, job_id="email:u2")
    changes = fold([first[0], second[0], first[1]])
    assert [(one["id"], one["event"]) for one in changes] == [
        ("email:u1", "001767225601000-0000000000.00000"),
        ("email:u2", "001767225600000-0000000000.00000"),
    ]


def test_an_event_that_goes_on_names_only_what_changes() -> None:
    (change,) = fold(records(("progress", 0, {"percent": 10})))
    assert change == {
        "id": "email:u1",
        "event": "001767225600000-0000000000.00000",
        "queue": "email",
        "name": "send",
        "status": "RUNNING",
        "progress": 10.0,
        "message": None,
    }


def test_a_job_of_which_no_name_is_told_has_none() -> None:
    (change,) = fold(records(("lost", 0, {})))
    assert change["name"] == ""


def test_a_row_has_the_version_that_ran_the_job_last() -> None:
    enqueued, old, lost, new, done = records(
        ENQUEUED, STARTED, ("lost", 0, {}), ("started", 1, {"worker": "w-2"}), ("completed", 1, {})
    )
    old, new = old._replace(version="1"), new._replace(version="2")
    # What another worker tells of it does not change that.
    lost = lost._replace(version="3")
    assert row_of(fold([enqueued]))["version"] is None
    assert row_of(fold([enqueued, old, lost]))["version"] == "1"
    assert row_of(fold([enqueued, old, lost, new, done]))["version"] == "2"
    assert row_of(fold([enqueued, old, lost, new._replace(version="")]))["version"] is None


def test_a_job_that_died_without_a_start_has_the_version_that_gave_it_up() -> None:
    enqueued, started, dead = records(ENQUEUED, STARTED, ("dead", 0, {"reason": "unreadable"}))
    assert row_of(fold([enqueued, dead._replace(version="2")]))["version"] == "2"
    assert row_of(fold([enqueued, started._replace(version="1"), dead]))["version"] == "1"


def test_flows_as_a_whole_and_events_of_later_versions_make_no_row() -> None:
    whole = Record("1-0.0", "enqueued", "", "f1", "pipeline", 0, {}, None, None)
    later = Record("1-0.1", "evaporated", "email", "email:u1", "send", 0, {}, None, None)
    assert fold([whole, later]) == []


def test_positions_sort_as_text_as_the_stream_sorts_them() -> None:
    positions = ["9-0.0", "10-2.9", "10-2.10", "10-10.0", f"{BEGAN}-0.0"]
    places = [place_of(position) for position in positions]
    assert places == sorted(places)
    assert {len(place) for place in places} == {32}
    furthest = f"{2**64 - 1}-{2**64 - 1}"
    assert len(place_of(f"{furthest}.63")) == 32
    assert moment_of(furthest).year == 9999


EXTRAS = st.dictionaries(
    st.sampled_from(["due", "worker", "reason", "percent", "message", "flow", "detail"]),
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats()),
        st.text(st.characters(exclude_categories=())),
        st.lists(st.integers()),
    ),
)


@given(
    kind=st.sampled_from([*EventType]),
    attempt=st.integers(0, 2**53),
    extras=EXTRAS,
    payload=st.none() | st.binary(max_size=40) | st.just(b'{"h":{"tenant":"\\u0000"}}\x00\xff'),
    detail=st.none() | st.binary(max_size=40),
    job_id=st.text(st.sampled_from("aü€\udcff\0")),
)
def test_whatever_a_record_says_its_row_is_one_that_a_database_takes(
    *,
    kind: EventType,
    attempt: int,
    extras: dict[str, Any],
    payload: bytes | None,
    detail: bytes | None,
    job_id: str,
) -> None:
    (change,) = fold([Record("5-5.5", kind, "q\0", job_id, "n", attempt, extras, payload, detail)])
    for value in clean(change).values():
        if isinstance(value, str):
            assert "\0" not in value
            assert value.encode().decode() == value
        elif isinstance(value, float):
            assert abs(value) < float("inf")
        elif isinstance(value, int):
            assert 0 <= value < 2**31
        else:
            assert value is None or isinstance(value, datetime)


def test_ids_that_are_no_text_have_rows_of_their_own() -> None:
    ids = ["email:\udcff", "email:\udcfe", "email:ü", "email:u"]
    changes = fold([record for job_id in ids for record in records(ENQUEUED, job_id=job_id)])
    assert [change["id"] for change in changes] == ids
