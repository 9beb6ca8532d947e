"""Many workers of the service on one queue in one process: `python -m benchmarks.fleet COUNT`.

They are made as a worker process makes its own, one a queue, and share one lease keeper. A single one is measured as
it ships, by `python -m rota`.
"""

import asyncio
import os
import sys

from benchmarks.jobs import QUEUE
from benchmarks.worker import run_all
from rota import QueueWorker, config, connection, logs
from rota.app import Parts, worker_settings
from rota.leases import LeaseKeeper
from rota.pools import Processes
from rota.redis_target import RedisTarget
from rota.registry import discover


async def main(count: int) -> None:
    """Run until the process is ended."""
    settings = config.load()
    logs.setup(settings.log_level, settings.log_format)
    target = RedisTarget.from_url(os.environ["REDIS_URL"])
    keeper = LeaseKeeper(connection.twin(connection.async_client(target)), interval=settings.lease / 3)
    keeper.start()
    parts = Parts(
        settings=settings,
        registry=discover(settings.jobs_package, settings.default_queue),
        keeper=keeper,
        processes=Processes(),
        deps=lambda: None,
        recycle=lambda _: None,
    )
    pools = [connection.async_client(target) for _ in range(count)]
    await run_all([QueueWorker(**worker_settings(parts, QUEUE), redis_pool=pool) for pool in pools])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
