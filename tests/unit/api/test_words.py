"""What the dashboard says in words: how queues stand, what jobs died of, and how it says times and numbers."""

import dataclasses
from typing import Any

import pytest

from rota.api.pages.words import (
    Deaths,
    QueueFacts,
    counted,
    cut,
    duration,
    notices,
    of_deaths,
    of_queue,
    overall,
    part,
    role,
    shortened,
)
from rota.fleet.reading import Reading
from rota.model.access.keys import AccessKey, scopes_of
from tests.unit.fleet.test_fleet import FACTS, beat, queue

#: A queue that is on time, with every slot busy.
EMAIL = QueueFacts(name="email", ready=3, wait=5, slo=60, slots=10, busy=10, workers=1, missing=0)
NONE = Deaths()
LATE = dataclasses.replace(EMAIL, wait=100)


def said(**other: Any) -> str:
    """Return what is said of a queue that is as EMAIL but for `other`."""
    found = of_queue(dataclasses.replace(EMAIL, **other))
    return "" if found is None else f"{found.level}: {found.subject} {found.text}"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, ""),
        ({"wait": 60}, ""),
        ({"ready": 0, "workers": 0, "slots": 0, "busy": 0, "wait": 0}, ""),
        ({"is_paused": True, "ready": 0, "wait": 0}, ""),
        (
            {"is_paused": True, "ready": 1, "wait": 0.5},
            "late: email is paused, and 1 job waits for it to be resumed",
        ),
        (
            {"is_paused": True, "ready": 1200, "held": 34, "wait": 200},
            "late: email is paused, and 1,234 jobs wait for it to be resumed, the oldest for 3 min 20 s",
        ),
        (
            {"is_paused": True, "ready": 2, "wait": 0, "paused_by": "ann", "paused_why": "a deploy"},
            "late: email is paused by ann (a deploy), and 2 jobs wait for it to be resumed",
        ),
        (
            {"workers": 0, "slots": 0, "busy": 0, "ready": 1},
            "bad: email has 1 job and no worker that serves it: start one",
        ),
        (
            {"workers": 0, "draining": 1, "ready": 2},
            "bad: email has 2 jobs, and its last worker is stopping: start one",
        ),
        (
            {"workers": 0, "draining": 3, "ready": 2},
            "bad: email has 2 jobs, and its workers are stopping: start one",
        ),
        (
            {"wait": 240, "missing": 2},
            "late: email is 3 min late (objective 1 min): 10 of 10 slots busy, 2 more workers wanted",
        ),
        (
            {"wait": 61, "missing": 1, "busy": 1, "slots": 1},
            "late: email is 1 s late (objective 1 min): 1 of 1 slot busy, 1 more worker wanted",
        ),
        (
            {"wait": 61},
            "late: email is 1 s late (objective 1 min): 10 of 10 slots busy, and the workers that are up will catch up",
        ),
        (
            {"wait": 61, "busy": 4, "running": 5, "most": 5, "rate": "10 in 1 s"},
            "late: email is 1 s late (objective 1 min): "
            "its limit lets 5 jobs run at once, and so many run; raise it, or wait",
        ),
        (
            {"wait": 61, "busy": 4, "running": 4, "most": 5, "rate": "10 in 1 s", "missing": 3},
            "late: email is 1 s late (objective 1 min): "
            "4 of 10 slots busy, as its rate of 10 in 1 s lets no more start; raise the rate, or wait",
        ),
        (
            {"wait": 61, "rate": "10 in 1 s", "missing": 3},
            "late: email is 1 s late (objective 1 min): 10 of 10 slots busy, 3 more workers wanted",
        ),
        (
            {"wait": 61, "busy": 2, "is_crowded": True, "missing": 1},
            "late: email is 1 s late (objective 1 min): "
            "2 of 10 slots busy, as its workers are full with jobs of other queues, 1 more worker wanted",
        ),
        (
            {"wait": 61, "busy": 2, "is_crowded": True},
            "late: email is 1 s late (objective 1 min): 2 of 10 slots busy, "
            "as its workers are full with jobs of other queues, and the workers that are up will catch up",
        ),
        (
            {"wait": 61, "busy": 2},
            "late: email is 1 s late (objective 1 min): "
            "2 of 10 slots busy, so its workers could claim them: look at the workers",
        ),
    ],
)
def test_what_is_wrong_with_a_queue_is_said_with_why_and_what_would_help(
    facts: dict[str, Any], words: str
) -> None:
    assert said(**facts) == words


@pytest.mark.parametrize(
    ("deaths", "words"),
    [
        (
            {"count": 1, "of_one": 1, "error": "ValueError: no"},
            "1 job died in the last hour, of ValueError: no",
        ),
        (
            {"count": 412, "of_one": 409, "error": "ValueError: no."},
            "412 jobs died in the last hour, 409 of them of one cause: ValueError: no",
        ),
        (
            {"count": 3, "of_one": 3, "error": "KeyError"},
            "3 jobs died in the last hour, all of one cause: KeyError",
        ),
        (
            {"count": 2, "of_one": 1, "error": "KeyError"},
            "2 jobs died in the last hour, of different causes",
        ),
        ({"count": 2}, "2 jobs died in the last hour"),
    ],
)
def test_how_many_died_is_said_with_what_most_of_them_died_of(deaths: dict[str, Any], words: str) -> None:
    found = of_deaths(Deaths(cause="a1b2", **deaths))
    assert found is not None
    assert f"{found.subject} {found.text}" == words
    is_one = deaths["count"] == deaths.get("of_one")
    assert found.path == ("/failures/a1b2" if is_one else "/failures")


def test_while_nothing_is_wrong_nothing_is_said() -> None:
    found = overall([EMAIL], NONE)
    assert (found.level, found.said, found.more, found.notes) == ("good", [], 0, [])
    assert found.is_on_time


def test_the_worst_comes_first_and_what_is_left_out_is_counted() -> None:
    late = [dataclasses.replace(EMAIL, name=f"q{n}", wait=100 * n) for n in range(1, 8)]
    unserved = dataclasses.replace(EMAIL, name="none", workers=0)
    found = overall([*late, unserved], Deaths(count=2))
    assert (found.level, found.more) == ("bad", 4)
    assert [one.subject for one in found.said] == ["none", "q7", "q6", "q5", "q4"]
    assert found.said[1].path == "/queues/q7"
    assert not found.is_on_time


def test_deaths_alone_do_not_make_a_queue_late() -> None:
    found = overall([EMAIL], Deaths(count=2))
    assert (found.level, found.is_on_time, len(found.said)) == ("late", True, 1)


def test_what_is_good_to_know_is_noted_while_all_is_on_time() -> None:
    held = dataclasses.replace(EMAIL, name="held", held=4310)
    paused = dataclasses.replace(EMAIL, name="paused", ready=0, wait=0, is_paused=True)
    found = overall([EMAIL, held, paused], NONE)
    assert found.level == "good"
    assert [f"{one.subject} {one.text}" for one in found.notes] == [
        "held has 4,310 jobs that limits of their own keep back",
    ]


def test_that_no_worker_is_up_is_noted_unless_a_queue_says_so() -> None:
    idle = dataclasses.replace(EMAIL, workers=0, slots=0, busy=0, ready=0, wait=0)
    (note,) = overall([idle], NONE).notes
    assert (note.subject, note.path) == ("No worker is up", "/workers")
    assert overall([idle, dataclasses.replace(idle, name="other", ready=1)], NONE).notes == []
    assert overall([], NONE).notes == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "\N{EN DASH}"),
        (0, "0 s"),
        (0.0005, "0 s"),
        (0.25, "250 ms"),
        (3, "3 s"),
        (3.21, "3.2 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_time_is_said_in_its_two_largest_units(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_numbers_are_said_with_their_nouns_and_separators() -> None:
    assert counted(1, "job") == "1 job"
    assert counted(12_409, "job") == "12,409 jobs"
    assert counted(0, "of them is", "of them are") == "0 of them are"


@pytest.mark.parametrize(
    ("amount", "whole", "words"),
    [
        (0, 0, "\N{EN DASH}"),
        (0, 10, "0 %"),
        (1, 1_000_000, "< 0.1 %"),
        (3, 1000, "0.3 %"),
        (999_999, 1_000_000, "> 99.9 %"),
        (10, 10, "100 %"),
    ],
)
def test_a_part_is_said_in_percent_and_hides_neither_few_nor_many(
    amount: int, whole: int, words: str
) -> None:
    assert part(amount, whole) == words


def test_a_text_is_cut_to_its_first_line_and_so_many_characters() -> None:
    assert cut(" It failed.\nmore\n") == "It failed"
    assert cut("x" * 200) == "x" * 119 + "…"


def test_of_a_long_text_both_ends_are_shown() -> None:
    assert shortened("order-7") == "order-7"
    long = shortened("email:" + "x" * 100 + "-0007", 20)
    assert (len(long), long[:6], long[-5:]) == (20, "email:", "-0007")


def test_the_bar_says_what_is_paused_and_which_versions_run_once_each() -> None:
    beats = [beat(version=version) for version in ("a1", "b2", "")]
    paused = {name: queue(paused=True) for name in "cdefgh"}
    reading = Reading(
        0, {"a": queue(beats=tuple(beats[:2])), "b": queue(beats=tuple(beats)), **paused}, FACTS
    )
    one, other = notices(reading)
    assert (one.text, one.path) == ("c, d, e, f, g and others are paused", "/queues")
    assert (other.text, other.path) == ("Workers run 2 versions of the code: a1, b2", "/workers")
    known = [dataclasses.replace(found, subject=name) for name in "cdefg" if (found := of_queue(LATE))]
    (one, _) = notices(reading, known)
    assert (one.text, one.path) == ("h is paused", "/queues/h")


@pytest.mark.parametrize(
    ("scopes", "words"),
    [
        (["read"], "viewer"),
        (["enqueue"], "makes jobs"),
        (["operate", "enqueue"], "operator, makes jobs"),
        (["admin", "read"], "administrator"),
    ],
)
def test_the_holder_of_a_key_is_called_by_what_the_key_allows(scopes: list[str], words: str) -> None:
    assert role(AccessKey("", "", scopes_of(scopes))) == words
