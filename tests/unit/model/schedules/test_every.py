"""`@every`: what it makes of a job, what the registry finds, and what is refused at import."""

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rota import Run, every, job
from rota.errors import DiscoveryFailed, ScheduleClash
from rota.model.registry import Registry, discover
from rota.model.schedules.times import Cron, Interval

Write = Callable[[str], str]
HEAD = "from rota import every, job\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a package of one file, and return its name."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"jobs_{tmp_path.name}".replace("-", "_")

    def make(text: str) -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(HEAD + text)
        return name

    yield make
    sys.modules.pop(name, None)


@job(queue="email")
async def report(run: Run, to: str, copies: int = 1) -> None: ...


@job
async def sweep(run: Run) -> None: ...


def test_a_job_may_have_several_schedules_in_the_order_in_which_they_are_written() -> None:
    nightly = every("0 4 * * *", tz="Europe/Berlin", args={"to": "ann"}, missed="skip", overlap="allow")
    scheduled = nightly(every("5m", args={"to": "bob", "copies": 2}, name="often")(report))
    first, second = scheduled.schedules
    assert first.times == Cron("0 4 * * *", "Europe/Berlin")
    assert (first.name, first.arguments, first.missed, first.overlap) == (
        None,
        {"to": "ann"},
        "skip",
        "allow",
    )
    assert second.times == Interval(300_000)
    assert (second.name, second.missed, second.overlap) == ("often", "run_once", "skip")
    assert scheduled.handler is report.handler
    assert report.schedules == ()


def test_schedules_are_found_with_their_jobs_and_named_by_them(write: Write) -> None:
    registry: Registry = discover(
        write(
            "@every('0 4 * * *')\n@every('0 12 * * *')\n@every('1h', name='hourly')\n@job(queue='email')\n"
            "async def send(run): ...\n"
            "@job\nasync def plain(run): ...\n"
            "often = every('5m')(plain)\n"
        )
    )
    assert [one.name for one in registry.schedules] == [
        "email:send",
        "email:send-2",
        "hourly",
        "default:plain",
    ]


def test_two_schedules_of_one_name_cannot_be(write: Write) -> None:
    package = write(
        "@every('5m', name='x')\n@job\nasync def a(run): ...\n@every('5m', name='x')\n@job\nasync def b(run): ...\n"
    )
    with pytest.raises(ScheduleClash, match=r"two schedules are named x: .*rename one with name="):
        discover(package)


def test_arguments_are_checked_once_their_types_are_defined(write: Write) -> None:
    package = write(
        "@every('5m', args={'note': 3})\n@job\nasync def later(run, note: 'Later') -> None: ...\nLater = str\n"
    )
    with pytest.raises(DiscoveryFailed, match=r"@every of the job later: .*note"):
        discover(package)


def test_a_name_that_is_too_long_for_ids_is_refused(write: Write) -> None:
    name = "x" * 90
    package = write(f"@every('5m')\n@job(queue='{name}', name='{name}')\nasync def a(run): ...\n")
    with pytest.raises(DiscoveryFailed, match="longer than 150 characters; give another name="):
        discover(package)


@pytest.mark.parametrize(
    ("options", "of", "said"),
    [
        ({}, report, "@every of the job report: .*to.*; give what it takes as args="),
        ({"args": {"to": 3}}, report, "@every of the job report: .*to"),
        ({"args": {"to": "ann", "cc": "bob"}}, report, "@every of the job report: .*cc"),
        ({"missed": "all"}, sweep, "missed is 'all'; choose one of: run_once, skip"),
        ({"overlap": "queue"}, sweep, "overlap is 'queue'; choose one of: skip, allow"),
        ({"name": "No Name"}, sweep, "schedule name 'No Name' is not allowed"),
        ({}, sweep.options(delay=5), "@every says when it runs; leave out the option 'delay'"),
        ({}, sweep.options(id="mine"), "leave out the option 'id'"),
    ],
)
def test_what_can_never_run_is_refused_at_import(options: dict[str, Any], of: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        every("5m", **options)(of)


def test_it_stands_above_job_and_takes_arguments_by_name() -> None:
    async def bare(run: Run) -> None: ...

    with pytest.raises(TypeError, match="@every is for jobs, not function; write it above @job"):
        every("5m")(bare)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="args is list; give arguments by name"):
        every("5m", args=["ann"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no time to run at"):
        every(5)  # type: ignore[arg-type]
    assert every(timedelta(minutes=5))(sweep).schedules[0].times == Interval(300_000)
