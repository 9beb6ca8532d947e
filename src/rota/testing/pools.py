"""Where a bench runs handlers that are no coroutines: each in a thread, and in real child processes only if asked."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from rota.attempts.off_loop.children import Processes
from rota.attempts.off_loop.threads import Threads
from rota.engine.execution import Execution
from rota.model.job import Job
from rota.model.run import Run
from rota.testing.virtual_time import VirtualTime

#: One attempt runs at a time. The others are for threads that did not end when they were told to.
_THREADS = 64


class Pools:
    """The threads of one drain, and its child processes if `processes` is true."""

    def __init__(self, time: VirtualTime, *, processes: bool) -> None:
        self._time = time
        self._threads = Threads(_THREADS, lambda: None)
        self._processes = Processes() if processes else None

    async def call(
        self, execution: Execution, run: Run, job: Job[Any, Any], arguments: Mapping[str, Any]
    ) -> Any:
        """Run the handler of `job`; return its result, which is JSON if the job is one for a child process."""
        if job.kind == "thread":
            return await self._threads.call(execution, run, job.handler, arguments)
        raw = job.payload.bind(kwargs=arguments)
        if self._processes is not None:
            with self._time.outside():
                return await self._processes.call(execution, run, job, raw)
        # A child gets the facts alone, and arguments that have been JSON.
        reduced = Run(run.facts, report=run.progress, keep=execution.keep)
        parsed = job.payload.parse(kwargs=from_json(raw))
        return job.result.dump(await self._threads.call(execution, reduced, job.handler, parsed))

    async def close(self) -> None:
        """End the child processes; threads that still run are left behind."""
        self._threads.close()
        if self._processes is not None:
            await self._processes.close()
