"""A process with arq workers: `python -m benchmarks.worker KIND COUNT`, on the server of REDIS_URL.

KIND is arq (stock, defaults), arq-tuned or bare (QueueWorker with arq's own arguments and functions). A stock worker's
process imports nothing of rota.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from arq.connections import RedisSettings
from arq.worker import Worker

from benchmarks.functions import FUNCTIONS

#: The time over which the workers of a fleet start, in seconds: started together, they would poll in waves.
SPREAD = 3.0
TUNED = {"poll_delay": 0.01, "max_jobs": 100}


def workers_of(kind: str, count: int) -> list[Worker]:
    """Workers with arq's own arguments; results are kept as arq does by default, an hour."""
    own: dict[str, Any] = {} if kind == "arq" else dict(TUNED)
    own |= {"functions": FUNCTIONS, "redis_settings": RedisSettings.from_dsn(os.environ["REDIS_URL"])}
    make = _queue_worker() if kind == "bare" else Worker
    return [make(handle_signals=count == 1, **own) for _ in range(count)]


def _queue_worker() -> type[Worker]:
    from rota import QueueWorker  # noqa: PLC0415 - a stock worker should not carry what it does not use

    return QueueWorker


async def run_all(workers: Sequence[Worker]) -> None:
    """Run them in this loop, one after another started, until the process is ended."""
    await asyncio.gather(*(_started(worker, SPREAD * at / len(workers)) for at, worker in enumerate(workers)))


async def _started(worker: Worker, delay: float) -> None:
    await asyncio.sleep(delay)
    await worker.async_run()


async def _fleet(kind: str, count: int) -> None:
    # Made here, inside the loop that the workers run in.
    await run_all(workers_of(kind, count))


def main(kind: str, count: int) -> None:
    logging.basicConfig(level=logging.WARNING)
    if count > 1:
        asyncio.run(_fleet(kind, count))
        return
    asyncio.set_event_loop(asyncio.new_event_loop())
    workers_of(kind, 1)[0].run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
