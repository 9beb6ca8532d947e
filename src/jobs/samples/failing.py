"""Jobs that fail: one that recovers, one that never does; to see retries, back-off and dead letters at work."""

from typing import Annotated

from pydantic import Field

from rota import Run, fixed, job


class OtherSideAway(Exception):
    """Raised by both: the usual kind of trouble, which may pass."""


@job(max_attempts=5, backoff=fixed(0.5))
async def flaky(run: Run, failures: Annotated[int, Field(ge=0)] = 1) -> int:
    """Fail the first `failures` attempts and complete on the next; the result is how many it took."""
    if run.attempt <= failures:
        raise OtherSideAway(f"no answer to attempt {run.attempt}")
    return run.attempt


@job(max_attempts=3, backoff=fixed(0.5))
async def broken(run: Run) -> None:
    """Fail each attempt, and end among the dead letters."""
    raise OtherSideAway(f"no answer to attempt {run.attempt}")
