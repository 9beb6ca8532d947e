"""`rota worker --respawn`: a small parent that starts the worker again when it is to be recycled, or crashed.

A worker that exits with status 75 is replaced at once; one that crashed, after a pause that grows. Any other end of the
worker ends the parent too, with the same status. Signals to stop are passed on. The parent may be killed: the worker
notices, and stops as if it had been told to.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence
from typing import Any

from rota.app.recycling import EXIT_RECYCLE
from rota.model.policies.backoff import exponential
from rota.process.services import drop_output
from rota.process.signals import hearing

logger = logging.getLogger("rota.respawn")

#: Exit status of a command whose settings or arguments are wrong.
EXIT_WRONG = 2
#: Exit status of a command, or of a worker at its boot, whose Redis is away or cannot be used.
EXIT_AWAY = 6
#: The pauses after crashes in a row, in seconds. A worker that ran for longer than STEADY begins a new row.
PAUSES = exponential(1.0, 2.0, ceiling=30.0)
STEADY = 60.0


class Respawn:
    """Keeps `command` running, one process at a time; from the second on it has `again` at its end."""

    def __init__(self, command: Sequence[str], again: Sequence[str] = ()) -> None:
        self._command = tuple(command)
        self._again = tuple(again)
        self._child: asyncio.subprocess.Process | None = None
        self._told: signal.Signals | None = None
        self._stop = asyncio.Event()
        self._starts = 0
        self._crashes = 0

    async def run(self) -> int:
        """Run until the worker has ended for good; return its exit status, or 128 plus the signal that killed it."""
        loop = asyncio.get_running_loop()
        with hearing(self._pass_on):
            while True:
                began = loop.time()
                status = await self._run_once()
                if self._is_final(status):
                    drop_output()
                    return _exit_status(status)
                await self._pause(status, loop.time() - began)
                if self._told is not None:
                    return 0

    async def _run_once(self) -> int:
        command = (*self._command, *self._again) if self._starts else self._command
        self._child = await asyncio.create_subprocess_exec(*command)
        self._starts += 1
        logger.info("worker.spawned", extra={"pid": self._child.pid, "start": self._starts})
        if self._told is not None:
            # The signal came while the worker was being started.
            self._send(self._told)
        try:
            return await self._child.wait()
        finally:
            self._child = None

    def _is_final(self, status: int) -> bool:
        # Settings that were right at the first start are still right, and a server that was there comes back.
        wrong = status in (EXIT_WRONG, EXIT_AWAY) and self._starts == 1
        return self._told is not None or status == 0 or wrong

    async def _pause(self, status: int, lived: float) -> None:
        if status == EXIT_RECYCLE:
            self._crashes = 0
            return
        self._crashes = 1 if lived > STEADY else self._crashes + 1
        seconds = PAUSES.delay(self._crashes)
        fields: dict[str, Any] = {"status": _exit_status(status), "again_in": round(seconds, 1)}
        logger.warning("worker.crashed", extra=fields)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    def _pass_on(self, signum: signal.Signals) -> None:
        self._told = signum
        self._stop.set()
        self._send(signum)

    def _send(self, signum: signal.Signals) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(signum)


def _exit_status(status: int) -> int:
    if status < 0:
        return 128 - status
    # The worker was told to stop before it could be replaced.
    return 0 if status == EXIT_RECYCLE else status
