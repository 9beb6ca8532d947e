"""Many workers of the service on one queue in one process: `python -m benchmarks.fleet COUNT`.

They are made as a worker process makes its own, one a queue, and share one lease keeper. A single one is measured as
it ships, by `python -m rota`.
"""

import asyncio
import os
import sys

from benchmarks.jobs import QUEUE
from benchmarks.worker import run_all
from rota import QueueWorker
from rota.app.compose import ProcessParts, worker_settings
from rota.attempts.off_loop.children import Processes
from rota.engine.keeper import LeaseKeeper
from rota.engine.leases import Leases
from rota.model.registry import discover
from rota.server import connections
from rota.server.target import RedisTarget
from rota.settings.load import load
from rota.telemetry.logs import logs


async def main(count: int) -> None:
    settings = load()
    logs.setup(settings.log_level, settings.log_format)
    target = RedisTarget.from_url(os.environ["REDIS_URL"])
    connect = connections.clone(connections.async_client(target))
    keeper = LeaseKeeper(Leases(connect, interval=settings.lease / 3))
    keeper.start()
    parts = ProcessParts(
        settings=settings,
        registry=discover(settings.jobs_package, settings.default_queue),
        keeper=keeper,
        processes=Processes(),
        deps=None,
        recycle=lambda _: None,
    )
    pools = [connections.async_client(target) for _ in range(count)]
    await run_all([QueueWorker(**worker_settings(parts, QUEUE), redis_pool=pool) for pool in pools])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
