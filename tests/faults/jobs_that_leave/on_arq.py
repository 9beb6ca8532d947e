"""A bare `QueueWorker` whose function leaves in every way: `python -m … port completion_wait`. It logs to stderr."""

import logging
import sys
from typing import Any

from arq.connections import RedisSettings
from arq.worker import Retry, func

from rota import job_deserializer, job_serializer
from rota.worker.worker import QueueWorker
from tests.faults import jobs_that_leave

WAYS = {**jobs_that_leave.WAYS, "Retry": jobs_that_leave.raising(lambda: Retry(defer=3600))}


async def leave(ctx: dict[Any, Any], way: str, at_once: bool) -> Any:
    return await jobs_that_leave.leave(way, at_once, WAYS)


def main() -> None:
    port, wait = map(int, sys.argv[1:])
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s %(message)s")
    worker = QueueWorker(
        [func(leave, name="leave"), func(leave, name="leave_soon", timeout=1)],
        redis_settings=RedisSettings(host="127.0.0.1", port=port),
        job_serializer=job_serializer,
        job_deserializer=job_deserializer,
        job_completion_wait=wait,
        allow_abort_jobs=True,
        max_jobs=100,
        lease=2,
    )
    worker.run()


if __name__ == "__main__":
    main()
