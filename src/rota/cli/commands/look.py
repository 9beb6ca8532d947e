"""The commands that look, and change nothing: the jobs of the code, the queues, and what lies on them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from rota.app.handlers import rules_of
from rota.cli import screen
from rota.cli.arguments import AsJson, whole
from rota.cli.progress import Progress
from rota.cli.session import Known, known, on_queue, with_client
from rota.client.client import Client
from rota.model.info import FailureGroup, JobInfo
from rota.model.job import Job
from rota.model.log.lines import START
from rota.model.log.text import rows_of
from rota.model.registry import Registry
from rota.model.state import State
from rota.names import full_name
from rota.server.faults import ServerError, explained
from rota.settings.load import Settings, load
from rota.wire.inventory import told_of, unknown_jobs

#: The states whose jobs can be listed.
LISTED = (State.WAITING, State.DELAYED, State.ACTIVE, State.DEAD)

#: How many lines of a job's log are shown with the job.
_LAST_LINES = 5


def moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _progress(info: JobInfo) -> str:
    return "" if info.percent is None else f"{info.percent:g} % {info.message}"


#: What is shown of a job beside its id and its name, by its state.
_TIMES: dict[State, tuple[tuple[str, Callable[[JobInfo], object]], ...]] = {
    State.WAITING: (("due", lambda info: moment(info.due_at)),),
    State.DELAYED: (("due", lambda info: moment(info.due_at)),),
    State.ACTIVE: (
        ("started", lambda info: moment(info.started_at)),
        ("progress", _progress),
    ),
    State.COMPLETED: (("finished", lambda info: moment(info.finished_at)),),
    State.CANCELLED: (
        ("finished", lambda info: moment(info.finished_at)),
        ("reason", lambda info: info.reason),
    ),
    State.DEAD: (
        ("finished", lambda info: moment(info.finished_at)),
        ("error", lambda info: info.error or ""),
    ),
}


def add_to(cli: typer.Typer) -> None:
    cli.command("list", rich_help_panel="Jobs and queues")(list_jobs)
    for command in (queues, jobs, show, failures):
        cli.command(rich_help_panel="Jobs and queues")(command)


def list_jobs(as_json: AsJson = False) -> None:
    """List every job of the code, with the policy that is in force for it; needs no server."""
    here = known()
    settings, registry = here.settings, here.registry
    policies = [_policy(settings, queue, job) for queue in registry.queues for job in _of(registry, queue)]
    if as_json:
        screen.value(policies)
    elif policies:
        screen.table(tuple(policies[0]), [tuple(map(_shown, one.values())) for one in policies])


def _of(registry: Registry, queue: str) -> list[Job[Any, Any]]:
    return [job for _, job in sorted(registry.for_queue(queue).items())]


def _policy(settings: Settings, queue: str, job: Job[Any, Any]) -> dict[str, object]:
    own = settings.queue(queue)
    rules = rules_of(job, own)
    return {
        "job": full_name(queue, job.name),
        "runs": job.kind,
        "attempts": rules.max_attempts,
        "timeout": rules.timeout,
        "backoff": rules.backoff.kind,
        "priority": job.priority,
        "limit": None if job.limit is None else str(job.limit),
        "at once": None if job.concurrency is None else job.concurrency.most,
        "unique": job.unique is not None,
        "defined": job.source,
    }


def _shown(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:g} s" if isinstance(value, float) else "" if value is None else value


def queues(as_json: AsJson = False) -> None:
    """List every queue, with the number of its jobs in each state and of the processes that serve it."""
    here = known()

    async def act(client: Client) -> None:
        strays = await _strays(client, here)
        found = [await _queue(client, here, name) for name in (*here.served, *strays)]
        if as_json:
            screen.value([one | {"known": one["queue"] not in strays} for one in found])
        else:
            screen.table(("queue", *LISTED, "workers", "paused"), [_queue_row(one) for one in found])
        for line in await _unknown(client, [one["queue"] for one in found]):
            screen.warn(line)
        for name in strays:
            screen.warn(
                f"no job and no setting of this code names the queue {name!r}{_meant(name, here.queues)}"
            )

    with_client(here.settings, act)


async def _strays(client: Client, here: Known) -> list[str]:
    """Return the queues that have jobs or letters, and that nothing names: of former names, or of misspelt ones."""
    try:
        return [name for name in await client.queues() if name not in here.queues]
    except ServerError as error:
        screen.warn(f"other queues cannot be looked for: {error}")
        return []


async def _unknown(client: Client, queues: Sequence[str]) -> list[str]:
    """Return a sentence for each queue with jobs that no worker knows."""
    try:
        async with explained(client.redis):
            found = await unknown_jobs(client.redis, queues)
    except ServerError as error:
        return [f"jobs that no worker knows cannot be looked for: {error}"]
    return [f"{name}: {sentence}" for name, one in found.items() if (sentence := told_of(one))]


async def _queue(client: Client, here: Known, name: str) -> dict[str, Any]:
    counts, paused = await client.counts(name), await client.paused_since(name)
    return {
        "queue": name,
        **{str(state): counts[state] for state in LISTED},
        "fleet_concurrency": here.settings.queue(name).fleet_concurrency,
        "workers": await client.workers(name),
        "paused_since": paused,
    }


def _queue_row(one: dict[str, Any]) -> list[object]:
    since, most, active = one["paused_since"], one["fleet_concurrency"], one[State.ACTIVE]
    # A limit of the whole fleet stands beside what it limits.
    shown = one | {State.ACTIVE: f"{active} of {most}"} if most else one
    cells = [shown[name] for name in ("queue", *LISTED, "workers")]
    return [*cells, f"since {moment(since)} UTC" if since else "no"]


def _meant(name: str, queues: Sequence[str]) -> str:
    close = get_close_matches(name, queues, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def jobs(
    queue: str,
    *,
    state: Annotated[
        State, typer.Option(help="waiting, delayed, active, dead, completed or cancelled")
    ] = State.WAITING,
    limit: Annotated[
        int, typer.Option(parser=whole("--limit", 1, 1000), metavar="N", help="how many to show")
    ] = 20,
    offset: Annotated[
        int,
        typer.Option(parser=whole("--offset", 0, 1_000_000_000), metavar="N", help="how many to pass over"),
    ] = 0,
    tenant: Annotated[str | None, typer.Option(help="the jobs of this tenant alone")] = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs of a queue that are in one state, a page at a time; times are in UTC."""

    async def act(client: Client, _: Known) -> None:
        found = await client.jobs(queue, state, offset=offset, limit=limit, tenant=tenant)
        # How many completed or cancelled jobs there were, nobody counts; nor how many a tenant has.
        total = (await client.counts(queue)).get(state) if tenant is None else None
        if as_json:
            screen.value({"total": total, "offset": offset, "jobs": [screen.as_json(info) for info in found]})
            return
        columns = ("id", "job", "attempts", *(name for name, _ in _TIMES[state]))
        screen.table(columns, [tuple(_row(info, state)) for info in found])
        command = f"rota jobs {queue} --state {state}" + (f" --tenant {tenant}" if tenant else "")
        for line in _about_page(command, offset, len(found), limit, total):
            # Beside the table, not in it: a program that reads the table does not meet it.
            screen.note(line)

    on_queue(queue, act)


def _row(info: JobInfo, state: State) -> Iterator[object]:
    yield from (info.id, info.job, info.attempts)
    yield from (show(info) for _, show in _TIMES[state])


def _about_page(command: str, offset: int, shown: int, limit: int, total: int | None) -> Iterator[str]:
    """Yield what a page leaves out: how many there are, and the command for the next page."""
    if total is not None and (offset or shown < total):
        yield f"{shown:,} of {total:,}"
    if shown == limit and (total is None or offset + shown < total):
        yield f"next page: {command} --limit {limit} --offset {offset + shown}"


def show(queue: str, job_id: str, as_json: AsJson = False) -> None:
    """Show one job, with everything that is known of it."""

    async def act(client: Client, _: Known) -> None:
        info = await client.status(queue, job_id)
        lines = await client.log(queue, info.id, after=START)
        if as_json:
            screen.value(screen.as_json(info) | {"log_lines": len(lines)})
            return
        screen.details(info)
        if lines:
            shown = lines[-_LAST_LINES:]
            screen.say(f"log          {len(lines)} lines; the last are")
            for row in rows_of(shown):
                screen.say(f"  {row}")
            if len(shown) < len(lines):
                screen.note(f"all of them: rota log {queue} {info.id}")

    on_queue(queue, act)


def failures(
    queue: Annotated[str | None, typer.Argument(help="of this queue alone")] = None,
    as_json: AsJson = False,
) -> None:
    """Group the dead letters by cause: one line for each, the most numerous first; times are in UTC."""

    async def act(client: Client) -> None:
        with Progress("dead letters read", quiet=as_json) as at:
            found = await client.failures(queue, moved=at.moved)
        if as_json:
            screen.value([screen.group_as_json(group) for group in found])
            return
        columns = (
            "queue",
            "cause",
            "letters",
            "1 h",
            "24 h",
            "7 d",
            "first",
            "last",
            "versions",
            "job",
            "error",
        )
        screen.table(columns, [_group_row(group) for group in found])
        for group in found[:1]:
            screen.note(f"bring them back: rota retry {group.queue} --cause {group.cause}")

    if queue is None:
        with_client(load(), act)
    else:
        on_queue(queue, lambda client, _: act(client))


def _group_row(group: FailureGroup) -> tuple[object, ...]:
    times = (moment(group.first_at), moment(group.last_at))
    counts = (group.count, group.last_hour, group.last_day, group.last_week)
    # The first and the newest version that the cause was seen in.
    versions = " … ".join(dict.fromkeys((*group.versions[:1], *group.versions[-1:])))
    return (group.queue, group.cause, *counts, *times, versions, ", ".join(group.tasks), group.error)
