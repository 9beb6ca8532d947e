"""Logs: an event's name and its fields, for people or as JSON, with structlog or without."""

import importlib.util
import json
import logging
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from typing import Any

import pytest

from rota import logs


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def without_structlog(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def find(name: str, *rest: Any) -> ModuleSpec | None:
        return None if name == "structlog" else found(name, *rest)

    monkeypatch.setattr(logs, "find_spec", find)


def write(capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed for one event with fields, one of them a trap."""
    logging.getLogger("rota.jobs").info(
        "job.%s", "completed", extra={"job": "email:send", "seconds": 0.25, "text": "a\nb \x1b[2J"}
    )
    return capsys.readouterr().err


def test_json_is_one_line_with_the_event_and_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "json")
    printed = write(capsys)
    assert printed.count("\n") == 1
    line = json.loads(printed)
    assert line["event"] == "job.completed"
    assert (line["level"], line["logger"]) == ("info", "rota.jobs")
    assert (line["job"], line["seconds"], line["text"]) == ("email:send", 0.25, "a\nb \x1b[2J")
    assert line["timestamp"].endswith("Z")


def test_json_carries_a_traceback_in_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "json")
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("rota").exception("job.stumbled")
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "ValueError: no" in json.loads(printed)["exception"]


@pytest.mark.parametrize("style", ["console", "json"])
def test_an_event_has_its_name_and_fields_on_a_plain_install_too(
    capsys: pytest.CaptureFixture[str], without_structlog: None, style: Any
) -> None:
    logs.setup("info", style)
    printed = write(capsys)
    assert "info job.completed" in printed
    assert "job='email:send' seconds=0.25" in printed
    assert printed.count("\n") == 1, "a job's text starts no line of its own"
    assert "\x1b" not in printed


def test_the_console_shows_the_event_and_its_fields_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "console")
    printed = write(capsys)
    assert "job.completed" in printed
    assert "seconds=0.25" in printed
    assert printed.count("\n") == 1, "a job's text starts no line of its own"
    assert "\x1b" not in printed


@pytest.mark.parametrize("style", ["console", "json"])
def test_what_is_below_the_level_is_not_printed(capsys: pytest.CaptureFixture[str], style: Any) -> None:
    logs.setup("warning", style)
    assert write(capsys) == ""
    logging.getLogger("rota").warning("loop.blocked")
    assert "loop.blocked" in capsys.readouterr().err


def test_setting_up_twice_prints_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "json")
    logs.setup("info", "json")
    assert write(capsys).count("job.completed") == 1


def test_the_fields_are_what_the_call_gave_and_nothing_of_the_record() -> None:
    record = logging.LogRecord("rota", logging.INFO, __file__, 1, "job.started", (), None)
    record.job_id = "1"
    assert logs.fields_of(record) == {"job_id": "1"}


# What strangers write

#: Each would be a line of its own, move the cursor, or turn text around.
TRICKS = {
    "newline": "a\n12:00:00 [error    ] job.dead",
    "carriage return": "a\rjob.dead",
    "escape sequence": "\x1b[2J\x1b[31m",
    "bell and backspace": "a\x07\x08\x08",
    "one-byte escape": "\x9b2J",
    "next line": "a\x85job.dead",
    "line separator": "a\u2028job.dead",
    "paragraph separator": "a\u2029job.dead",
    "turned around": "\u202etxt.exe\u2066",
    "zero": "a\x00b",
    "half a surrogate pair": "a\ud800b",
}
HARMLESS = set(map(chr, range(0x20, 0x7F))) | {"\n"}


def printed_by(capsys: pytest.CaptureFixture[str], style: Any) -> list[str]:
    printed = capsys.readouterr().err
    assert set(printed) <= HARMLESS, set(printed) - HARMLESS
    return printed.splitlines()


@pytest.mark.parametrize("style", ["console", "json", "plain"])
@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS.keys())
def test_a_strangers_text_stays_in_its_field(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, trick: str, style: Any
) -> None:
    if style == "plain":
        request.getfixturevalue("without_structlog")
    logs.setup("info", "json" if style == "json" else "console")
    fields = {"job_id": trick, "job": f"default:{trick}", "text": [trick, {trick: trick}], trick: "name"}
    logging.getLogger("rota.jobs").info("job %s", trick, extra=fields)
    (line,) = printed_by(capsys, style)
    if style == "json":
        assert json.loads(line)["job_id"] == trick
        assert json.loads(line)["event"] == f"job {trick}"


@pytest.mark.parametrize("style", ["console", "json", "plain"])
@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS.keys())
def test_an_exceptions_text_begins_no_line(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, trick: str, style: Any
) -> None:
    if style == "plain":
        request.getfixturevalue("without_structlog")
    logs.setup("info", "json" if style == "json" else "console")
    try:
        raise ValueError(trick)
    except ValueError:
        logging.getLogger("rota.jobs").exception("job.stumbled", extra={"stack": trick})
    first, *others = printed_by(capsys, style)
    assert "job.stumbled" in first
    assert all(line.startswith("    ") or not line.strip("=") for line in others)
    if style == "json":
        assert not others
        assert trick in json.loads(first)["exception"]


@pytest.mark.parametrize("style", ["console", "json"])
def test_the_values_of_variables_are_not_shown(capsys: pytest.CaptureFixture[str], style: Any) -> None:
    logs.setup("info", style)
    password = "-".join(["hunter", "2"])
    try:
        raise ValueError(len(password))
    except ValueError:
        logging.getLogger("rota.jobs").exception("job.stumbled")
    assert "hunter-2" not in capsys.readouterr().err


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_value_that_cannot_be_shown_does_not_cost_the_line(
    capsys: pytest.CaptureFixture[str], style: Any
) -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError

    logs.setup("info", style)
    logging.getLogger("rota.jobs").info("job.started", extra={"value": Shy(), "job_id": "1"})
    (line,) = printed_by(capsys, style)
    assert "Shy, whose repr raised RuntimeError" in line
