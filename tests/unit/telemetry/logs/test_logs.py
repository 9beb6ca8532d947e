"""Logs: an event's name and its fields, for people or as JSON, with structlog or without."""

import importlib.util
import io
import json
import logging
import logging.config
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from typing import Any

import pytest
import structlog

from rota import Run
from rota.telemetry.logs import logs
from rota.telemetry.logs.records import fields_of


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """Restore the root logger, structlog's defaults, and loggers that are turned off, after each test."""
    root = logging.getLogger()
    handlers, level, every = list(root.handlers), root.level, dict(root.manager.loggerDict)
    off = {name for name, one in every.items() if getattr(one, "disabled", False)}
    structlog.reset_defaults()
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, one in root.manager.loggerDict.items():
        if isinstance(one, logging.Logger):
            one.disabled = name in off
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def without_structlog(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def find(name: str, *rest: Any) -> ModuleSpec | None:
        return None if name == "structlog" else found(name, *rest)

    monkeypatch.setattr(logs, "find_spec", find)


def write(capsys: pytest.CaptureFixture[str]) -> str:
    """Log one event with fields, one of them with escape sequences, and return what was printed."""
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


def test_an_event_has_its_name_and_fields_on_a_plain_install_too(
    capsys: pytest.CaptureFixture[str], without_structlog: None
) -> None:
    logs.setup("info", "console")
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
    assert fields_of(record) == {"job_id": "1"}


# Text that others write

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


@pytest.mark.parametrize("style", ["console", "json", "plain"])
def test_a_traceback_that_came_as_text_is_shown_like_any_other(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, style: Any
) -> None:
    if style == "plain":
        request.getfixturevalue("without_structlog")
    logs.setup("info", "json" if style == "json" else "console")
    record = logging.makeLogRecord({"name": "jobs", "levelno": 40, "levelname": "ERROR", "msg": "mail.lost"})
    record.exc_text = "Traceback:\nValueError: no"
    logging.getLogger("jobs").handle(record)
    first, *others = printed_by(capsys, style)
    if style == "json":
        assert json.loads(first)["exception"] == record.exc_text
    else:
        assert others == ["    Traceback:", "    ValueError: no"]


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


# Odd values in a handler's own lines


class Liar(str):
    """A text whose own methods claim that it is another text."""

    def __repr__(self) -> str:
        return "a\njob.dead"

    __str__ = __repr__

    def isprintable(self) -> bool:
        return True


class Number(int):
    """A number whose repr is a text of two lines."""

    def __repr__(self) -> str:
        return "1\njob.dead"


class Thing:
    """An object whose repr has an escape sequence and two lines."""

    def __repr__(self) -> str:
        return "\x1b[2J\njob.dead"


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def circle() -> dict[str, Any]:
    ring: dict[str, Any] = {}
    ring["again"] = ring
    return ring


ODD = {
    "a text of its own kind": Liar("a\nb"),
    "a number of its own kind": Number(1),
    "a thing": Thing(),
    "a thing within": {"a": [Thing()]},
    "keys that are not texts": {(1, 2): 3},
    "a circle": circle(),
    "a depth": nested(5000),
    "not a number": float("nan"),
    "infinity": [float("-inf")],
    "a number without end": 10**5000,
    "bytes": b"\n\x1b",
    "a long text": "x" * 300_000,
    "a long list": ["x" * 100] * 3000,
}


def strict(line: str) -> dict[str, Any]:
    """Parse a line as other programs do, which refuse NaN; Python takes it."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    fields: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return fields


@pytest.fixture(params=["console", "json", "plain"])
def style(request: pytest.FixtureRequest) -> str:
    if request.param == "plain":
        request.getfixturevalue("without_structlog")
    return str(request.param)


Lines = Callable[[], list[str]]


@pytest.fixture
def lines(style: str, monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Set logs up, and return a function that checks what was printed and returns its lines."""
    stderr = io.StringIO()

    def read() -> list[str]:
        printed = stderr.getvalue().replace("…", "...")
        assert set(printed) <= HARMLESS, set(printed) - HARMLESS
        read = printed.splitlines()
        assert all(map(strict, read)) if style == "json" else True
        return read

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        logs.setup("info", "json" if style == "json" else "console")
    return read


@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
def test_no_value_breaks_a_line_or_costs_it(lines: Lines, value: Any) -> None:
    logging.getLogger("jobs").info("mail.sent", extra={"value": value, "job_id": "1"})
    (line,) = lines()
    assert "mail.sent" in line
    assert "log.unwritable" not in line
    assert len(line) < 12_000


def test_a_field_cannot_pass_for_one_of_ours(lines: Lines, style: str) -> None:
    forged = {
        "event": "job.completed",
        "level": "x",
        "logger": "rota.jobs",
        "timestamp": "0",
        "exception": "y",
    }
    logging.getLogger("jobs").info("mail.sent", extra=forged)
    (line,) = lines()
    if style == "json":
        told = strict(line)
        assert {name: told[f"{name}_"] for name in forged} == forged
        assert (told["event"], told["level"], told["logger"]) == ("mail.sent", "info", "jobs")
        assert "exception" not in told
    else:
        assert "mail.sent" in line.partition("job.completed")[0]
        assert "[rota.jobs]" not in line


def test_a_name_that_looks_like_several_fields_is_quoted(lines: Lines, style: str) -> None:
    logging.getLogger("jobs").info("mail.sent", extra={"a job_id=7 b": 1})
    (line,) = lines()
    assert '"a job_id=7 b": 1' in line if style == "json" else "'a job_id=7 b'=1" in line


def test_a_call_that_does_not_fit_is_a_line_that_says_so(lines: Lines) -> None:
    (ours,) = [one for one in logging.getLogger().handlers if isinstance(one.formatter, logs.Formatter)]
    for message, given in (("sent %s to %s", "x\ny"), ("sent %d", Thing())):
        # Not by a logger: pytest's own handler raises what this is about.
        ours.handle(logging.makeLogRecord({"name": "jobs", "msg": message, "args": (given,)}))
    assert ["log.unwritable" in line and "TypeError" in line for line in lines()] == [True, True]


def test_warnings_are_lines_too(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("a\nb \x1b[2J", stacklevel=1)
    (line,) = lines()
    assert "UserWarning: a" in line


def test_a_stack_that_a_call_asks_for_is_shown(lines: Lines, style: str) -> None:
    logging.getLogger("jobs").info("mail.sent", stack_info=True)
    first, *others = lines()
    assert "mail.sent" in first
    assert all(line.startswith("    ") for line in others)
    assert "test_a_stack_that_a_call_asks_for_is_shown" in "".join([first, *others])


def test_of_a_long_exception_the_beginning_and_the_end_are_shown(lines: Lines) -> None:
    try:
        raise ValueError("begun " + "x" * 300_000 + " ended")
    except ValueError:
        logging.getLogger("jobs").exception("mail.lost")
    printed = "\n".join(lines())
    assert "ValueError: begun" in printed
    assert " ended" in printed
    assert len(printed) < 50_000


@pytest.mark.parametrize("style", ["console", "json"], indirect=True)
def test_what_is_logged_by_structlog_goes_the_same_way(lines: Lines, style: str) -> None:
    log = structlog.get_logger("jobs.mail").bind(to="a\njob.dead", thing=Thing())
    secret = "-".join(["hunter", "2"])
    try:
        raise ValueError("\x1b[2J\njob.dead", len(secret))
    except ValueError as error:
        log.info("sent %d", 7)
        log.exception("mail.lost")
        log.error("mail.lost", exc_info=error)
        log.debug("mail.seen")
    printed = lines()
    assert secret not in "".join(printed)
    events = [line for line in printed if not line.startswith("    ")]
    assert len(events) == 3
    assert "sent 7" in events[0]
    if style == "json":
        first, second, _ = map(strict, events)
        assert (first["logger"], first["level"], first["to"]) == ("jobs.mail", "info", "a\njob.dead")
        assert "ValueError" in second["exception"]


def test_structlog_is_loaded_by_those_who_use_it_alone_and_then_goes_the_same_way() -> None:
    code = (
        "import sys; from rota.telemetry.logs import logs; logs.setup('info', 'json'); "
        "print('structlog' in sys.modules); "
        "from importlib.util import find_spec; find_spec('structlog'); "
        "import structlog; structlog.get_logger('jobs.mail').info('mail.sent', to='ann')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
    line = json.loads(ran.stderr)
    assert (line["event"], line["logger"], line["to"]) == ("mail.sent", "jobs.mail", "ann")


def test_what_a_program_s_own_structlog_leaves_to_the_handler_is_a_line_of_its_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    logs.setup("info", "json")
    structlog.get_logger("jobs.mail").warning("mail.sent", to="ann")
    line = strict(capsys.readouterr().err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "mail.sent", "logger": "jobs.mail", "level": "warning", "to": "ann"}


def test_a_program_s_own_structlog_is_left_alone() -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    before = structlog.get_config()
    logs.setup("info", "json")
    assert structlog.get_config() == before


def test_a_handler_s_fields_stand_beside_those_of_its_job(caplog: pytest.LogCaptureFixture) -> None:
    run = Run(id="1", job="send", queue="email", headers={"tenant": "acme"})
    run.log.warning("mail.sent", extra={"tenant": "forged", "job_id": "7", "to": "ann"})
    told = fields_of(caplog.records[0])
    assert (told["tenant"], told["tenant_"], told["job_id"], told["job_id_"], told["to"]) == (
        *("acme", "forged", "1", "7"),
        "ann",
    )


@pytest.mark.parametrize("asked", [{"version": 1}, {"version": 1, "root": {"level": "INFO"}}])
def test_a_configuration_of_the_user_s_does_not_silence_the_service(
    capsys: pytest.CaptureFixture[str], asked: dict[str, Any]
) -> None:
    logs.setup("info", "json")
    logging.getLogger("rota.jobs")
    logging.config.dictConfig(asked)
    logs.revive()
    assert json.loads(write(capsys))["event"] == "job.completed"


def test_a_handler_of_the_user_s_on_the_root_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "json")
    stream = io.StringIO()
    handler = {"class": "logging.StreamHandler", "stream": stream}
    logging.config.dictConfig(
        {"version": 1, "handlers": {"own": handler}, "root": {"level": "INFO", "handlers": ["own"]}}
    )
    logs.revive()
    assert write(capsys) == ""
    assert stream.getvalue() == "job.completed\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_terminals_whose_user_wants_them(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logs.setup("info", "console")
    logging.getLogger("rota.jobs").info("job.completed", extra={"job": "email:send"})
    assert ("\x1b[" in terminal.getvalue()) == coloured
    assert "job.completed" in terminal.getvalue()
