"""Attempts on a bench: what they save is recorded. One that runs alone has its timeout around it, and nothing else."""

import asyncio
from typing import Any

from pydantic_core import from_json

from rota.attempts.parts import OffLoopCall
from rota.engine.execution import Execution
from rota.errors import JobTimeout
from rota.model.job import Job
from rota.model.outcome import Cause
from rota.model.run import Run, enter
from rota.wire.claims import Claim


class RecordedExecution(Execution):
    """An execution that remembers every state that its handler saved, in order."""

    __slots__ = ("states",)

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self.states: list[Any] = []

    def keep(self, state: bytes) -> None:
        """Save `state` (JSON), as the handler asks to."""
        super().keep(state)
        self.states.append(from_json(state))


async def run_alone(
    job: Job[Any, Any],
    run: Run,
    arguments: dict[str, Any],
    execution: Execution,
    *,
    timeout: float,
    off_loop: OffLoopCall,
) -> bytes:
    """Run a handler for at most `timeout` seconds; return its result as JSON.

    Raises what the handler raises, JobTimeout, InvalidResult.
    """
    execution.task = asyncio.current_task()
    execution.enter()
    enter(run)
    timer = asyncio.get_running_loop().call_later(timeout, execution.stop, Cause.TIMEOUT)
    try:
        if job.kind == "async":
            return job.result.dump(await job.handler(run, **arguments))
        value = await off_loop(execution, run, job, arguments)
    except asyncio.CancelledError:
        if execution.cause is Cause.TIMEOUT:
            raise JobTimeout(timeout) from None
        raise
    finally:
        execution.leave()
        timer.cancel()
    result: bytes = value if job.kind == "process" else job.result.dump(value)
    return result
