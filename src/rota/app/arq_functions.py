"""Jobs as arq's plain functions, so that the settings of a queue's worker run on a stock arq worker too."""

import asyncio
import functools
from collections.abc import Iterable
from typing import Any

from arq.worker import Function

from rota.attempts.attempt import Handler
from rota.model.run import Run


def functions_of(handlers: Iterable[Handler], queue: str) -> list[Function]:
    """Return a function for each handler of `queue`, or one that is never called: arq wants at least one."""
    return [as_function(handler, queue, name) for handler in handlers for name in handler.job.names] or [
        _placeholder()
    ]


def as_function(handler: Handler, queue: str, name: str) -> Function:
    """Return the function that parses a job's arguments and calls its handler, off the loop if that is a plain one.

    `name` is the job's, or one that it had before.
    """
    job, rules = handler.job, handler.rules

    async def call(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> Any:
        run = Run(id=ctx["job_id"], job=job.name, queue=queue, attempt=ctx["job_try"], deps=ctx.get("deps"))
        arguments = job.payload.parse(args, kwargs)
        if job.kind == "async":
            return await job.handler(run, **arguments)
        return await asyncio.to_thread(functools.partial(job.handler, run, **arguments))

    return Function(name, call, rules.timeout, rules.keep_result, None, rules.max_attempts)


def _placeholder() -> Function:
    async def nothing(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
        """Do nothing. Nobody calls this, because no job can be enqueued under a name with a space."""

    return Function("no jobs", nothing, None, None, None, None)
