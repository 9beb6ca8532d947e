"""What each MODE runs: `python -m rota` without a command, and `rota worker`. It loads none of the other commands."""

import asyncio
import sys
from collections.abc import Callable
from typing import NoReturn

from rota.app.respawn import EXIT_WRONG
from rota.cli import workers
from rota.cli.program import all_loaded, program
from rota.errors import RotaError
from rota.model.registry import discover
from rota.settings.load import Settings, load
from rota.telemetry.logs import logs


def main() -> None:
    """Run what MODE says, or a worker, as a parent starts it too; without any of these, show the commands' help."""
    with program():
        if sys.argv[2:]:
            workers.run_child(sys.argv[2:])
        if sys.argv[1:]:
            workers.run(load())
        settings = load()
        if "mode" in settings.model_fields_set:
            MODES[settings.mode](settings)
        from rota.cli.main import main as command  # noqa: PLC0415 - only here is it needed

        # Where MODE was to be set and is not, the help must not pass for a worker that has ended well.
        command(status_of_help=EXIT_WRONG)


def run_exporter(settings: Settings) -> NoReturn:
    """Serve the exporter until a signal, and exit the process."""
    try:
        from rota.fleet.exporter import Exporter  # noqa: PLC0415 - it needs an extra
    except ImportError as error:
        raise RotaError(f"the exporter needs {error.name}; install rota[worker]") from None
    all_loaded()
    logs.setup(settings.log_level, settings.log_format)
    sys.exit(Exporter(settings, discover(settings.jobs_package, settings.default_queue)).run())


def run_api(settings: Settings) -> NoReturn:
    """Serve the API until a signal, with workers beside it where ENABLE_JOB_RUNNER is on, and exit the process."""
    if settings.enable_job_runner:
        workers.run_all(settings)
    try:
        from rota.api.process import Api  # noqa: PLC0415 - it needs an extra
    except ImportError as error:
        raise workers.lacks_api(error) from None
    registry = workers.started(settings)
    sys.exit(Api(settings, registry).run())


def run_autoscaler(settings: Settings) -> NoReturn:
    """Run the autoscaler until a signal, and exit the process."""
    from rota.fleet.autoscaler import serve  # noqa: PLC0415 - the other modes do not need it

    all_loaded()
    logs.setup(settings.log_level, settings.log_format)
    registry = discover(settings.jobs_package, settings.default_queue)
    sys.exit(asyncio.run(serve(settings, registry)))


#: What each MODE runs.
MODES: dict[str, Callable[[Settings], NoReturn]] = {
    "worker": workers.run,
    "api": run_api,
    "all": workers.run_all,
    "exporter": run_exporter,
    "autoscaler": run_autoscaler,
}
