"""Where handlers run that must not run on the event loop: plain functions in threads, the others in child processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rota.attempts.off_loop.children import Processes
from rota.attempts.off_loop.threads import Threads
from rota.engine.execution import Execution
from rota.model.job import Job
from rota.model.run import Run


@dataclass(frozen=True, slots=True)
class OffLoop:
    """The threads of one queue and the child processes of its worker process.

    A result of more than `result_limit` bytes stays in the child process.
    """

    threads: Threads
    processes: Processes
    result_limit: int

    async def call(
        self, execution: Execution, run: Run, job: Job[Any, Any], arguments: Mapping[str, Any]
    ) -> Any:
        """Run the handler of `job`; return its result, which is JSON if the job has a child process."""
        if job.kind == "thread":
            return await self.threads.call(execution, run, job.handler, arguments)
        raw = job.payload.bind(kwargs=arguments)
        return await self.processes.call(execution, run, job, raw, result_limit=self.result_limit)
