from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota.errors import UnreadablePayload
from rota.model.options import EnqueueOptions
from rota.model.policies.backoff import fixed

SOON = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_delay_may_be_a_timedelta() -> None:
    assert EnqueueOptions().changed({"delay": timedelta(minutes=2)}).delay == 120


def test_changes_add_up() -> None:
    options = EnqueueOptions().changed({"id": "7"}).changed({"delay": 5})
    assert (options.id, options.delay) == ("7", 5)


def test_none_takes_an_option_back() -> None:
    assert EnqueueOptions(delay=5).changed({"delay": None, "at": SOON}).at == SOON


def test_an_unknown_option_names_the_allowed_ones() -> None:
    with pytest.raises(
        TypeError, match=r"no option 'dely'; choose from: delay, at, id, queue, timeout, max_attempts"
    ):
        EnqueueOptions().changed({"dely": 5})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"delay": 5, "at": SOON}, "delay and at are both given"),
        ({"at": datetime(2030, 1, 1)}, "at has no time zone"),  # noqa: DTZ001 (the mistake under test)
        ({"at": "2030-01-01"}, "at is str"),
        ({"delay": -1}, "delay is -1; it is a number of seconds, 0 or more"),
        ({"delay": float("nan")}, "delay is nan"),
        ({"delay": "5"}, "delay is '5'"),
        ({"timeout": 0}, "timeout is 0; it is a number of seconds, more than 0"),
        ({"timeout": float("inf")}, "timeout is inf"),
        ({"keep_result": -1}, "keep_result is -1"),
        ({"max_attempts": 0}, "max_attempts is 0"),
        ({"max_attempts": 2.0}, "max_attempts is 2.0"),
        ({"max_attempts": True}, "max_attempts is True"),
        ({"backoff": 5}, "backoff is 5; use exponential"),
        ({"id": " x"}, "job id ' x' is not allowed"),
        ({"on_taken": "wait"}, "on_taken is 'wait'; choose one of: refuse, existing, replace, debounce"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises((ValueError, TypeError), match=named):
        EnqueueOptions(**fields)


def test_only_what_a_worker_must_know_travels() -> None:
    options = EnqueueOptions(
        delay=5, id="7", timeout=9, max_attempts=2, backoff=fixed(3), keep_result=0, on_taken="existing"
    )
    wire = options.wire()
    assert set(wire) == {"timeout", "max_attempts", "backoff", "keep_result"}
    assert EnqueueOptions.from_wire(wire) == EnqueueOptions(
        timeout=9, max_attempts=2, backoff=fixed(3), keep_result=0
    )


def test_no_options_travel_as_nothing() -> None:
    assert EnqueueOptions(delay=5, id="7").wire() == {}
    assert EnqueueOptions.from_wire({}) == EnqueueOptions()


def test_an_option_of_a_later_version_is_passed_over() -> None:
    assert EnqueueOptions.from_wire({"timeout": 3, "colour": "red"}) == EnqueueOptions(timeout=3)


@pytest.mark.parametrize(
    "wire",
    [{"timeout": "x"}, {"max_attempts": 0}, {"backoff": 5}, {"backoff": {"kind": []}}, {"timeout": -1}],
)
def test_options_that_cannot_be_are_unreadable(wire: dict[str, Any]) -> None:
    with pytest.raises(UnreadablePayload, match="options cannot be used"):
        EnqueueOptions.from_wire(wire)
