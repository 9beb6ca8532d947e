"""What the commands of the benchmarks share: exit statuses, how one is stopped, and which server is measured with."""

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.server import PrivateServer

EXIT_MISSED, EXIT_FAILED, EXIT_STOPPED = 1, 2, 130


def run_as_command(main: Callable[[Sequence[str]], int]) -> None:
    """Exit with the status of `main`, called with the arguments of the command, or that of a run that was stopped."""
    try:
        sys.exit(main(sys.argv[1:]))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(EXIT_STOPPED)


async def begin() -> str:
    """Let a SIGTERM cancel the running task; return what the server is, such as `Redis 8.0.2 (jemalloc 5.3.0)`."""
    this = asyncio.current_task()
    assert this is not None
    # Signals become exceptions, so that the run's servers and workers end with it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    with TemporaryDirectory() as folder:
        async with PrivateServer(Path(folder)) as server:
            return await server.version()
