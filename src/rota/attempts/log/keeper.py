"""The handler of log records that keeps them with their jobs: those that are logged within an attempt, by any logger.

The attempt is found by the context, which its coroutines, tasks and threads have. What a child process logs is logged
once more by its worker, within the attempt. The engine's own lines about a job are not the handler's.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rota.attempts.log.kept import AttemptLog
from rota.engine.execution import CURRENT, Execution, Log
from rota.model.run import Run, current_run
from rota.telemetry.logs.kept import line_of

_OURS = "rota."


class LogKeeper(logging.Handler):
    """The handler, of the root logger. `level` is the least that is kept."""

    def __init__(self, level: int = logging.INFO) -> None:
        super().__init__(level)
        self._beginning = threading.Lock()

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep a record that is logged within an attempt. Each log has a lock of its own, so this one needs none."""
        if not record.name.startswith(_OURS):
            execution = CURRENT.get()
            if execution is not None and execution.keeps_log:
                self._keep(execution, record)
        if logging.root.handlers == [self] and logging.lastResort is not None and self._is_alone(record.name):
            self._show(record, logging.lastResort)
        return True

    def _is_alone(self, name: str) -> bool:
        """Tell whether no other handler hears of what the logger `name` logs."""
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None and all(one is self for one in logger.handlers):
            logger = logger.parent
        return logger is None

    def _show(self, record: logging.LogRecord, handler: logging.Handler) -> None:
        # So does Python where it finds no handler at all. The keeper shows nothing, so it should not count.
        if record.levelno >= handler.level:
            handler.handle(record)

    def _keep(self, execution: Execution, record: logging.LogRecord) -> None:
        run = current_run()
        if run is None:
            return
        try:
            log = execution.log or self._begin(execution, run)
            log.add(line_of(record, run.log_fields))
        except Exception:
            self.handleError(record)

    def _begin(self, execution: Execution, run: Run) -> Log:
        # Two threads of one handler may log its first line.
        with self._beginning:
            if execution.log is None:
                execution.log = AttemptLog(run.enqueued_ms, execution.claim.started_ms, run.attempt)
            return execution.log


@contextmanager
def keeping_logs() -> Iterator[None]:
    """Keep, while the block runs, what is logged within the attempts of this process."""
    keeper = LogKeeper()
    root = logging.getLogger()
    root.addHandler(keeper)
    try:
        yield
    finally:
        root.removeHandler(keeper)
