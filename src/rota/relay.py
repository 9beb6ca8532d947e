"""Where no tracer is at work, a trace travels all the same: what a job enqueues gets the trace that it came with."""

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from rota.run import Run
from rota.seams import Call, Outgoing
from rota.trace import TRACE_HEADERS

_CAME_WITH: ContextVar[Mapping[str, str] | None] = ContextVar("came_with", default=None)


def receive(run: Run, call_next: Call) -> Awaitable[Any]:
    """Around every attempt: remember the trace that it came with."""
    return _remembering(run, call_next) if run.headers else call_next(run)


async def _remembering(run: Run, call_next: Call) -> Any:
    token = _CAME_WITH.set(run.headers)
    try:
        return await call_next(run)
    finally:
        _CAME_WITH.reset(token)


@contextmanager
def pass_on(jobs: Sequence[Outgoing]) -> Iterator[None]:
    """Around every enqueue, after the tracers: their own word goes first."""
    came_with = _CAME_WITH.get() or {}
    for job in jobs:
        if "traceparent" not in job.headers:
            job.headers.update((name, came_with[name]) for name in TRACE_HEADERS if name in came_with)
    yield


def _on() -> bool:
    return _CAME_WITH.get() is not None


pass_on.on = _on  # type: ignore[attr-defined]
