"""The command for webhooks: list them, make one, change it, see what was sent to it and send it again."""

from enum import StrEnum
from typing import Annotated, Any, NoReturn

import typer

from rota.cli import screen
from rota.cli.arguments import AsJson, confirmed
from rota.cli.commands.webhooks import showing
from rota.cli.session import with_client
from rota.client.client import Client
from rota.client.webhooks.webhooks import Webhooks
from rota.errors import RotaError
from rota.model.webhooks.subscription import KINDS
from rota.names import check_tenant
from rota.settings.load import load


class Action(StrEnum):
    """The actions of the command for webhooks."""

    LIST = "list"
    MAKE = "make"
    SENT = "sent"
    RESEND = "resend"
    ROTATE = "rotate"
    OFF = "off"
    ON = "on"
    DELETE = "delete"


#: What each action takes beside its name.
_TAKES = {Action.LIST: 0, Action.MAKE: 1, Action.RESEND: 2}


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Jobs and queues")(webhooks)


def webhooks(
    action: Annotated[
        Action, typer.Argument(help="list, make, sent, resend, rotate, off, on or delete")
    ] = Action.LIST,
    what: Annotated[str | None, typer.Argument(metavar="ID", help="the webhook; for make, its URL")] = None,
    message: Annotated[str | None, typer.Argument(help="the message to send again")] = None,
    *,
    events: Annotated[
        str, typer.Option(help=f"what a new one is told of, with commas: {','.join(KINDS)}")
    ] = "",
    queues: Annotated[str, typer.Option(help="the queues of its jobs, with commas; all")] = "",
    jobs: Annotated[str, typer.Option(help="the full names of its jobs, with commas; all")] = "",
    tenant: Annotated[str | None, typer.Option(help="whose jobs alone a new one is told of")] = None,
    chosen_only: Annotated[
        bool, typer.Option("--chosen-only", help="only of jobs that are enqueued with its id")
    ] = False,
    description: Annotated[str, typer.Option(help="what a new one is for")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="delete without a question")] = False,
    as_json: AsJson = False,
) -> None:
    """List the webhooks, which are told of the ends of jobs; make or change one, or see what was sent to it."""
    given = (what is not None) + (message is not None)
    if given != _TAKES.get(action, 1):
        _refuse(action)
    fields: dict[str, Any] = {
        "events": _listed(events) or KINDS,
        "queues": _listed(queues),
        "jobs": _listed(jobs),
        "chosen_only": chosen_only,
        "description": description,
        "tenant": _tenant(tenant),
    }
    if action is Action.DELETE and not (yes or confirmed(f"delete {what}? what waits for it is not sent")):
        raise typer.Abort

    async def act(client: Client) -> None:
        await _act(client.webhooks, action, str(what), str(message), fields=fields, as_json=as_json)

    with_client(load(), act)


async def _act(
    hooks: Webhooks, action: Action, what: str, message: str, *, fields: dict[str, Any], as_json: bool
) -> None:
    if action is Action.LIST:
        showing.listed(await hooks.all(), as_json)
    elif action is Action.MAKE:
        showing.secret(await hooks.make(what, **fields), as_json)
    elif action is Action.ROTATE:
        showing.secret(await hooks.rotate(what), as_json)
    elif action is Action.SENT:
        showing.sent(await hooks.deliveries(what, limit=100), as_json)
    else:
        await _change(hooks, action, what, message, as_json)


async def _change(hooks: Webhooks, action: Action, hook: str, message: str, as_json: bool) -> None:
    if action is Action.RESEND:
        await hooks.send_again(hook, message)
        screen.answer({"answer": "sent again"}, f"{message} is sent again", as_json)
    elif action is Action.DELETE:
        await hooks.remove(hook)
        screen.answer({"answer": "deleted"}, f"{hook} is deleted", as_json)
    else:
        await hooks.change(hook, on=action is Action.ON)
        screen.answer({"answer": f"switched {action.value}"}, f"{hook} is switched {action.value}", as_json)


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _tenant(name: str | None) -> str | None:
    try:
        return None if name is None else check_tenant(name)
    except ValueError as error:
        raise RotaError(str(error)) from None


def _refuse(action: Action) -> NoReturn:
    words = {Action.LIST: "", Action.MAKE: " URL", Action.RESEND: " ID MESSAGE"}.get(action, " ID")
    raise RotaError(f"write `rota webhooks {action.value}{words}`")
