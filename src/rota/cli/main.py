"""The command line: `rota worker`, `rota enqueue`, `rota jobs`, …; `python -m rota` alone runs what MODE says.

An error is one sentence on stderr, with the exit status that `rota.cli.exits` has for it.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from rota.app.respawn import EXIT_WRONG, Respawn
from rota.cli import exits, fleet, from_arq, jobs, look, redis_prompt, screen
from rota.cli.arguments import whole
from rota.cli.dev import Development
from rota.errors import DiscoveryFailed, LifespanFailed, RotaError
from rota.errors.secrets import SECRETS
from rota.errors.traces import written
from rota.model.registry import discover
from rota.server.place import checkout, locate
from rota.settings.load import ENV_FILE, Settings, load
from rota.telemetry.logs import logs
from rota.telemetry.logs.escaping import indented
from rota.telemetry.logs.records import MOST, MOST_OF_BLOCK, write

logger = logging.getLogger("rota")

cli = typer.Typer(
    invoke_without_command=True,
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(*, by_mode: bool = False) -> None:
    """Run the command of `rota`, or of `python -m rota`, which without one goes `by_mode`."""
    # The jobs package is beside the engine in a checkout, and in the working directory elsewhere.
    for folder in (Path.cwd() / "src", Path.cwd()):
        if folder.is_dir() and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    for stream in (sys.stdout, sys.stderr):
        # A pipe may take ASCII alone; a name or an error that it cannot take is escaped, and no traceback.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli(obj=by_mode)
    except RotaError as error:
        _say_failed(error)
        sys.exit(exits.status_of(error))


def _say_failed(error: RotaError) -> None:
    """Say why it ends: one sentence, below the frames of the user's code that caused it; one record in JSON logs."""
    cause = error.__cause__ if isinstance(error, DiscoveryFailed | LifespanFailed) else None
    trace = written(cause, MOST_OF_BLOCK, MOST) if cause else None
    if logs.write_json():
        write(logger, logging.CRITICAL, "process.failed", {"error": str(error)}, trace=trace)
    else:
        frames = SECRETS.hidden(trace or "").replace("Traceback (most recent call last):\n", "")
        sys.stderr.write(f"{indented(frames)}\n" if frames else "")
        sys.stderr.write(f"rota: {SECRETS.hidden(str(error))}\n")


def _say_version(asked: bool) -> None:
    if asked:
        try:
            screen.say(f"rota {version('rota')}")
        except PackageNotFoundError:
            screen.say("rota, not installed: it runs from its source")
        raise typer.Exit


@cli.callback()
def root(
    ctx: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="say which rota this is")
    ] = False,
) -> None:
    """rota: background jobs on arq and Redis. `python -m rota` alone starts what MODE says."""
    if ctx.invoked_subcommand is not None:
        return
    if ctx.obj:
        settings = load()
        if "mode" in settings.model_fields_set:
            _MODES[settings.mode](settings)
    typer.echo(ctx.get_help())
    # Where MODE was to be set and is not, the help must not pass for a worker that has ended well.
    raise typer.Exit(EXIT_WRONG if ctx.obj else 0)


@cli.command()
def worker(
    respawn: Annotated[
        bool, typer.Option("--respawn", help="start it again when it asks to be recycled, or crashes")
    ] = False,
    queues: Annotated[
        str | None, typer.Option(help="the queues to work on, with commas between; all others rest")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            parser=whole("--concurrency", 1, 10_000), metavar="N", help="jobs of each queue that run at once"
        ),
    ] = None,
    burst: Annotated[
        bool, typer.Option("--burst", help="end when no job is left on the queues, delayed ones included")
    ] = False,
    parent: Annotated[
        int | None, typer.Option(help="the process that respawns this one, which ends with it", hidden=True)
    ] = None,
) -> None:
    """Work on the queues, until a signal or, in a burst, until nothing is left."""
    settings = chosen(load(), queues, concurrency)
    if respawn:
        options = {"--queues": queues, "--concurrency": concurrency}
        given = [str(word) for option in options.items() if option[1] is not None for word in option]
        _respawn(settings, [*given, "--burst"] if burst else given)
    _run_mode(settings, parent, burst=burst)


def chosen(settings: Settings, queues: str | None, concurrency: int | None) -> Settings:
    """Return the settings with what the command line has in place of WORKER_QUEUES and the queues' concurrency."""
    changes: dict[str, Any] = {}
    if queues is not None:
        changes["worker_queues"] = tuple(name.strip() for name in queues.split(","))
    if concurrency is not None:
        own = settings.queues.items()
        changes["queue_concurrency"] = concurrency
        changes["queues"] = {name: one.model_copy(update={"concurrency": None}) for name, one in own}
    return settings.model_copy(update=changes)


def _respawn(settings: Settings, options: Sequence[str]) -> NoReturn:
    logs.setup(settings.log_level, settings.log_format)
    # Kept from one worker to the next, so that the embedded server does not stop between them.
    server = locate(settings.redis)
    command = (sys.executable, "-m", "rota", "worker", "--parent", str(os.getpid()), *options)
    try:
        sys.exit(asyncio.run(Respawn(command).run()))
    finally:
        server.close()


def _run_mode(settings: Settings, parent: int | None = None, *, burst: bool = False) -> NoReturn:
    from rota.app.supervisor import Supervisor  # noqa: PLC0415 - a client's command does not need it

    logs.setup(settings.log_level, settings.log_format)
    registry = discover(settings.jobs_package, settings.default_queue)
    logs.revive()
    sys.exit(Supervisor(settings, registry, parent, burst=burst).run())


#: What each MODE runs.
_MODES: dict[str, Callable[[Settings], NoReturn]] = {
    "worker": _run_mode,
    "exporter": fleet.run_exporter,
    "autoscaler": fleet.run_autoscaler,
}


@cli.command()
def dev() -> None:
    """Run the workers for development, and restart them when a file changes."""
    root = checkout()
    folder = root / "src" if (root / "src").is_dir() else root
    settings = load()
    # Kept across restarts, so that the embedded server does not stop between them.
    server = locate(settings.redis)
    screen.say(f"watching {folder} and {ENV_FILE}; Ctrl-C ends it")
    try:
        Development(folder, (ENV_FILE.absolute(),), settings.drain_timeout + 5, _say_changed).run()
    finally:
        server.close()


def _say_changed(paths: Iterable[str]) -> None:
    screen.say(f"changed: {', '.join(sorted(os.path.relpath(path) for path in paths))}")
    # The next lines are the worker's, which has a buffer of its own.
    sys.stdout.flush()


@cli.command("redis-cli", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def redis_cli(ctx: typer.Context) -> None:
    """Open a prompt on the Redis of the settings, or run one command: rota redis-cli zrange KEY 0 -1."""
    server = locate(load().redis)
    try:
        if server.loneliness:
            screen.warn(server.loneliness)
        sys.exit(redis_prompt.run(server.target, ctx.args))
    finally:
        server.close()


look.add_to(cli)
from_arq.add_to(cli)
jobs.add_to(cli)
fleet.add_to(cli)
