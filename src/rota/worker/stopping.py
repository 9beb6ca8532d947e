"""How a worker stops: at once, or by a drain, when it is told to by a call or a signal.

Signals are for a bare worker, and so their log lines are arq's; the service hears signals once for all its workers.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from arq.worker import Worker

from rota.engine.engine import Engine
from rota.model.outcome import Cause
from rota.process.signals import forget, is_echo, listen, run_to_end, to_stop

logger = logging.getLogger("rota.worker")
arq_logger = logging.getLogger("arq.worker")


class StoppableWorker(Worker):
    """The part of a worker that ends its work. `engine` is None unless it works."""

    def __init__(self, functions: Sequence[Any], **arq: Any) -> None:
        # arq's constructor listens for signals.
        self._listening: list[tuple[signal.Signals, Callable[[signal.Signals], None]]] = []
        self._stop = asyncio.Event()
        self._drained_by: asyncio.Task[None] | None = None
        self._picks = True
        self.engine: Engine | None = None
        self._told: tuple[signal.Signals, float] | None = None
        self._starting: asyncio.Task[Any] | None = None
        super().__init__(functions, **arq)
        if signal.SIGHUP in to_stop():
            # arq's worker listens for SIGTERM and SIGINT, if at all, and dies of a terminal that is closed.
            for signum, handler in list(self._listening):
                if signum is signal.SIGTERM:
                    self._add_signal_handler(signal.SIGHUP, handler)

    def run(self) -> None:
        """Run the worker in its loop until it has stopped, and close it, whatever the tasks of its jobs raise."""
        self.main_task = self.loop.create_task(self.main())
        try:
            run_to_end(self.loop, self.main_task)
        except asyncio.CancelledError:
            pass  # as arq's own does
        finally:
            self.loop.run_until_complete(self.close())

    @property
    def running(self) -> int:
        """How many jobs run now."""
        return len(self.engine.executions) if self.engine else 0

    @property
    def allow_pick_jobs(self) -> bool:
        """Whether it claims jobs; may be changed while it works."""
        return self._picks

    @allow_pick_jobs.setter
    def allow_pick_jobs(self, picks: bool) -> None:
        self._picks = picks
        if self.engine is not None:
            self.engine.picking = picks and not self.stopping
            self.engine.look()

    def stop(self) -> None:
        """Stop now: tell what runs to end, and hand it back."""
        self._stop.set()
        if self._starting is not None:
            self._starting.cancel()
        if self.engine is not None:
            self.engine.picking = False
            self.engine.stop(Cause.SHUTDOWN)

    async def _start_up(self, hook: Coroutine[Any, Any, object]) -> None:
        """Run arq's `on_startup` in the task of the worker, as arq does. Raises CancelledError when told to stop."""
        self._starting = asyncio.current_task()
        try:
            await hook
        except asyncio.CancelledError:
            self._begin_again()
            raise
        finally:
            self._starting = None

    async def drain(self, timeout: float) -> None:
        """Stop claiming, let what runs finish within `timeout` seconds, then stop."""
        if not await self._completed(timeout):
            logger.warning("worker.drain_timeout", extra={"queue": self.queue_name, "seconds": timeout})
        self.stop()

    async def _completed(self, timeout: float) -> bool:
        """Claim nothing more, and tell whether what runs has finished within `timeout` seconds; 0 does not ask.

        Where Redis is away, what has finished is settled while its lease holds, or runs again: it is not waited for.
        """
        if self.engine is None or timeout <= 0:
            return True
        self.engine.picking = False
        try:
            async with asyncio.timeout(timeout):
                if self.engine.busy:
                    await self.engine.say_it_stops()
                await self.engine.rest()
        except TimeoutError:
            return False
        return True

    def handle_sig(self, signum: signal.Signals) -> None:
        """Stop now, because of a signal, and call `on_stop`."""
        self._log_shutdown(signum, "", "ongoing to cancel")
        self.stop()
        if self.on_stop:
            self.on_stop(signum)

    def handle_sig_wait_for_completion(self, signum: signal.Signals) -> None:
        """Stop claiming, and wait `job_completion_wait` seconds for what runs; at a second signal, stop at once."""
        if self._drained_by is not None:
            if self._told is None or not is_echo(signum, self._told[0], self.loop.time() - self._told[1]):
                self._drained_by.cancel()
                self.handle_sig(signum)
            return
        self._told = signum, self.loop.time()
        arq_logger.info("Setting allow_pick_jobs to `False`")
        self.allow_pick_jobs = False
        self._log_shutdown(signum, "", "to be completed")
        self._drained_by = self.loop.create_task(self._complete(signum))

    async def _complete(self, signum: signal.Signals) -> None:
        await self._completed(self._job_completion_wait)
        self._log_shutdown(signum, ", wait complete", "ongoing to cancel")
        self.stop()
        if self.on_stop:
            self.on_stop(signum)

    def _log_shutdown(self, signum: signal.Signals, stage: str, what: str) -> None:
        counts = (self.jobs_complete, self.jobs_failed, self.jobs_retried, self.running)
        line = f"shutdown on %s{stage} ◆ %d jobs complete ◆ %d failed ◆ %d retries ◆ %d {what}"
        arq_logger.info(line, signal.Signals(signum).name, *counts)

    def _add_signal_handler(self, signum: signal.Signals, handler: Callable[[signal.Signals], None]) -> None:
        listen(self.loop, signum, handler)
        self._listening.append((signum, handler))

    def _forget_signals(self) -> None:
        for signum, handler in self._listening:
            forget(self.loop, signum, handler)
        self._listening.clear()

    @property
    def stopping(self) -> bool:
        """Whether the worker was told to stop, and not to drain first."""
        return self._stop.is_set()

    async def told_to_stop(self) -> None:
        """Wait until the worker is told to stop, or has drained."""
        await self._stop.wait()

    def _begin_again(self) -> None:
        """Be ready to run once more, as arq's worker is after it has stopped."""
        self._stop.clear()
        self._told = None
        self.engine = None

    def _pick_again(self) -> None:
        """Claim jobs, at the beginning of another run, if a signal has ended the last one."""
        if self._drained_by is not None:
            self._drained_by.cancel()
            self._drained_by, self.allow_pick_jobs = None, True
            self._stop.clear()
