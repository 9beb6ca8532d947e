"""The command line: `rota worker`, `rota enqueue`, `rota jobs`, …; without a command, what MODE says.

Whatever is wrong with settings, names or the server is one sentence on stderr and exit status 2.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic_core import from_json

from rota import app as composition
from rota import config, logs, prompt, scaling_commands, screen
from rota.client import Client
from rota.config import Settings
from rota.errors import RotaError, UnknownQueue
from rota.flows import FlowHandle
from rota.registry import Registry, discover
from rota.respawn import EXIT_WRONG, Respawn
from rota.state import State
from rota.view import JobInfo

cli = typer.Typer(
    help="rota: background jobs on arq and Redis.",
    invoke_without_command=True,
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


scaling_commands.add_to(cli)


def main() -> None:
    """Entry of `rota` and `python -m rota`."""
    # The jobs package lies beside the engine in a checkout, and in the working directory elsewhere.
    for folder in (Path.cwd() / "src", Path.cwd()):
        if folder.is_dir() and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    try:
        cli()
    except RotaError as error:
        sys.stderr.write(f"rota: {error}\n")
        sys.exit(EXIT_WRONG)


@cli.callback()
def mode(ctx: typer.Context) -> None:
    """Without a command, run as what MODE says (worker)."""
    if ctx.invoked_subcommand is None:
        settings = config.load()
        _MODES[settings.mode](settings)


@cli.command()
def worker(
    respawn: Annotated[
        bool, typer.Option("--respawn", help="start it again when it asks to be recycled, or crashes")
    ] = False,
    parent: Annotated[
        int | None, typer.Option(help="the process that respawns this one, which ends with it", hidden=True)
    ] = None,
) -> None:
    """Work on the queues until a signal."""
    settings = config.load()
    if respawn:
        _respawn(settings)
    _run_mode(settings, parent)


def _respawn(settings: Settings) -> NoReturn:
    logs.setup(settings.log_level, settings.log_format)
    # Held from one worker to the next, so that the embedded server and its data are the same.
    server = composition.server_of(settings)
    command = (sys.executable, "-m", "rota", "worker", "--parent", str(os.getpid()))
    try:
        sys.exit(asyncio.run(Respawn(command).run()))
    finally:
        server.close()


def _run_mode(settings: Settings, parent: int | None = None) -> NoReturn:
    from rota.supervisor import Supervisor  # noqa: PLC0415 - a client's command needs none of it

    logs.setup(settings.log_level, settings.log_format)
    registry = _registry(settings)
    sys.exit(Supervisor(settings, registry, parent).run())


#: What `MODE` says.
_MODES: dict[str, Callable[[Settings], NoReturn]] = {
    "worker": _run_mode,
    "exporter": scaling_commands.run_exporter,
    "autoscaler": scaling_commands.run_autoscaler,
}


def _registry(settings: Settings) -> Registry:
    return discover(settings.jobs_package, settings.default_queue)


@cli.command()
def dev() -> None:
    """Everything there is, for development: the workers, started anew when a file changes."""
    try:
        from watchfiles import PythonFilter, run_process  # noqa: PLC0415 - a development tool
    except ImportError:
        raise RotaError("`rota dev` needs watchfiles; install it with: pip install watchfiles") from None
    root = composition.checkout()
    folder = root / "src" if (root / "src").is_dir() else root
    settings = config.load()
    # Held across restarts, so that the server and its data are the same.
    server = composition.server_of(settings)
    screen.say(f"watching {folder}; Ctrl-C ends it")
    try:
        run_process(
            folder,
            target=f"{sys.executable} -m rota worker",
            target_type="command",
            watch_filter=PythonFilter(extra_extensions=(".lua", ".env")),
            callback=lambda changes: _say_changed(path for _, path in changes),
            sigint_timeout=round(settings.drain_timeout) + 5,
        )
    finally:
        server.close()


def _say_changed(paths: Iterable[str]) -> None:
    screen.say(f"changed: {', '.join(sorted(os.path.relpath(path) for path in paths))}")


@cli.command("redis-cli", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def redis_cli(ctx: typer.Context) -> None:
    """A prompt on the Redis of this process' settings, or one command: rota redis-cli zrange KEY 0 -1."""
    from rota import connection  # noqa: PLC0415

    server = composition.server_of(config.load())
    try:
        sys.exit(prompt.run(connection.sync_client(server.target), ctx.args))
    finally:
        server.close()


@cli.command()
def enqueue(
    name: Annotated[str, typer.Argument(help="queue:name, or name where one queue has it")],
    payload: Annotated[str, typer.Argument(help="the arguments, a JSON object")] = "{}",
    *,
    delay: Annotated[float | None, typer.Option(help="seconds until it is due")] = None,
    priority: Annotated[int | None, typer.Option(help="from 0 to 9; higher ones start first")] = None,
    job_id: Annotated[str | None, typer.Option("--id", help="an id of your own")] = None,
    wait: Annotated[float | None, typer.Option(help="wait for the result, at most this many seconds")] = None,
) -> None:
    """Enqueue a job."""
    settings = config.load()
    registry = _registry(settings)
    job = registry.find(name)
    arguments = _object(payload)
    try:
        chosen = job.options(delay=delay, id=job_id, priority=priority)
    except (ValueError, TypeError) as error:
        raise RotaError(str(error)) from None

    async def act(client: Client) -> None:
        handle = await client.enqueue(chosen, **arguments)
        screen.say(f"{handle.queue} {handle.id}")
        if wait is not None:
            screen.value(await handle.result(wait))

    _with_client(settings, act)


@cli.command()
def queues() -> None:
    """Every queue and how many of its jobs are in which state."""
    settings = config.load()
    names = settings.served_queues(_registry(settings).queues)

    async def act(client: Client) -> None:
        rows = []
        for name in names:
            states, paused = await client.counts(name), await client.paused_since(name)
            since = f"since {paused:%Y-%m-%d %H:%M:%S} UTC" if paused else "no"
            rows.append((name, *(states[state] for state in _LISTED), since))
        screen.table(("queue", *_LISTED, "paused"), rows)

    _with_client(settings, act)


_LISTED = (State.WAITING, State.DELAYED, State.ACTIVE, State.DEAD)


@cli.command()
def jobs(
    queue: str,
    state: Annotated[State, typer.Option(help="waiting, delayed, active or dead")] = State.WAITING,
    limit: int = 20,
) -> None:
    """List a queue's jobs in one state."""
    if state not in _LISTED:
        raise RotaError(f"{state} jobs leave their queue; list one of: {', '.join(_LISTED)}")

    settings = _serving(queue)

    async def act(client: Client) -> None:
        found = await client.jobs(queue, state, limit=limit)
        rows = [(info.id, info.task, info.attempts, _progress(info), info.error or "") for info in found]
        screen.table(("id", "job", "attempts", "progress", "error"), rows)

    _with_client(settings, act)


def _progress(info: JobInfo) -> str:
    return "" if info.percent is None else f"{info.percent:g} % {info.message}"


@cli.command()
def show(queue: str, job_id: str) -> None:
    """One job, with everything that is known of it."""

    settings = _serving(queue)

    async def act(client: Client) -> None:
        screen.details(await client.status(queue, job_id))

    _with_client(settings, act)


@cli.command()
def flow(
    flow_id: Annotated[str, typer.Argument(help="the id of a pipeline's run, its own or yours")],
    cancel: Annotated[bool, typer.Option("--cancel", help="cancel the whole")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="let a dead one go on where it died")] = False,
) -> None:
    """One run of a pipeline, stage by stage; or cancel it, or let it go on."""

    async def act(client: Client) -> None:
        handle: FlowHandle[Any] = client.flow(flow_id)
        if cancel or retry:
            screen.say(await handle.cancel() if cancel else await handle.retry())
            return
        info = await handle.status()
        screen.say(f"{info.name} {info.id}: {info.state}, {info.percent:g} %")
        if info.error is not None:
            screen.say(f"{info.failed} died of {info.error}")
        rows = [
            (
                stage.name,
                "?" if stage.total is None else stage.total,
                stage.completed,
                stage.dead,
                stage.cancelled,
            )
            for stage in info.stages
        ]
        screen.table(("stage", "jobs", "completed", "dead", "cancelled"), rows)

    _with_client(config.load(), act)


@cli.command()
def pause(queue: str) -> None:
    """Let no worker claim from a queue, until `rota resume`; what runs goes on."""

    settings = _serving(queue)

    async def act(client: Client) -> None:
        await client.pause(queue)
        screen.say(f"{queue} is paused")

    _with_client(settings, act)


@cli.command()
def resume(queue: str) -> None:
    """Let workers claim from a paused queue again."""

    settings = _serving(queue)

    async def act(client: Client) -> None:
        await client.resume(queue)
        screen.say(f"{queue} goes on")

    _with_client(settings, act)


@cli.command()
def cancel(
    queue: str,
    job_ids: Annotated[list[str] | None, typer.Argument(help="the jobs, by id")] = None,
    job: Annotated[str | None, typer.Option(help="all that are alive of this job")] = None,
    everything: Annotated[bool, typer.Option("--all", help="all that are alive on the queue")] = False,
) -> None:
    """Cancel waiting, delayed and running jobs: one, some, all of one job, or all of a queue."""
    if bool(job_ids) + (job is not None) + everything != 1:
        raise RotaError("cancel takes ids, or --job NAME, or --all, and one of them only")
    settings = _serving(queue)

    async def act(client: Client) -> None:
        if not job_ids:
            counts = await client.cancel_all(queue, task=job)
            screen.say(", ".join(f"{count} {answer}" for answer, count in sorted(counts.items())) or "none")
            return
        answers = await client.cancel_many(queue, job_ids)
        for job_id, answer in zip(job_ids, answers, strict=True):
            screen.say(answer if len(job_ids) == 1 else f"{job_id} {answer}")

    _with_client(settings, act)


@cli.command()
def retry(
    queue: str,
    job_id: Annotated[
        str | None, typer.Argument(help="one dead letter; without it, all that the options match")
    ] = None,
    job: Annotated[str | None, typer.Option(help="of this job only")] = None,
    reason: Annotated[
        str | None, typer.Option(help="that died of this only: failed, timeout, lost, …")
    ] = None,
) -> None:
    """Bring dead letters back to their queue, with all attempts before them."""

    settings = _serving(queue)

    async def act(client: Client) -> None:
        if job_id is None:
            screen.say(f"{await client.retry_dead(queue, task=job, reason=reason)} brought back")
        else:
            screen.say(f"{(await client.retry(queue, job_id)).id} brought back")

    _with_client(settings, act)


def _serving(queue: str) -> Settings:
    """The settings, if they and the jobs know of `queue`."""
    settings = config.load()
    known = settings.served_queues(_registry(settings).queues)
    if queue not in known:
        raise UnknownQueue(queue, known)
    return settings


def _object(payload: str) -> dict[str, Any]:
    try:
        value = from_json(payload)
    except ValueError as error:
        raise RotaError(
            f'the payload is not JSON ({error}); write an object such as \'{{"to": "ann"}}\''
        ) from None
    if not isinstance(value, dict):
        raise RotaError(f"the payload is a JSON {type(value).__name__}; write an object of named arguments")
    return value


def _with_client(settings: Settings, act: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        async with await composition.connect(settings) as client:
            await act(client)

    asyncio.run(go())
