"""The command for the keys of the API: list them, make one, put another in the place of one, revoke one."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import typer

from rota.cli import screen
from rota.cli.arguments import AsJson, confirmed
from rota.cli.commands.look import moment
from rota.cli.session import with_client
from rota.client.client import Client
from rota.errors import RotaError
from rota.model.access.keys import AccessKey, make, scopes_of
from rota.model.access.rates import RequestRate
from rota.server.faults import explained
from rota.settings.load import load
from rota.units import parse_duration
from rota.wire.access import AccessRecords


class Action(StrEnum):
    """The actions of the command for keys."""

    LIST = "list"
    MAKE = "make"
    ROTATE = "rotate"
    REVOKE = "revoke"


#: How long a key that another one replaces goes on.
_OVERLAP = "1d"


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Processes")(keys)


Tenant = Annotated[
    str | None, typer.Option(help="whose jobs a new key enqueues and sees; without it, those of all")
]
Rate = Annotated[str | None, typer.Option(help="how many requests a new key may send: 100/s, 1000/h")]
Burst = Annotated[
    int | None, typer.Option(help="how many of them at once; as many as in --rate, if not given")
]
MostJobs = Annotated[
    int | None, typer.Option(help="how many jobs of a new key, or its tenant, may be there that are not over")
]


def keys(
    action: Annotated[Action, typer.Argument(help="list, make, rotate or revoke")] = Action.LIST,
    key_id: Annotated[str | None, typer.Argument(metavar="ID", help="the key, for rotate and revoke")] = None,
    *,
    scope: Annotated[
        str, typer.Option(help="what a new key may do: enqueue, read, operate, admin; with commas between")
    ] = "",
    name: Annotated[str, typer.Option(help="what a new key is for")] = "",
    tenant: Tenant = None,
    rate: Rate = None,
    burst: Burst = None,
    most_jobs: MostJobs = None,
    expires: Annotated[str | None, typer.Option(help="how long a new key lasts: 90d")] = None,
    overlap: Annotated[str, typer.Option(help="how long a rotated key goes on")] = _OVERLAP,
    stored: Annotated[bool, typer.Option("--stored", help="make a key for API_KEYS, not in Redis")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="revoke without a question")] = False,
    as_json: AsJson = False,
) -> None:
    """List the keys of the API, which are in Redis without their secrets; make, rotate or revoke one."""
    if (key_id is None) == (action in (Action.ROTATE, Action.REVOKE)):
        _refuse(action)
    bounds = {"tenant": tenant, "rate": _rate(rate, burst), "most_jobs": most_jobs}
    new = _made(scope, name, expires, bounds) if action is Action.MAKE else None
    if new and stored:
        _tell(*new, as_json, also={"stored": _stored(new[1])})
        return
    if action is Action.REVOKE and not (
        yes or confirmed(f"revoke {key_id}? who uses it is refused from then on")
    ):
        raise typer.Abort

    async def act(client: Client) -> None:
        records = AccessRecords(client.redis, load().namespace)
        async with explained(client.redis):
            if new:
                await records.put({new[1].id: new[1].write()})
                _tell(*new, as_json)
            elif action is Action.LIST:
                await _list(records, as_json)
            elif action is Action.ROTATE:
                await _rotate(records, str(key_id), _seconds(overlap), as_json)
            else:
                await _revoke(records, str(key_id), as_json)

    with_client(load(), act)


def _rate(rate: str | None, burst: int | None) -> RequestRate | None:
    if rate is None and burst is not None:
        raise RotaError("--burst goes with --rate")
    try:
        return None if rate is None else RequestRate.parse(rate, burst)
    except ValueError as error:
        raise RotaError(f"no key was made: {error}") from None


def _stored(made: AccessKey) -> str:
    try:
        return made.stored()
    except ValueError as error:
        raise RotaError(f"no key was made: {error}") from None


def _made(scope: str, name: str, expires: str | None, bounds: dict[str, Any]) -> tuple[str, AccessKey]:
    try:
        scopes = scopes_of([one.strip() for one in scope.split(",") if one.strip()])
        life = None if expires is None else timedelta(seconds=_seconds(expires))
        text, made = make(scopes, name, life=life)
        return text, made.bound(**bounds)
    except ValueError as error:
        raise RotaError(f"no key was made: {error}") from None


async def _list(records: AccessRecords, as_json: bool) -> None:
    found = [AccessKey.read(key_id, raw) for key_id, raw in sorted((await records.all()).items())]
    known = [key for key in found if key is not None]
    if as_json:
        screen.value([_shown(key) for key in known])
    else:
        rows = ([key.id, key.name, *_words(key), moment(key.created), moment(key.expires)] for key in known)
        screen.table(("key", "for", "may", "tenant", "rate", "jobs", "made", "expires"), rows)


async def _rotate(records: AccessRecords, key_id: str, overlap: float, as_json: bool) -> None:
    old = AccessKey.read(key_id, (await records.all()).get(key_id))
    if old is None:
        raise _unknown(key_id)
    text, made = make(old.scopes, old.name)
    made = made.like(old)
    ended = old.ending(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=overlap))
    await records.put({made.id: made.write(), old.id: ended.write()})
    _tell(text, made, as_json, also={"replaces": old.id, "replaced_until": ended.expires})


async def _revoke(records: AccessRecords, key_id: str, as_json: bool) -> None:
    if not await records.remove(key_id):
        raise _unknown(key_id)
    screen.answer(
        {"answer": "revoked"}, f"{key_id} is revoked: it is refused everywhere within two seconds", as_json
    )


def _tell(text: str, made: AccessKey, as_json: bool, *, also: dict[str, Any] | None = None) -> None:
    """Show a key that was just made, the only time that it is seen."""
    if as_json:
        screen.value({"key": text, **_shown(made), **(also or {})})
        return
    screen.say(text)
    for what, value in (also or {}).items():
        screen.note(f"{what.replace('_', ' ')}: {moment(value) if isinstance(value, datetime) else value}")
    screen.note("this is the only time that the key is shown")


def _shown(key: AccessKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "tenant": key.tenant,
        "rate": None if key.rate is None else {"most": str(key.rate), "burst": key.rate.burst},
        "most_jobs": key.most_jobs,
        "created": key.created,
        "expires": key.expires,
    }


def _words(key: AccessKey) -> list[str]:
    """Return what a key may do, and within which bounds."""
    rate = "" if key.rate is None else f"{key.rate}, {key.rate.burst} at once"
    return [", ".join(sorted(key.scopes)), key.tenant or "", rate, f"{key.most_jobs or ''}"]


def _seconds(text: str) -> float:
    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise RotaError(f"{text!r} is no time: {error}") from None


def _unknown(key_id: str) -> RotaError:
    return RotaError(f"there is no key {key_id!r} in Redis; `rota keys` lists those that are")


def _refuse(action: Action) -> NoReturn:
    needs = action in (Action.ROTATE, Action.REVOKE)
    raise RotaError(
        f"write `rota keys {action.value} ID`" if needs else f"`rota keys {action.value}` takes no id"
    )
