"""How a worker is run: by MODE, by `rota worker`, or as the child of a process that starts it again when it ends."""

import asyncio
import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, NoReturn

from rota.app.respawn import Respawn
from rota.cli.program import all_loaded
from rota.errors import RotaError
from rota.model.registry import Registry, discover
from rota.server.place import locate
from rota.settings.load import Settings, load
from rota.telemetry.logs import logs


def run(
    settings: Settings, parent: int | None = None, *, burst: bool = False, again: bool = False
) -> NoReturn:
    """Run a worker until a signal or, in a burst, until nothing is left; then exit the process."""
    from rota.app.supervisor import Supervisor  # noqa: PLC0415 - a client's command does not need it

    registry = started(settings)
    sys.exit(Supervisor(settings, registry, parent, burst=burst, again=again).run())


def run_all(settings: Settings, parent: int | None = None) -> NoReturn:
    """Run workers, and the API beside them, until a signal; then exit the process."""
    try:
        from rota.api.beside import Both  # noqa: PLC0415 - it needs an extra
    except ImportError as error:
        raise lacks_api(error) from None
    registry = started(settings)
    sys.exit(Both(settings, registry, parent).run())


def started(settings: Settings) -> Registry:
    """Set up the logs of a process whose code is loaded, and return the jobs."""
    all_loaded()
    logs.setup(settings.log_level, settings.log_format)
    registry = discover(settings.jobs_package, settings.default_queue)
    logs.revive()
    return registry


def lacks_api(error: ImportError) -> RotaError:
    """Return what is said where the packages of the API are not installed."""
    return RotaError(f"the API needs {error.name or 'fastapi'}; install rota[api]")


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


def respawn(settings: Settings, queues: str | None, concurrency: int | None, *, burst: bool) -> NoReturn:
    """Run a worker in a child, which is started again when it asks to be recycled, or crashes; then exit."""
    logs.setup(settings.log_level, settings.log_format)
    chosen = {"--queues": queues, "--concurrency": concurrency}
    options = [f"{option}={value}" for option, value in chosen.items() if value is not None]
    # Kept from one worker to the next, so that the embedded server does not stop between them.
    server = locate(settings.redis)
    try:
        command = child([*options, "--burst"] if burst else options)
        sys.exit(asyncio.run(Respawn(command, again=["--again"]).run()))
    finally:
        server.close()


def child(options: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the command of a worker that this process starts, and with which it ends; `run_child` reads it."""
    return (sys.executable, "-m", "rota", "worker", "--parent", str(os.getpid()), *options)


def run_child(options: Sequence[str]) -> NoReturn:
    """Run the worker that a parent has started with these options, which it had checked."""
    parser = ArgumentParser("rota worker", allow_abbrev=False)
    parser.add_argument("--parent", type=int)
    parser.add_argument("--queues")
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--burst", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--api", action="store_true")
    given = parser.parse_args(options)
    settings = chosen(load(), given.queues, given.concurrency)
    if given.api:
        run_all(settings, given.parent)
    run(settings, given.parent, burst=given.burst, again=given.again)
