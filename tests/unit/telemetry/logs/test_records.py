"""Records of a child process travel as plain JSON, and the parent logs them as its own."""

import json
import logging
from typing import Any

import pytest

from rota.telemetry.logs.records import Teller, fields_of, retell


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def child(told: list[dict[str, Any]]) -> logging.Logger:
    """Return a logger whose records go through JSON, as they do between processes."""
    logger = logging.Logger("jobs.mail")
    logger.addHandler(Teller(lambda head: told.append(json.loads(json.dumps(head))["log"])))
    return logger


def retold(told: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    (one,) = told
    retell(one)
    (record,) = caplog.records
    return record


def test_a_record_arrives_with_its_fields(
    child: logging.Logger, told: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    child.warning("sent %d", 7, extra={"to": "ann", "thing": object, "long": "x" * 99_999})
    record = retold(told, caplog)
    assert (record.name, record.levelname, record.getMessage()) == ("jobs.mail", "WARNING", "sent 7")
    fields = fields_of(record)
    assert (fields["to"], fields["thing"]) == ("ann", "<class 'object'>")
    assert len(fields["long"]) < 11_000


def test_an_exception_arrives_as_text(
    child: logging.Logger, told: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        child.exception("mail.lost", stack_info=True)
    record = retold(told, caplog)
    assert record.exc_text is not None
    assert record.exc_text.endswith("ValueError: no")
    assert "test_an_exception_arrives_as_text" in (record.stack_info or "")


def test_a_call_that_does_not_fit_arrives_and_says_so(
    child: logging.Logger, told: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    child.warning("sent %d", *["x"])
    assert retold(told, caplog).getMessage() == "sent %d (its arguments do not fit)"


def test_a_parent_that_has_gone_costs_the_job_nothing() -> None:
    def gone(head: dict[str, Any]) -> None:
        raise BrokenPipeError

    logger = logging.Logger("jobs")
    logger.addHandler(Teller(gone))
    logger.warning("mail.sent")


def test_what_the_parent_does_not_want_to_hear_is_not_logged(
    child: logging.Logger, told: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", "jobs.mail")
    child.warning("mail.sent")
    retell(told[0])
    assert caplog.records == []


def test_a_field_cannot_pass_for_the_record_s_own(caplog: pytest.LogCaptureFixture) -> None:
    own = {"name": "jobs.forged", "levelno": 40, "created": 1.0, "msg": "mail.sent"}
    retell(
        {**own, "exc_text": None, "stack_info": None, "fields": {"levelno": 10, "name": "rota", "msg": "x"}}
    )
    (one,) = caplog.records
    assert (one.name, one.levelname, one.msg) == ("jobs.forged", "ERROR", "mail.sent")
