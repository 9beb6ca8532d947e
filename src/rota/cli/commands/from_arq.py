"""`rota arq`: arq's command, with its arguments and options, for a project's arq settings on our worker."""

import contextlib
import logging
import logging.config
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rota.cli import exits, screen
from rota.errors import DiscoveryFailed, RotaError
from rota.server.faults import ServerError, explain
from rota.server.target import RedisTarget
from rota.telemetry.logs.records import fields_of

if TYPE_CHECKING:
    from rota.worker.worker import QueueWorker

logger = logging.getLogger("arq.worker")

#: How long a worker has to end when it is started again, in seconds.
PATIENCE = 60


def add_to(cli: typer.Typer) -> None:
    cli.command("arq")(arq)


def _say_version(asked: bool) -> None:
    if asked:
        screen.say(f"rota {version('rota')}, for arq {version('arq')}")
        raise typer.Exit


def arq(
    settings: Annotated[
        str, typer.Argument(metavar="WORKER_SETTINGS", help="the path of the settings: app.WorkerSettings")
    ],
    *,
    burst: Annotated[
        bool | None, typer.Option("--burst/--no-burst", help="end when no job is left in the queue")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="tell whether a worker lives, and end")] = False,
    watch: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="start again when a .py or .env file in this folder changes"
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="log debugging lines, too")] = False,
    custom_log_dict: Annotated[
        str | None, typer.Option(metavar="PATH", help="the path of a logging.config dictionary of your own")
    ] = None,
    _: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_say_version, is_eager=True, help="say which rota this is"),
    ] = False,
) -> None:
    """Run a project's arq worker settings on rota's worker: plain arq functions, as the command `arq` does."""
    if watch is not None and not check:
        _watch(watch, [settings, *_written(burst, verbose, custom_log_dict)])
        return
    from rota.worker import arq_settings  # noqa: PLC0415 - the other commands do not need a worker

    logging.config.dictConfig(arq_settings.named(custom_log_dict) if custom_log_dict else _log_dict(verbose))
    arguments = arq_settings.arguments_of(settings)
    if check:
        sys.exit(_status(arguments))
    _run(_made(settings, arguments if burst is None else {**arguments, "burst": burst}))


def _written(burst: bool | None, verbose: bool, custom_log_dict: str | None) -> list[str]:
    """Return the options that were given, as they are written."""
    words = [] if burst is None else ["--burst" if burst else "--no-burst"]
    words += ["--verbose"] if verbose else []
    return words + (["--custom-log-dict", custom_log_dict] if custom_log_dict else [])


def _made(settings: str, arguments: dict[str, Any]) -> "QueueWorker":
    from rota.worker.worker import QueueWorker  # noqa: PLC0415

    try:
        return QueueWorker(**arguments)
    except (RuntimeError, TypeError, ValueError) as error:
        raise DiscoveryFailed(settings, str(error)) from error


def _run(worker: "QueueWorker") -> None:
    """Run it until it is stopped. Raises ServerError where its Redis cannot be had from the beginning."""
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        worker.run()
    except (RedisError, OSError) as error:
        settings = worker.redis_settings
        connected = "redis" in worker.ctx
        if connected or settings is None or not isinstance(settings.host, str):
            raise
        target = RedisTarget.from_url(f"redis://{settings.host}:{settings.port}/{settings.database}")
        problem, _, _ = str(explain(error, target)).partition(": ")  # what follows advises about variables
        raise ServerError(f"{problem}: start it, or correct redis_settings") from error


def _status(arguments: dict[str, Any]) -> int:
    """Return the status of arq's health check, whose log lines say what was found: 1 where no worker lives."""
    from arq.worker import check_health  # noqa: PLC0415
    from redis.exceptions import RedisError  # noqa: PLC0415

    settings: Any = arguments
    try:
        return check_health(settings)
    except (RedisError, OSError) as error:
        logger.warning("Health check failed: %s", error)
        return exits.FAILED


def _watch(folder: Path, words: list[str]) -> None:
    """Run the command without --watch, in a process that is started again with fresh code when a file changes."""
    try:
        from watchfiles import PythonFilter, run_process  # noqa: PLC0415 - a development tool
    except ImportError:
        raise RotaError("--watch needs watchfiles; install it with: pip install watchfiles") from None
    with contextlib.suppress(KeyboardInterrupt):  # while it starts a worker again, Ctrl-C arrives as one
        run_process(
            folder,
            target=shlex.join([sys.executable, "-m", "rota", "arq", *words]),
            target_type="command",
            # Of all files, a log in this folder would start the worker again with each of its lines.
            watch_filter=PythonFilter(extra_extensions=(".env",)),
            callback=lambda _: screen.say("files changed, reloading the worker"),
            sigint_timeout=PATIENCE,
        )


class WithFields(logging.Formatter):
    """A formatter of rota's own lines, whose fields stand beside the event."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line, with the fields at its end."""
        fields = "".join(f" {name}={value}" for name, value in fields_of(record).items())
        return super().formatMessage(record) + fields


def _log_dict(verbose: bool) -> dict[str, Any]:
    """Return arq's own logging, with a place for rota's lines: about Redis when it is away, and about leases."""
    from arq.logs import default_log_config  # noqa: PLC0415

    config = default_log_config(verbose)
    (arqs,) = config["handlers"].values()
    (form,) = config["formatters"].values()
    config["handlers"]["rota"] = {**arqs, "formatter": "rota"}
    config["formatters"]["rota"] = {**form, "()": WithFields, "fmt": form["format"]}
    del config["formatters"]["rota"]["format"]
    config["loggers"]["rota"] = {**config["loggers"]["arq"], "handlers": ["rota"]}
    return config
