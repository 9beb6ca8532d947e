"""How a worker stops: at once, or by a drain, when it is told to by a call or a signal."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Any

from arq.worker import Worker

from rota.engine.engine import Engine
from rota.model.outcome import Cause
from rota.process.signals import forget, listen, run_to_end

logger = logging.getLogger("rota.worker")


class StoppableWorker(Worker):
    """The part of a worker that ends its work. `engine` is None unless it works."""

    def __init__(self, functions: Sequence[Any], **arq: Any) -> None:
        # arq's constructor listens for signals.
        self._listening: list[tuple[signal.Signals, Callable[[signal.Signals], object]]] = []
        self._stop = asyncio.Event()
        self._drained_by: asyncio.Task[None] | None = None
        self.engine: Engine | None = None
        super().__init__(functions, **arq)

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

    def stop(self) -> None:
        """Stop now: tell what runs to end, and hand it back."""
        self._pick_no_more()
        if self.engine is not None:
            self.engine.stop(Cause.SHUTDOWN)
        self._stop.set()

    async def drain(self, timeout: float) -> None:
        """Stop claiming, let what runs finish within `timeout` seconds, then stop."""
        self._pick_no_more()
        if self.engine is not None and timeout > 0:
            try:
                async with asyncio.timeout(timeout):
                    await self.engine.quiet()
            except TimeoutError:
                logger.warning("worker.drain_timeout", extra={"queue": self.queue_name, "seconds": timeout})
        self.stop()

    def _pick_no_more(self) -> None:
        self.allow_pick_jobs = False
        if self.engine is not None:
            self.engine.picking = False

    def handle_sig(self, signum: signal.Signals) -> None:
        """Stop now, because of a signal, and call `on_stop`."""
        self._log_shutdown(signum)
        self.stop()
        if self.on_stop:
            self.on_stop(signum)

    def handle_sig_wait_for_completion(self, signum: signal.Signals) -> None:
        """Stop claiming, and wait `job_completion_wait` seconds for what runs; at a second signal, stop at once."""
        if self._drained_by is not None:
            self.handle_sig(signum)
            return
        self._log_shutdown(signum)
        self._drained_by = self.loop.create_task(self.drain(self._job_completion_wait))
        if self.on_stop:
            self._drained_by.add_done_callback(lambda _: self.on_stop and self.on_stop(signum))

    def _log_shutdown(self, signum: signal.Signals) -> None:
        fields = {"queue": self.queue_name, "signal": signum.name, "running": self.running}
        logger.info("worker.stopping", extra=fields)

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
        self._drained_by = None
        self.allow_pick_jobs = True
        self.engine = None
