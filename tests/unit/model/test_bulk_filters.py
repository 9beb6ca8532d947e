"""Filters of jobs: what they choose, and how they are written on a command line."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rota.errors import InvalidFilter, JobError
from rota.model.bulk.filters import BulkAction, Facts, Filter
from rota.model.bulk.where import InvalidWhere, filter_of
from rota.model.state import State

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SENT = Facts("send", JobError("smtp.Timeout", "timed out after 5 s"), "abc", "failed", "f1", "acme", 1000.0)


@pytest.mark.parametrize(
    ("fields", "is_chosen"),
    [
        ({}, True),
        ({"name": "mail:send"}, True),
        ({"name": "send"}, True),
        ({"name": "sen"}, False),
        ({"error": "abc", "reason": "failed", "flow": "f1"}, True),
        ({"error": "abcd"}, False),
        ({"error_contains": "SMTP.timeout: timed"}, True),
        ({"error_contains": "6 s"}, False),
        ({"flow": "rota:flow:f1"}, True),
        ({"flow": "f2"}, False),
        ({"tenant": "acme"}, True),
        ({"tenant": "other"}, False),
        ({"since": "1970-01-01T00:00:01Z"}, True),
        ({"until": "1970-01-01T00:00:01Z"}, False),
    ],
)
def test_a_job_meets_all_conditions_or_is_not_chosen(fields: dict[str, str], is_chosen: bool) -> None:
    assert Filter.of(fields).includes(SENT) is is_chosen


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"colour": "red"}, {"colour": "is not known"}),
        ({"queue": "Mail!"}, {"queue": ...}),
        ({"state": "odd"}, {"state": ...}),
        ({"since": "yesterday"}, {"since": ...}),
        ({"since": "2026-01-01T00:00:00"}, {"since": ...}),
        ({"name": ""}, {"name": ...}),
        ({"ids": ["1"]}, {"queue": "is needed beside ids"}),
        ({"queues": ["mail"], "queue": "mail"}, {"queues": ...}),
        ({"queues": ["mail"], "name": "mail:send"}, {"queues": ...}),
        ({"queues": []}, {"queues": ...}),
        ({"queue": "mail", "ids": []}, {"ids": ...}),
        ({"name": "\ud800"}, {"": ...}),
    ],
)
def test_what_is_no_condition_is_named(fields: dict[str, Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidFilter) as raised:
        Filter.of(fields)
    assert raised.value.problems.keys() == wrong.keys()
    assert all(why in (..., raised.value.problems[name]) for name, why in wrong.items())


def test_an_action_is_done_to_jobs_in_the_states_that_allow_it() -> None:
    assert Filter().states(BulkAction.RETRY) == (State.DEAD,)
    assert Filter.of({"status": "PENDING"}).states(BulkAction.CANCEL) == (State.WAITING, State.DELAYED)
    for fields in ({"state": "waiting"}, {"status": "COMPLETED"}):
        with pytest.raises(InvalidFilter, match="retry is done to jobs that are dead"):
            Filter.of(fields).states(BulkAction.RETRY)
    with pytest.raises(InvalidFilter, match="error_contains: goes with dead jobs"):
        Filter.of({"error_contains": "x"}).states(BulkAction.CANCEL)


def test_a_filter_of_a_whole_state_or_tenant_chooses_everything() -> None:
    assert Filter.of({"state": "dead", "tenant": "acme"}).is_empty
    assert not Filter.of({"queue": "mail"}).is_empty


def test_conditions_are_written_with_blanks_between_them() -> None:
    found = filter_of(
        r"""  name=mail:send error~"a \"b\" \\ c" since=2h until=2026-11-30T12:30:00+01:00 """, NOW
    )
    assert (found.name, found.error_contains, found.on_queue) == ("mail:send", 'a "b" \\ c', "mail")
    assert found.since == datetime(2026, 11, 30, 10, tzinfo=UTC)
    assert found.until == datetime(2026, 11, 30, 11, 30, tzinfo=UTC)
    assert filter_of("state='dead' error=abc", NOW).fields() == {"state": "dead", "error": "abc"}


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("", 1, "no condition"),
        ("name=send nme=x", 11, "did you mean name?"),
        ("colour=red", 1, "choose one of"),
        ("name~x", 5, "= stands behind name"),
        ("error!x", 6, "= or ~ stands behind error"),
        ("name=", 6, "a value is missing"),
        ('error~"open', 7, "not closed"),
        ('name="a"b', 9, "a blank stands between"),
        ("name=a name=b", 8, "was said before"),
        ("name=a since=yesterday", 8, "since is a time back from now"),
        ("name=a since=2026-01-01T00:00:00", 8, "with its zone"),
        ("name=a state=odd", 8, "state: "),
        ("=x", 1, "a condition begins with"),
        ("id=7", 1, "queue: is needed"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, place: int, why: str) -> None:
    with pytest.raises(InvalidWhere, match="--where cannot be read at character") as raised:
        filter_of(text, NOW)
    assert raised.value.place == place
    assert why in str(raised.value)


def test_the_queues_of_a_filter_are_those_that_it_names_or_that_of_the_name() -> None:
    assert Filter.of({"queues": ["mail", "slow"], "ids": ["1"]}).on_queues == ("mail", "slow")
    assert Filter.of({"queues": ["slow", "mail", "slow"]}).on_queues == ("slow", "mail"), "counted once"
    assert Filter.of({"name": "mail:send"}).on_queues == Filter.of({"queue": "mail"}).on_queues == ("mail",)
    assert Filter.of({"state": "dead"}).on_queues == ()
    assert Filter.of({"queues": ["mail"], "state": "dead"}).is_empty
