"""What the page of one job makes of texts, errors and moments."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota.api.live.updates import Update
from rota.api.pages.live import wanted
from rota.api.pages.screens.jobs.one import commands
from rota.api.pages.screens.jobs.one.errors import told
from rota.api.pages.screens.jobs.one.moments import life_of
from rota.api.pages.screens.jobs.one.telling import attempts_of, said_of
from rota.api.pages.screens.jobs.one.texts import put_back, text_of, without_secrets
from rota.client.hands.closeup import Closeup
from rota.errors import JobError
from rota.model.access.keys import AccessKey
from rota.model.info import Failure, JobInfo
from rota.model.state import State
from rota.settings.load import ConfigError, load
from rota.wire.fields import members, shown

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (
            b'{"a":1.10 , "b": {"c":[1e400,2]},"d":"}\\""}',
            {"a": "1.10", "b": '{"c":[1e400,2]}', "d": '"}\\""'},
        ),
        (b'{"n":' + b"9" * 5000 + b"}", {"n": "9" * 5000}),
        (b"{}", {}),
        (b"[1]", {}),
        (b'{"a":1', {}),
        (b'{"a" 1}', {}),
        (b"{[]:1}", {}),
        (b"{null:1}", {}),
        (b"", {}),
        (b'{"a":' + b"[" * 100_000, {}),
    ],
)
def test_the_members_of_an_object_are_cut_out_as_they_stand(raw: bytes, found: dict[str, str]) -> None:
    assert members(raw) == found


@pytest.mark.parametrize("text", ['{"__a":NaN}', '{"__a":"\\ud800"}', '{"__a":"\n"}'])
def test_a_value_that_is_no_json_is_shown_as_it_stands(text: str) -> None:
    assert shown(text) == text


def test_a_text_is_indented_without_reading_a_number() -> None:
    shown = text_of('{"big":12345678901234567890123,"f":1.10,"e":{},"l":[],"s":"a,{\\"b","n":[1,{"x":null}]}')
    assert shown is not None
    assert shown.shown.splitlines() == [
        "{",
        '  "big": 12345678901234567890123,',
        '  "f": 1.10,',
        '  "e": {},',
        '  "l": [],',
        '  "s": "a,{\\"b",',
        '  "n": [',
        "    1,",
        "    {",
        '      "x": null',
        "    }",
        "  ]",
        "}",
    ]
    assert (shown.is_cut, shown.is_hidden) == (False, False)
    cut = text_of('{"a":"' + "x" * 100 + '"}', most=50)
    assert cut is not None
    assert (len(cut.shown), cut.is_cut, cut.size) == (50, True, 108)


def test_all_that_is_below_a_secret_name_is_hidden_and_nothing_behind_it() -> None:
    text = '{"Api-Key":"a","credentials":{"user":"u","pins":[1,true,null,""]},"after":"b","list":[{"pwd":1},"c"]}'
    assert json.loads(without_secrets(text)) == {
        "Api-Key": "***",
        "credentials": {"user": "***", "pins": ["***", True, None, ""]},
        "after": "b",
        "list": [{"pwd": "***"}, "c"],
    }


def test_hidden_values_are_put_back_and_others_are_as_they_were_written() -> None:
    before = {"token": "t", "keep": "***", "list": [{"pwd": 1}], "gone": {"secret": "s"}}
    written = {
        "token": "***",
        "keep": "***",
        "list": [{"pwd": "***"}, {"pwd": "***"}],
        "new": {"secret": "***"},
    }
    assert put_back(written, before) == {
        "token": "t",
        "keep": "***",
        "list": [{"pwd": 1}, {"pwd": "***"}],
        "new": {"secret": "***"},
    }
    assert put_back({"token": "other"}, before) == {"token": "other"}


TRACE = """Traceback (most recent call last):
  File "/app/jobs/mail.py", line 7, in deliver
    connect()
  File "/usr/lib/python3.13/socket.py", line 1, in connect
    raise OSError
KeyError: 'smtp'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/jobs/mail.py", line 3, in send
    deliver()
  File "/app/jobs/mail.py", line 9, in deliver
    raise ValueError("no")
  File "/venv/lib/python3.13/site-packages/smtp.py", line 1, in x
    pass
app.Broken: first
second
"""


def test_an_error_is_told_by_its_own_places_the_innermost_first_and_by_what_it_came_from() -> None:
    found = told(JobError("app.Broken", "first\nsecond", TRACE))
    assert [(one.line, one.function, one.code) for one in found.places] == [
        ("9", "deliver", 'raise ValueError("no")'),
        ("3", "send", "deliver()"),
    ]
    assert found.causes == ["while handling KeyError: 'smtp'"]
    bare = told(JobError("ValueError", "no"))
    assert (bare.places, bare.causes, bare.traceback) == ([], [], "")


def close(state: State, **other: Any) -> Closeup:
    more = {
        name: other.pop(name) for name in ("lost", "lost_by", "taken_back_at", "is_paused") if name in other
    }
    return Closeup(info=JobInfo("j", "email", state, "send", **other), now=after(100), **more)


def words_of(found: Closeup) -> list[str]:
    return [part for one in life_of(found).moments for part in (one.passed, one.words) if part]


def test_a_life_goes_from_moment_to_moment() -> None:
    failures = (Failure(1, after(3), JobError("E", "x")), Failure(2, after(9), JobError("E", "y")))
    found = close(State.DELAYED, attempts=2, enqueued_at=after(0), due_at=after(130), failures=failures)
    assert words_of(found) == [
        *("enqueued", "waited and ran 3 s", "attempt 1 failed"),
        *("waited and ran 6 s", "attempt 2 failed", "back-off of 2 min 1 s", "due again"),
    ]
    assert life_of(found).since == "due in 30 s"
    assert said_of(found, 4) == ("late", "Attempt 2 of 4 failed; the next one is due in 30 s.")


def test_a_clock_of_a_client_that_is_ahead_makes_no_negative_time() -> None:
    found = close(
        State.COMPLETED, attempts=1, enqueued_at=after(50), started_at=after(1), finished_at=after(2)
    )
    assert words_of(found) == [
        *("enqueued", "waited 0 s", "attempt 1 started", "ran 1 s", "completed"),
    ]


def test_a_job_that_was_lost_says_since_when_it_waits_again() -> None:
    found = close(
        State.WAITING, attempts=0, enqueued_at=after(0), lost=1, lost_by="host-1", taken_back_at=after(40)
    )
    assert words_of(found) == ["enqueued", "waited 40 s", "lost and taken back"]
    assert life_of(found).since == "waiting for 1 min"
    assert said_of(found, 4)[1] == "The worker that had it fell silent; it waits to run again."


@pytest.mark.parametrize(
    ("attempts", "missing"),
    [
        (1, ""),
        (2, "Of attempt 1 nothing is kept any more."),
        (4, "Of attempts 1 to 3 nothing is kept any more."),
        (2**31 - 1, "Of attempts 1 to 2147483646 nothing is kept any more."),
    ],
)
def test_attempts_of_which_nothing_is_kept_are_named(attempts: int, missing: str) -> None:
    found = close(
        State.COMPLETED, attempts=attempts, enqueued_at=after(0), started_at=after(5), finished_at=after(6)
    )
    assert life_of(found).missing == missing
    assert [(one.number, one.ran, one.outcome) for one in attempts_of(found)] == [
        (attempts, 1.0, "completed")
    ]


@pytest.mark.parametrize(
    "template",
    [
        "javascript:alert('{trace_id}')",
        "https://t.example/",
        "https://t.example/{trace}",
        "https://{id}.example/",
        "//t.example/{id}",
        "https://t.example/{id} x",
    ],
)
def test_a_link_leads_to_a_site_and_names_the_job_or_its_trace(template: str) -> None:
    with pytest.raises(ConfigError, match="is no address with"):
        load({"DASHBOARD_TRACE_URL": template})


def test_a_page_of_one_job_is_told_of_that_one_alone_and_a_tenant_s_of_its_own() -> None:
    def update(queue: str, job_id: str, tenant: str | None) -> Update:
        return Update((1, 0, 0), queue, job_id, State.ACTIVE, b"", "", tenant)

    anybody, acme = AccessKey("", "", frozenset()), AccessKey("", "", frozenset(), tenant="acme")
    of_one, of_all = wanted(anybody, "email", "a"), wanted(anybody, "", "")
    told = [update("email", "a", None), update("email", "b", None), update("sms", "a", "acme")]
    assert [of_one(one) for one in told] == [True, False, False]
    assert [of_all(one) for one in told] == [True, True, True]
    assert [wanted(acme, "", "")(one) for one in told] == [False, False, True]
    assert not wanted(acme, "email", "a")(told[0])


def test_a_command_is_quoted_for_a_shell_and_an_id_is_no_option() -> None:
    assert commands.cancel("email", "-x y'z") == """rota cancel -- email '-x y'"'"'z'"""
    assert commands.stack("email", "a") == "rota stack --queue email a"
    assert commands.again("email:send", '{"to":"ann"}') == """rota enqueue email:send '{"to":"ann"}'"""
    assert commands.again("email:send", '{"to":"%s"}' % ("x" * 500)) == ""
