"""The commands that look, and change nothing: the jobs of the code, the queues, and what lies on them."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from rota.app.handlers import rules_of
from rota.cli import screen
from rota.cli.arguments import whole
from rota.cli.session import serving, with_client
from rota.client.client import Client
from rota.model.info import JobInfo
from rota.model.job import Job
from rota.model.registry import discover
from rota.model.state import State
from rota.settings.load import Settings, load

#: The states whose jobs can be listed.
LISTED = (State.WAITING, State.DELAYED, State.ACTIVE, State.DEAD)

AsJson = Annotated[bool, typer.Option("--json", help="as JSON, for programs")]


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _progress(info: JobInfo) -> str:
    return "" if info.percent is None else f"{info.percent:g} % {info.message}"


#: What is shown of a job beside its id and its name, by its state.
_TIMES: dict[State, tuple[tuple[str, Callable[[JobInfo], object]], ...]] = {
    State.WAITING: (("due", lambda info: _moment(info.due_at)),),
    State.DELAYED: (("due", lambda info: _moment(info.due_at)),),
    State.ACTIVE: (
        ("started", lambda info: _moment(info.started_at)),
        ("progress", _progress),
    ),
    State.COMPLETED: (("finished", lambda info: _moment(info.finished_at)),),
    State.CANCELLED: (
        ("finished", lambda info: _moment(info.finished_at)),
        ("reason", lambda info: info.reason),
    ),
    State.DEAD: (
        ("finished", lambda info: _moment(info.finished_at)),
        ("error", lambda info: info.error or ""),
    ),
}


def add_to(cli: typer.Typer) -> None:
    cli.command("list", rich_help_panel="Jobs and queues")(list_jobs)
    for command in (queues, jobs, show):
        cli.command(rich_help_panel="Jobs and queues")(command)


def list_jobs(as_json: AsJson = False) -> None:
    """List every job of the code, with the policy that is in force for it; needs no server."""
    settings = load()
    registry = discover(settings.jobs_package, settings.default_queue)
    policies = [_policy(settings, queue, job) for queue in registry.queues for job in _of(registry, queue)]
    if as_json:
        screen.value(policies)
    elif policies:
        screen.table(tuple(policies[0]), [tuple(map(_shown, one.values())) for one in policies])


def _of(registry: Any, queue: str) -> list[Job[Any, Any]]:
    return [job for _, job in sorted(registry.for_queue(queue).items())]


def _policy(settings: Settings, queue: str, job: Job[Any, Any]) -> dict[str, object]:
    own = settings.queue(queue)
    rules = rules_of(job, own)
    return {
        "job": f"{queue}:{job.name}",
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
    """List every queue, with the number of its jobs in each state."""
    settings = load()
    names = settings.served_queues(discover(settings.jobs_package, settings.default_queue).queues)

    most = {name: settings.queue(name).fleet_concurrency for name in names}

    async def act(client: Client) -> None:
        found = [(name, await client.counts(name), await client.paused_since(name)) for name in names]
        if as_json:
            screen.value(
                [
                    {"queue": name, **states, "fleet_concurrency": most[name], "paused_since": since}
                    for name, states, since in found
                ]
            )
            return
        rows = [
            (name, *_counted(states, most[name]), f"since {_moment(since)} UTC" if since else "no")
            for name, states, since in found
        ]
        screen.table(("queue", *LISTED, "paused"), rows)

    with_client(settings, act)


def _counted(states: Mapping[State, int], most: int | None) -> list[int | str]:
    """Return the numbers of a queue's jobs by state; a limit of the whole fleet stands beside what it limits."""
    numbers = {state: states[state] for state in LISTED}
    return [
        f"{number} of {most}" if most and state is State.ACTIVE else number
        for state, number in numbers.items()
    ]


def jobs(
    queue: str,
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
    as_json: AsJson = False,
) -> None:
    """List the jobs of a queue that are in one state, a page at a time; times are in UTC."""
    settings = serving(queue)

    async def act(client: Client) -> None:
        found = await client.jobs(queue, state, offset=offset, limit=limit)
        # How many completed or cancelled jobs there were, nobody counts.
        total = (await client.counts(queue)).get(state)
        if as_json:
            screen.value({"total": total, "offset": offset, "jobs": [screen.as_json(info) for info in found]})
            return
        columns = ("id", "job", "attempts", *(name for name, _ in _TIMES[state]))
        screen.table(columns, [tuple(_row(info, state)) for info in found])
        for line in _about_page(f"rota jobs {queue} --state {state}", offset, len(found), limit, total):
            # Beside the table, not in it: a program that reads the table does not meet it.
            screen.note(line)

    with_client(settings, act)


def _row(info: JobInfo, state: State) -> Iterator[object]:
    yield from (info.id, info.task, info.attempts)
    yield from (show(info) for _, show in _TIMES[state])


def _about_page(command: str, offset: int, shown: int, limit: int, total: int | None) -> Iterator[str]:
    """Yield what a page leaves out: how many there are, and the command for the next page."""
    if total is not None and (offset or shown < total):
        yield f"{shown:,} of {total:,}"
    if shown == limit and (total is None or offset + shown < total):
        yield f"next page: {command} --limit {limit} --offset {offset + shown}"


def show(queue: str, job_id: str, as_json: AsJson = False) -> None:
    """Show one job, with everything that is known of it."""
    settings = serving(queue)

    async def act(client: Client) -> None:
        info = await client.status(queue, job_id)
        if as_json:
            screen.value(screen.as_json(info))
        else:
            screen.details(info)

    with_client(settings, act)
