"""The command line: `rota worker`, `rota enqueue`, `rota jobs`, …; without a command `rota.cli.modes` runs MODE's."""

import os
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from rota.cli import redis_prompt, root, screen, workers
from rota.cli.arguments import whole
from rota.cli.commands import (
    database,
    doctor,
    fleet,
    from_arq,
    hands,
    history,
    jobs,
    keys,
    log,
    look,
    processes,
    schedules,
    sealing,
    server,
)
from rota.cli.commands.many import showing
from rota.cli.commands.new import making
from rota.cli.commands.putting import enqueue
from rota.cli.commands.webhooks import acting as webhooks
from rota.cli.dev import Development
from rota.server.place import checkout, locate
from rota.settings.load import ENV_FILE, load

cli = root.new()


def main(*, status_of_help: int = 0) -> None:
    """Run the command of `rota`. Without one it shows the help, and exits with `status_of_help`."""
    root.run(cli, status_of_help)


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
) -> None:
    """Work on the queues, until a signal or, in a burst, until nothing is left."""
    settings = workers.chosen(load(), queues, concurrency)
    if respawn:
        workers.respawn(settings, queues, concurrency, burst=burst)
    workers.run(settings, burst=burst)


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
log.add_to(cli)
hands.add_to(cli)
history.add_to(cli)
from_arq.add_to(cli)
enqueue.add_to(cli)
jobs.add_to(cli)
making.add_to(cli)
showing.add_to(cli)
server.add_to(cli)
doctor.add_to(cli)
schedules.add_to(cli)
webhooks.add_to(cli)
processes.add_to(cli)
fleet.add_to(cli)
keys.add_to(cli)
sealing.add_to(cli)
database.add_to(cli)
