"""The text by which lists of jobs are asked for: what it means, what it says of a mistake, and which jobs fit."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota.api.asking.conditions import Condition
from rota.api.asking.language import Mistake, read, written

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def job(**known: Any) -> dict[str, Any]:
    about = {"id": "email:order-7", "queue": "email", "name": "email:greet", "state": "dead", "attempt": 3}
    times = {"started_at": NOW, "finished_at": NOW + timedelta(seconds=5)}
    error = {"type": "ValueError", "message": "No such Address"}
    return {
        **about,
        **times,
        "worker": "host:1",
        "reason": "failed",
        "error": error,
        "payload": None,
        **known,
    }


def test_a_text_asks_for_parameters_and_conditions() -> None:
    asked = read("name:greet tenant:acme state:dead attempt>2 payload.to[0].name:Ann  late", NOW)
    assert asked.parameters == {"name": "greet", "tenant": "acme", "state": "dead"}
    assert asked.conditions == (
        Condition("attempt", (), ">", 2, "attempt>2"),
        Condition("payload", ("to", "0", "name"), ":", "Ann", "payload.to[0].name:Ann"),
        Condition("words", (), ":", "late", "late"),
    )
    assert read("  ").parameters == {}


def test_quotes_keep_blanks_and_signs_together() -> None:
    asked = read(r'error:"timed out: \"x\"" "a:b c"')
    assert [one.value for one in asked.conditions] == ['timed out: "x"', "a:b c"]
    for value in ("plain", 'with "quotes" and \\ blanks'):
        (condition,) = read(written("error", value)).conditions
        assert condition.value == value


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("since:1h", NOW - timedelta(hours=1)),
        ("since:2026-06-30", datetime(2026, 6, 30, tzinfo=UTC)),
        ("since:2026-06-30T02:00+02:00", datetime(2026, 6, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_date_or_so_long_ago(text: str, at: datetime) -> None:
    assert read(text, NOW).parameters == {"since": at}


@pytest.mark.parametrize(
    ("text", "wrong", "why"),
    [
        ("queue:email nam:greet", "nam:greet", "is name meant?"),
        ("email:order-7", "email:order-7", "put words with signs into quotes"),
        ("attempt>many", "attempt>many", "a whole number"),
        ("took>long", "took>long", "not a length of time"),
        ("since:yesterday", "since:yesterday", "neither a length of time"),
        ("since:0001-01-01T00:00+14:00", "since:0001-01-01T00:00+14:00", "neither a length of time"),
        ("queue>a", "queue>a", "takes no >"),
        ("worker<a", "worker<a", "takes no <"),
        ("queue:", "queue:", "is missing"),
        ("attempt.x>1", "attempt.x>1", "there is no field"),
        ("payload:42", "payload:42", "which part of the payload"),
        ('x "not closed', '"not closed', "not closed"),
        ('x error:"not closed', 'error:"not closed', "not closed"),
        ("queue:a queue:b", "queue:b", "twice"),
        ("x " * 31, "x ", "more than 30 terms"),
        ("x" * 2001, "x", "more than 2000 characters"),
    ],
)
def test_a_mistake_says_what_is_not_understood_and_where(text: str, wrong: str, why: str) -> None:
    with pytest.raises(Mistake, match=why.replace("?", r"\?")) as raised:
        read(text)
    mistake = raised.value
    assert mistake.wrong == wrong
    assert mistake.before + mistake.wrong + mistake.after == text


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("attempt>2 attempt<=3 attempt:3", {}),
        ("took>4s took<6s", {}),
        ("address greet order", {}),
        ("error:address error:valueerror", {}),
        ("id:ORDER reason:failed worker:host", {}),
        ("payload.user_id:42", {"payload": {"user_id": 42}}),
        ("payload.user_id:42", {"payload": {"user_id": "42"}}),
        ("payload.user_id>41 payload.user_id<=42", {"payload": {"user_id": 42}}),
        ("payload.big:12345678901234567890", {"payload": {"big": 12345678901234567890}}),
        ("payload.is_new:true payload.left:null", {"payload": {"is_new": True, "left": None}}),
        ("payload.tags:red", {"payload": {"tags": ["blue", "red"]}}),
        ("payload.to[1].name:Ann", {"payload": {"to": [{}, {"name": "Ann"}]}}),
        ('payload.name="Ann"', {"payload": {"name": "Ann"}}),
    ],
)
def test_a_job_fits(text: str, known: dict[str, Any]) -> None:
    for condition in read(text).conditions:
        assert condition.fits(job(**known)), condition


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("attempt>3", {}),
        ("took>5s", {}),
        ("took>0s", {"started_at": None}),
        ("took>0s", {"finished_at": None}),
        ("nowhere", {"error": None}),
        ("payload.user_id:42", {"payload": None}),
        ("payload.user_id:42", {"payload": {"user_id": 421}}),
        ("payload.user_id>1", {"payload": {"user_id": "x"}}),
        ("payload.a.b:1", {"payload": {"a": 1}}),
        ("payload.to[2]:x", {"payload": {"to": ["x"]}}),
        ("payload.left>1", {"payload": {"left": None}}),
        ("reason:fail", {}),
    ],
)
def test_a_job_does_not_fit(text: str, known: dict[str, Any]) -> None:
    assert not all(condition.fits(job(**known)) for condition in read(text).conditions)


def test_what_a_running_job_has_taken_is_up_to_now() -> None:
    (condition,) = read("took>1s").conditions
    assert condition.fits(
        job(state="active", finished_at=None, started_at=datetime.now(UTC) - timedelta(minutes=1))
    )
