"""What `--where` does: the jobs that it chooses are counted and shown, and the leader does the action to them."""

import getpass
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from rota.cli import exits, screen
from rota.cli.arguments import confirmed
from rota.cli.progress import Progress
from rota.cli.session import with_client
from rota.client.bulk.operations import Preview
from rota.client.client import Client
from rota.errors import RotaError
from rota.model.bulk.actions import Action, Actor
from rota.model.bulk.filters import BulkAction, Filter
from rota.model.bulk.operation import Operation
from rota.model.bulk.where import filter_of
from rota.server.faults import ServerError
from rota.settings.load import load
from rota.wire.leader import leader_of

Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="CONDITIONS",
        help="""all that meet these: 'name=email:send error~"timeout" since=2h'""",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="with --where, show how many and which; change nothing")
]
Yes = Annotated[bool, typer.Option("--yes", help="with --where, do not ask")]

#: What is said of the jobs that an action was done to.
_DONE = {
    BulkAction.RETRY: "brought back",
    BulkAction.CANCEL: "cancelled",
    BulkAction.DELETE: "deleted",
    BulkAction.RUN_NOW: "run now",
}


@dataclass(frozen=True, slots=True)
class Many:
    """The options by which a command chooses many jobs."""

    where: str
    dry_run: bool = False
    yes: bool = False
    as_json: bool = False


def chosen(
    where: str | None, others: tuple[object, ...], *, dry_run: bool, yes: bool, as_json: bool
) -> Many | None:
    """Return what `--where` chooses; None for a command without it. Raises RotaError where others choose as well."""
    if where is None:
        if dry_run:
            raise RotaError("--dry-run goes with --where")
        return None
    if any(one not in (None, False, [], ()) for one in others):
        raise RotaError(
            "--where goes with a queue alone: what else chooses jobs is written into its conditions"
        )
    return Many(where, dry_run, yes, as_json)


def needed(queue: str | None, command: str) -> str:
    """Return the queue of a command without `--where`. Raises RotaError where none is given."""
    if queue is None:
        raise RotaError(f"{command} takes a queue, or --where CONDITIONS")
    return queue


def act_on_many(action: BulkAction, queue: str | None, many: Many) -> None:
    """Do an action to the jobs that are chosen, once a person has seen how many they are."""
    wanted = filter_of(many.where, datetime.now(UTC))
    if queue is not None:
        if wanted.on_queue not in (None, queue):
            raise RotaError(
                f"--where says the queue {wanted.on_queue}, and the command {queue}: leave one of them out"
            )
        wanted = Filter.of({**wanted.fields(), "queue": queue})

    async def act(client: Client) -> None:
        preview = await client.bulk.preview(action, wanted)
        if many.dry_run:
            _say_preview(preview, many.as_json)
            return
        if not preview.count:
            screen.answer(_counts(None), "no job meets the conditions", many.as_json)
            return
        if not many.yes and not confirmed(f"{action.replace('_', ' ')} {_number(preview)} jobs?"):
            screen.note("nothing was done")
            raise typer.Exit(exits.FAILED)
        expect = preview.count if preview.is_whole else None
        operation = await client.bulk.start(action, wanted, caller(), expect=expect)
        await _follow(client, operation, many.as_json)

    with_client(load(), act)


async def _follow(client: Client, operation: Operation, as_json: bool) -> None:
    if await leader_of(client.redis, load().namespace) is None:
        screen.note("no worker leads at the moment; it is done as soon as one does")
    action = BulkAction(operation.action)
    left = f"; the others follow, unless `rota bulk {operation.id} --abort` stops it"
    with Progress(f"jobs {_DONE[action]}", quiet=as_json, left=left) as at:
        over = await client.bulk.follow(
            operation.id, lambda one: at.moved(one.done + one.skipped + one.failed, one.count or 0)
        )
    rest = ((over.skipped, "skipped"), (over.failed, "failed"))
    said = [f"{over.done:,} {_DONE[action]}", *(f"{number:,} {word}" for number, word in rest if number)]
    screen.answer(_counts(over), ", ".join(said), as_json)
    for one in () if as_json else over.refused:
        screen.note(f"{one['queue']} {one['id']}: {one['why']}")
    if over.state != "done":
        screen.note(f"the operation {over.id} is {over.state}{over.error and f': {over.error}'}")
        raise typer.Exit(exits.FAILED)


def _counts(over: Operation | None) -> dict[str, Any]:
    if over is None:
        return {"id": None, "state": "done", "done": 0, "skipped": 0, "failed": 0}
    return {name: getattr(over, name) for name in ("id", "state", "done", "skipped", "failed")}


def _number(preview: Preview) -> str:
    return f"{preview.count:,}" if preview.is_whole else f"{preview.count:,} or more"


def _say_preview(preview: Preview, as_json: bool) -> None:
    if as_json:
        sample = [screen.as_json(one) for one in preview.sample]
        screen.value({"count": preview.count, "is_whole": preview.is_whole, "sample": sample})
        return
    screen.say(f"{_number(preview)} jobs")
    if preview.sample:
        rows = [(one.id, one.job, one.state.value, one.error or "") for one in preview.sample]
        screen.table(("id", "job", "state", "error"), rows)


async def record(client: Client, action: str, count: int = 1, **target: Any) -> None:
    """Add to the list of actions what this command has done to `count` jobs; what was done stays done without."""
    if not count:
        return
    known = {name: value for name, value in target.items() if value}
    try:
        await client.actions.record(Action(actor=caller(), action=action, target=known, count=count))
    except ServerError as error:
        screen.warn(f"it is done, and who did it could not be recorded: {error}")


def caller() -> Actor:
    """Return who runs this command: the user and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that no user has.
        user = str(os.getuid())
    return Actor("cli", f"{user}@{socket.gethostname()}")
