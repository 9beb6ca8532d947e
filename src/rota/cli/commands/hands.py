"""`rota stack`, what a running job is doing now; and how `rota retry` fixes the payload of a dead letter."""

import asyncio
import contextlib
import difflib
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from rota.cli import exits, screen
from rota.cli.arguments import AsJson, confirmed, payload
from rota.cli.commands.many.acting import caller, record
from rota.cli.session import Known, known, with_client
from rota.client.client import Client
from rota.errors import JobNotFound, NoDeadLetter, RotaError, UnknownJob
from rota.model.info import JobInfo
from rota.model.job import Call, Job
from rota.model.stack.stack import JobStack
from rota.model.state import State
from rota.names import full_name
from rota.wire.keys import check_queue

OtherPayload = Annotated[
    str | None,
    typer.Option(
        "--payload",
        help="other arguments for the one: a JSON object; - reads it from stdin, @FILE from a file",
    ),
]
Edit = Annotated[bool, typer.Option("--edit", help="edit the arguments of the one, in $EDITOR")]
YesToAny = Annotated[bool, typer.Option("--yes", help="do not ask, with --where, --payload or --edit")]

#: Runs a person's editor, which may be a command with options, as git does.
_EDITOR = ("sh", "-c", 'eval "${VISUAL:-${EDITOR:-vi}} \\"\\$1\\""', "sh")


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Jobs and queues")(stack)


def stack(
    job_id: Annotated[str, typer.Argument(help="a job that runs, by id")],
    *,
    queue: Annotated[str | None, typer.Option(help="its queue; without it, all are looked at")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a running job is doing now: the calls in which its handler is, asked of its worker."""
    try:
        here = known()
        queues = here.queues if queue is None else (check_queue(queue),)
    except ValueError as error:
        raise RotaError(str(error)) from None

    async def act(client: Client) -> None:
        for one in queues:
            try:
                await client.status(one, job_id)
            except JobNotFound:
                continue
            _say(await client.stack(one, job_id), as_json)
            return
        raise JobNotFound(job_id)

    with_client(here.settings, act)


def _say(found: JobStack, as_json: bool) -> None:
    if as_json:
        screen.value(found)
        return
    screen.say(f"{found.queue}:{found.task} {found.id}, for {found.seconds:.1f} s on {found.worker}")
    screen.say(f"{found.state}:")
    for line in found.text.splitlines() or ["  (it does not say: try again)"]:
        screen.say(line)
    if found.note:
        screen.say(found.note)


@dataclass(frozen=True, slots=True)
class Fix:
    """The other arguments for a dead letter: as they were given, or to be edited (None); with `yes` nobody is asked."""

    given: str | None
    yes: bool


def fix_of(given: str | None, *, edit: bool, yes: bool, one: object) -> Fix | None:
    """Return how one letter is to be fixed; None for a retry as it is. Raises RotaError where it is not for one."""
    if not edit and given is None:
        return None
    if not one or (edit and given is not None):
        raise RotaError("--payload and --edit are for one dead letter, by its id, and one of them only")
    return Fix(given, yes)


async def retry_one(
    client: Client, here: Known, queue: str, job_id: str, fix: Fix | None, *, as_json: bool
) -> None:
    """Bring one dead letter back, and say so. Raises Exit where a person does not want the change."""
    if fix is None:
        found = await client.retry(queue, job_id)
        await record(client, "retry", queue=queue, id=job_id)
    else:
        info = await client.status(queue, job_id, letter=True)
        found = await client.retry(queue, info.id, call=await _fixed(here, queue, info, fix), by=caller())
    told = "brought back" if found.created else f"has the unique key of {job_id}, and stands for it"
    screen.answer({"retried": int(found.created), "id": found.id}, f"{found.id} {told}", as_json)


async def _fixed(here: Known, queue: str, info: JobInfo, fix: Fix) -> Call[Any]:
    """Return the call that a letter is to come back as; what changes is shown, and asked for.

    Raises RotaError, InvalidPayload, Exit where it is not wanted.
    """
    if info.state is not State.DEAD:
        raise NoDeadLetter(info.id, info.state)
    if info.refused is not None:
        raise info.refused
    job, before = _job_of(here, queue, info), _lines(info.payload)
    given = fix.given
    if given is None:
        given = await asyncio.to_thread(_edited, "\n".join(before))
    after = payload(given)
    call: Call[Any] = Call(job, job.payload.bind((), job.payload.parse((), after)))
    for line in difflib.unified_diff(before, _lines(after), "before", "after", lineterm="", n=100):
        screen.note(line)
    if before == _lines(after):
        screen.note("the payload stays as it is")
    if not fix.yes and not confirmed(f"retry {info.id} with this payload?"):
        screen.note("nothing was done")
        raise typer.Exit(exits.FAILED)
    return call


def _job_of(here: Known, queue: str, info: JobInfo) -> Job[Any, Any]:
    """Return the job of a letter, which may be on another queue than its own. Raises RotaError."""
    for name in (full_name(queue, info.task), info.task):
        with contextlib.suppress(UnknownJob):
            return here.registry.find(name)
    raise RotaError(f"the code here does not have the job {info.job}, so its payload cannot be checked")


def _lines(value: dict[str, Any] | None) -> list[str]:
    return json.dumps(value or {}, indent=2, sort_keys=True, ensure_ascii=False).splitlines()


def _edited(text: str) -> str:
    """Let a person edit a text, and return what it is then. Raises RotaError where no editor runs."""
    with tempfile.TemporaryDirectory(prefix="rota-") as folder:
        path = Path(folder) / "payload.json"
        path.write_text(text + "\n", "utf-8")
        status = subprocess.run([*_EDITOR, str(path)], check=False).returncode  # noqa: S603 - a person's own
        if status:
            raise RotaError(f"the editor ended with status {status}: EDITOR names it; nothing was done")
        return path.read_text("utf-8")
