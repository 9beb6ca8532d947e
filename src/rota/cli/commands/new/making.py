"""The command that writes a new job with its tests, where the jobs package and the tests of the checkout are."""

import builtins
import keyword
import re
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from rota.cli import screen
from rota.cli.commands.new.text import TAKEN, Kind, NewJob, job_of, tests_of
from rota.cli.session import Known, known
from rota.errors import RotaError
from rota.model.schedules.every import every as schedule
from rota.names import check_name, full_name
from rota.server.place import checkout

#: What can be a function, a module and a part of a file's name; longer ones would not fit a line of code.
_NAME, _LONGEST = re.compile(r"[a-z][a-z0-9_]*", re.ASCII), 40
#: Modules of a jobs package that are no jobs.
_OTHERS = frozenset({"lifespan", "middleware", "subscribers", "senders"})


class What(StrEnum):
    """The things that can be written."""

    JOB = "job"


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Jobs and queues")(new)


def new(
    what: Annotated[What, typer.Argument(help="job")],
    name: Annotated[str, typer.Argument(help="its name, as that of a function: send_invoice")],
    *,
    queue: Annotated[str | None, typer.Option(help="its queue; the default queue")] = None,
    kind: Annotated[
        Kind, typer.Option(help="async on the event loop, thread for what blocks, process for what computes")
    ] = Kind.ASYNC,
    every: Annotated[
        str | None, typer.Option(help='let it run by the clock: "0 4 * * *", @daily or 5m')
    ] = None,
) -> None:
    """Write a new job into the jobs package, and tests that pass; what is there already stays as it is."""
    _check(name, queue, every)
    here = known()
    _check_free(here, name)
    job = NewJob(name, here.settings.jobs_package, kind, queue, every)
    root = checkout()
    # The tests first: the folder of the jobs is there, and theirs may not be.
    texts = {
        root / "tests" / "jobs" / f"test_{name}.py": tests_of(job),
        _folder_of(job.package) / f"{name}.py": job_of(job),
    }
    _write(texts, root)
    tests, module = (_shown(path, root) for path in texts)
    screen.say(f"{module}: the job {full_name(queue or here.settings.default_queue, name)}")
    screen.say(f"{tests}: its tests; run them: python -m pytest {tests}")
    screen.say(f"Put your work into it. With `rota dev` in another terminal: rota enqueue {name} --wait 10")


def _check(name: str, queue: str | None, every: str | None) -> None:
    """Raise RotaError for a name, a queue or a time that cannot be."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise RotaError(f"a job cannot be named {name!r}: {_rule(name)}")
    if keyword.iskeyword(name) or hasattr(builtins, name) or name in TAKEN | _OTHERS:
        raise RotaError(
            f"a job cannot be named {name!r}: the name means something else in its module; choose another"
        )
    try:
        if queue is not None:
            check_name("queue", queue)
        if every is not None:
            schedule(every)
    except ValueError as error:
        raise RotaError(str(error)) from None


def _rule(name: str) -> str:
    rule = f"it is a small letter a-z, then small letters, digits and _, at most {_LONGEST}"
    meant = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    fits = _NAME.fullmatch(meant) and len(meant) <= _LONGEST
    return f"{rule}; did you mean {meant}?" if fits else rule


def _check_free(here: Known, name: str) -> None:
    """Raise RotaError where a job has this name, on any queue: people and programs name jobs without their queue."""
    for job in here.registry.jobs:
        if job.name == name:
            full = here.registry.full_name(job)
            raise RotaError(f"the job {full} is there already, at {job.source}; choose another name")


def _folder_of(package: str) -> Path:
    """Return the folder of the jobs package. Raises RotaError where there is none."""
    try:
        spec = find_spec(package)
    except ImportError:
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise RotaError(f"there is no folder of the jobs package {package!r} (JOBS_PACKAGE); make it first")
    return Path(folders[0])


def _write(texts: dict[Path, str], root: Path) -> None:
    """Write all files, or none where one of them is there. Raises RotaError."""
    for path in texts:
        if path.exists():
            raise RotaError(f"{_shown(path, root)} is there already, and stays as it is; choose another name")
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise RotaError(f"{_shown(path, root)} cannot be written: {error.strerror}") from None


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
