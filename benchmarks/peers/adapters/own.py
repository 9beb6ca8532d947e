"""rota's client, as it ships; its worker is `python -m rota`, with the jobs of `benchmarks.jobs`."""

import os

import uvloop

from benchmarks.peers.adapters.common import serve
from benchmarks.producers import OwnProducer


async def main() -> None:
    await serve(await OwnProducer.connect(os.environ["REDIS_URL"]))


if __name__ == "__main__":
    uvloop.run(main())
