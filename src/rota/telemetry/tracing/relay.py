"""What a job came with travels on: its headers to all that it enqueues, and its trace, where no tracer is at work."""

from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rota.model.headers import carried, carrying
from rota.model.run import Run
from rota.model.trace import TRACE_HEADERS
from rota.seams import Call, Outgoing


def receive(run: Run, call_next: Call) -> Awaitable[Any]:
    """Around every attempt: remember what it came with, and nothing of who started the worker."""
    return _remembering(run, call_next) if run.headers or carried() else call_next(run)


async def _remembering(run: Run, call_next: Call) -> Any:
    with carrying(run.headers):
        return await call_next(run)


@contextmanager
def pass_on(jobs: Sequence[Outgoing]) -> Iterator[None]:
    """Around every enqueue, after the tracers: their own word on the trace goes first."""
    came_with = carried()
    own = {name: value for name, value in came_with.items() if name not in TRACE_HEADERS}
    trace = {name: value for name, value in came_with.items() if name in TRACE_HEADERS}
    for job in jobs:
        job.headers.update(own if "traceparent" in job.headers else own | trace)
    yield


def _on() -> bool:
    return bool(carried())


pass_on.on = _on  # type: ignore[attr-defined]
