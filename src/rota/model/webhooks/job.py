"""The job that delivers one message to one webhook: its name and policy. The handler is the worker's."""

import functools
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from rota.errors import FetchRefused
from rota.model.job import Job, job
from rota.model.policies.backoff import exponential
from rota.model.policies.limits import at_most
from rota.model.run import Run
from rota.wire.envelopes import WEBHOOK

#: The waits are 5 s, 25 s, 2 min, 10 min, 52 min, 4 h and then 6 h each: a day and a little, in all.
BACKOFF = exponential(5, factor=5, ceiling=21_600)

Handler = Callable[[Run, str, str], Coroutine[Any, Any, int]]


def delivery_job(handler: Handler, queue: str | None = None) -> Job[[str, str], int]:
    """Return the job of this handler, on a queue of which it is to take its turns."""
    declared = job(
        name="webhook",
        # The request takes ten seconds at most, beside the questions to Redis around it.
        timeout=30,
        max_attempts=10,
        backoff=BACKOFF,
        keep_result=0,
        give_up_on=(FetchRefused,),
        # So that a slow receiver does not take all slots of its queue.
        concurrency=at_most(4, key="webhook"),
    )
    return replace(declared(handler), name=WEBHOOK, queue=queue)


async def _of_a_worker(run: Run, webhook: str, message: str) -> int:
    """Stand for the handler where the job is enqueued, which only a worker has."""
    raise NotImplementedError("a delivery runs in a worker, which gives its own handler to delivery_job")


@functools.cache
def _job_on(queue: str) -> Job[[str, str], int]:
    return delivery_job(_of_a_worker, queue)


def delivery_on(queue: str, webhook: str, message: str) -> Job[[str, str], int]:
    """Return the job to enqueue for a message; its id is the same each time."""
    return _job_on(queue).options(id=f"{webhook}-{message}", on_taken="existing")
