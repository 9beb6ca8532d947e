"""A record as a line of its job's log: whatever was logged, it is short JSON without secrets."""

import json
import logging
import sys
from typing import Any

import pytest

from rota.errors.secrets import SECRETS
from rota.telemetry.logs.kept import BLOCK, FIELD, FIELDS, LONGEST, MESSAGE, line_of

KNOWN = {"job_id": "j-1", "attempt": 1}


def line(message: Any = "mail.sent", *args: Any, **fields: Any) -> list[Any]:
    """Return what is kept of a record, read."""
    record = logging.LogRecord("jobs", logging.INFO, __file__, 1, message, args, None)
    vars(record).update(fields)
    raw = line_of(record, KNOWN)
    assert b"\n" not in raw
    assert len(raw) <= LONGEST
    read: list[Any] = json.loads(raw.decode("utf-8"))
    return read


def test_it_has_the_time_the_level_the_message_and_the_fields_of_the_call() -> None:
    at, *rest = line("sent to %s", "ann", server="smtp-2", job_id="j-1", attempt=1)
    assert rest == ["info", "sent to ann", {"server": "smtp-2"}]
    assert at > 1_700_000_000_000
    assert line() == [pytest.approx(at, abs=60_000), "info", "mail.sent"], "no fields take no room"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\nb\x00c\x1b[2J", "a\nb\x00c\x1b[2J"),
        ("half a \ud800 pair", "half a \ufffd pair"),
        ("grüße 🙂", "grüße 🙂"),
        (b"\xff\x00", "b'\\xff\\x00'"),
        (7, "7"),
        (None, "None"),
    ],
)
def test_any_message_is_kept_as_text(given: Any, kept: str) -> None:
    assert line(given)[2] == kept


def test_arguments_that_do_not_fit_and_values_that_json_has_not_lose_no_line() -> None:
    assert "its arguments do not fit" in line("%d", "x")[2]

    class Broken:
        """A value that cannot be shown."""

        def __repr__(self) -> str:
            raise RuntimeError("no")

    fields = line(broken=Broken(), nan=float("nan"), deep={"a": {1, 2}}, half="\ud800")[3]
    assert fields["broken"] == "<Broken, whose repr raised RuntimeError>"
    assert fields["nan"] == "nan"
    assert fields["half"] == "\ufffd"


def test_what_a_structlog_of_the_user_s_own_leaves_to_the_handler_is_message_and_fields() -> None:
    said = {"event": "mail.sent", "level": "info", "timestamp": "now", "server": "smtp-2", "job_id": "j-1"}
    assert line(said, _logger=None, _name="info")[2:] == ["mail.sent", {"server": "smtp-2"}]
    assert line({"a": 1})[2:] == ["{'a': 1}"]


@pytest.mark.parametrize("char", ["x", "ü", "🙂", "\x00", '"', "\ud800"])
def test_a_line_of_a_megabyte_is_cut(char: str) -> None:
    message = line(char * 1_000_000, **{f"field_{n}": char * 100_000 for n in range(100)})[2]
    assert len(message) <= MESSAGE + 40
    assert "characters …]" in message
    many = line("m", **{f"field_{n}": "x" * 2_000 for n in range(3)})[3]
    assert all(len(value) <= FIELD + 40 for value in many.values())
    assert len(line("m", **{f"f{n}": n for n in range(100)})[3]) <= FIELDS + len(KNOWN)


def test_a_traceback_is_kept_and_cut() -> None:
    try:
        raise ValueError("z" * 100_000)
    except ValueError:
        trace = line("failed", exc_info=sys.exc_info())[3]["exception"]
    assert trace.startswith("Traceback")
    assert len(trace) <= BLOCK + 40
    assert line("failed", exc_text="Traceback of a child")[3]["exception"] == "Traceback of a child"


def test_the_secrets_of_the_process_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SECRETS, "_all", set())
    monkeypatch.setattr(SECRETS, "_long", None)
    SECRETS.keep("open-sesame")
    try:
        raise ValueError("open-sesame")
    except ValueError:
        said = json.dumps(
            line(
                "it is %s",
                "open-sesame",
                exc_info=sys.exc_info(),
                key="open-sesame",
                more=["open-sesame"],
                url="redis://u:pw1@h/0",
            )
        )
    assert "open-sesame" not in said
    assert "pw1" not in said
    assert said.count("***") == 6
