"""Runs inside a worker's container, from standard input: enqueues `rest` jobs, or signals the worker beside it.

python - enqueue COUNT SECONDS      prints the id of each
python - freeze | thaw | crash
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import rota

SIGNALS = {"freeze": signal.SIGSTOP, "thaw": signal.SIGCONT, "crash": signal.SIGKILL}


async def enqueue(count: int, seconds: float) -> None:
    async with await rota.connect() as client:
        for _ in range(count):
            handle = await client.enqueue_by_name("default:rest", {"seconds": seconds})
            sys.stdout.write(handle.id + "\n")


def workers() -> list[int]:
    """Find the worker's process, not the init process, whose command line holds the same words."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        words = (process / "cmdline").read_bytes().split(b"\0")
        if words[1:3] == [b"-m", b"rota"]:
            found.append(int(process.name))
    return found


if __name__ == "__main__":
    if sys.argv[1] in SIGNALS:
        (pid,) = workers()
        os.kill(pid, SIGNALS[sys.argv[1]])
    else:
        asyncio.run(enqueue(int(sys.argv[2]), float(sys.argv[3])))
