"""Attempts on a bench: what they save is noted. One run alone has its timeout and nothing else around it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from rota.engine.execution import Execution
from rota.errors import JobTimeout, ResultTooLarge
from rota.model.job import Job
from rota.model.outcome import Cause
from rota.model.run import Run
from rota.names import full_name
from rota.testing.pools import Pools
from rota.wire.claims import Claim


class Noted(Execution):
    """An execution that remembers every state that its handler saved, in order."""

    __slots__ = ("states",)

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self.states: list[Any] = []

    def keep(self, state: bytes) -> None:
        """The handler has come to `state`."""
        super().keep(state)
        self.states.append(from_json(state))


async def run_alone(
    job: Job[Any, Any],
    run: Run,
    execution: Execution,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    timeout: float,
    result_limit: int,
    pools: Pools,
) -> Any:
    """The handler's result, of at most `result_limit` bytes; `timeout` in seconds.

    Raises what it raises, JobTimeout, InvalidPayload, InvalidResult, ResultTooLarge.
    """
    raw = job.payload.bind(args, kwargs)
    execution.task = asyncio.current_task()
    call = _call(job, run, raw, execution, pools)
    execution.enter()
    timer = asyncio.get_running_loop().call_later(timeout, execution.stop, Cause.TIMEOUT)
    try:
        value = await call()
    except asyncio.CancelledError:
        if execution.cause is Cause.TIMEOUT:
            raise JobTimeout(timeout) from None
        raise
    finally:
        execution.leave()
        timer.cancel()
    result = value if job.kind == "process" else job.result.dump(value)
    if len(result) > result_limit:
        raise ResultTooLarge(full_name(run.queue, job.name), len(result), result_limit)
    return job.result.parse(from_json(result))


def _call(job: Job[Any, Any], run: Run, raw: bytes, execution: Execution, pools: Pools) -> Callable[[], Any]:
    if job.kind == "process":
        return lambda: pools.in_process(execution, run, job, raw)
    arguments = job.payload.parse(kwargs=from_json(raw))
    if job.kind == "thread":
        return lambda: pools.in_thread(execution, run, job.handler, arguments)
    return lambda: job.handler(run, **arguments)
