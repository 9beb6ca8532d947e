"""The systems that run side by side: which worker, with what settings, and who enqueues for it."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from arq.constants import default_queue_name
from arq.jobs import Deserializer

import rota
from benchmarks.jobs import QUEUE
from benchmarks.producers import OwnProducer, Producer, StockProducer
from benchmarks.sizes import Sizes
from rota.wire.keys import queue_key

OWN_QUEUE = queue_key(QUEUE)
CONCURRENCY = 100


async def _stock(url: str) -> Producer:
    return await StockProducer.connect(url, default_queue_name)


async def _stock_towards_rota(url: str) -> Producer:
    return await StockProducer.connect(url, OWN_QUEUE, rota.job_serializer, rota.job_deserializer)


@dataclass(frozen=True, slots=True)
class System:
    """One system of the comparison.

    `key` is also what `benchmarks.worker` calls it. `share` and `nap_share` are how many of the run's jobs it gets.
    `stock` makes a stock client for its queue; `own` its own client, where it has another. `fleet`: whether many idle
    workers of it are measured.
    """

    key: str
    title: str
    share: float
    nap_share: float
    queue: str = default_queue_name
    stock: Callable[[str], Awaitable[Producer]] = _stock
    own: Callable[[str], Awaitable[Producer]] | None = None
    loads: Deserializer | None = None
    fleet: bool = False
    env: Mapping[str, str] = field(default_factory=dict)

    def command(self, count: int = 1) -> list[str]:
        """Return the command of one process with `count` workers on the same queue."""
        if self.own is None:
            return [sys.executable, "-m", "benchmarks.worker", self.key, str(count)]
        return [
            sys.executable,
            "-m",
            *(["rota", "worker"] if count == 1 else ["benchmarks.fleet", str(count)]),
        ]

    def jobs(self, sizes: Sizes) -> int:
        """Return the number of no-op jobs in a round."""
        return max(sizes.floor, round(sizes.jobs * self.share))

    def naps(self, sizes: Sizes) -> int:
        return max(sizes.floor, round(sizes.jobs * self.nap_share))


SYSTEMS = (
    System("arq", "arq, defaults", share=0.02, nap_share=0.005, fleet=True),
    System("arq-tuned", "arq, tuned", share=0.15, nap_share=0.1),
    System("bare", "QueueWorker, bare", share=1, nap_share=0.5),
    System(
        "rota",
        "rota, the service",
        share=1,
        nap_share=0.5,
        queue=OWN_QUEUE,
        stock=_stock_towards_rota,
        own=OwnProducer.connect,
        loads=rota.job_deserializer,
        fleet=True,
        env={
            "JOBS_PACKAGE": "benchmarks.jobs",
            "QUEUE_CONCURRENCY": str(CONCURRENCY),
            "LOG_LEVEL": "warning",
        },
    ),
)
