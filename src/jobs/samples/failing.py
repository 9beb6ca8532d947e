"""Jobs that fail, to show retries, back-off and dead letters: one job recovers, the other never does."""

from typing import Annotated

from pydantic import Field

from rota import Run, fixed, job


class OtherSideAway(Exception):
    """Raised by both jobs; the usual kind of error, which may pass."""


@job(max_attempts=5, backoff=fixed(0.5))
async def flaky(run: Run, failures: Annotated[int, Field(ge=0)] = 1) -> int:
    """Fail the first `failures` attempts, complete on the next, and return the number of attempts."""
    if run.attempt <= failures:
        raise OtherSideAway(f"no answer to attempt {run.attempt}")
    return run.attempt


@job(max_attempts=3, backoff=fixed(0.5))
async def broken(run: Run) -> None:
    """Fail each attempt, and end as a dead letter."""
    raise OtherSideAway(f"no answer to attempt {run.attempt}")
