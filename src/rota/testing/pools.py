"""Where a bench runs handlers that are no coroutines: in a thread each, and only if asked in real child processes."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import from_json

from rota.attempts.pools import Processes, Threads
from rota.engine.execution import Execution
from rota.model.job import Job
from rota.model.run import Run
from rota.testing.virtual_time import VirtualTime

#: One attempt runs at a time; the rest is room for threads that did not end when they were told to.
_THREADS = 64


class Pools:
    """The threads of one drain, and its child processes where `processes` is true."""

    def __init__(self, time: VirtualTime, *, processes: bool) -> None:
        self._time = time
        self._threads = Threads(_THREADS, lambda: None)
        self._processes = Processes() if processes else None

    async def in_thread(
        self, execution: Execution, run: Run, handler: Callable[..., Any], arguments: Mapping[str, Any]
    ) -> Any:
        """Run a plain handler."""
        return await self._threads.call(execution, run, handler, arguments)

    async def in_process(self, execution: Execution, run: Run, job: Job[Any, Any], arguments: bytes) -> bytes:
        """Run the handler of a process job: what it returns, as JSON."""
        if self._processes is not None:
            with self._time.outside():
                return await self._processes.call(execution, run, job, arguments)
        parsed = job.payload.parse(kwargs=from_json(arguments))
        return job.result.dump(
            await self._threads.call(execution, _reduced(run, execution), job.handler, parsed)
        )

    async def close(self) -> None:
        """End the processes; threads that still run are left behind."""
        self._threads.close()
        if self._processes is not None:
            await self._processes.close()


def _reduced(run: Run, execution: Execution) -> Run:
    """What of `run` a child process gets: all but `deps`."""
    return Run(
        id=run.id,
        job=run.job,
        queue=run.queue,
        attempt=run.attempt,
        max_attempts=run.max_attempts,
        enqueued_ms=round(run.enqueued_at.timestamp() * 1000),
        headers=run.headers,
        waited=run.waited,
        snoozes=run.snoozes,
        report=run.progress,
        last_checkpoint=run.last_checkpoint,
        checkpoint_limit=run.checkpoint_limit,
        keep=execution.keep,
    )
