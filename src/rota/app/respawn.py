"""`rota worker --respawn`: a small parent that starts the worker again when it asks for it, or crashes.

A worker that exits with status 75 wants to be started anew, and is, at once; one that crashed, after a pause that
grows. Any other end of the worker is the parent's too, with the same status. SIGTERM and SIGINT are passed on. The
parent may be killed: the worker sees that it is gone, and stops as if it had been told to.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence
from typing import Any

from rota.app.recycling import EXIT_RECYCLE
from rota.model.policies.backoff import exponential
from rota.process.signals import forget, listen

logger = logging.getLogger("rota.respawn")

#: Exit status of a command that was given settings, names or a server it cannot work with.
EXIT_WRONG = 2
#: The pauses after crashes in a row, seconds. A worker that ran longer than STEADY begins a new row.
PAUSES = exponential(1.0, 2.0, ceiling=30.0)
STEADY = 60.0


class Respawn:
    """Keeps `command` running, one process at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._child: asyncio.subprocess.Process | None = None
        self._told: signal.Signals | None = None
        self._stop = asyncio.Event()
        self._starts = 0
        self._crashes = 0

    async def run(self) -> int:
        """Until the worker has ended for good; its exit status, 128 and the signal if one killed it."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            listen(loop, signum, self._pass_on)
        try:
            while True:
                began = loop.time()
                status = await self._once()
                if self._is_final(status):
                    return _exit_status(status)
                await self._pause(status, loop.time() - began)
                if self._told is not None:
                    return 0
        finally:
            for signum in (signal.SIGTERM, signal.SIGINT):
                forget(loop, signum, self._pass_on)

    async def _once(self) -> int:
        self._child = await asyncio.create_subprocess_exec(*self._command)
        self._starts += 1
        logger.info("worker.spawned", extra={"pid": self._child.pid, "start": self._starts})
        if self._told is not None:
            # It came while the worker was being started.
            self._send(self._told)
        try:
            return await self._child.wait()
        finally:
            self._child = None

    def _is_final(self, status: int) -> bool:
        # Settings that were right at the first start are right still: then it is the server that is away.
        return self._told is not None or status == 0 or (status == EXIT_WRONG and self._starts == 1)

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
    # It asked to be started anew, and was told to stop before that.
    return 0 if status == EXIT_RECYCLE else status
