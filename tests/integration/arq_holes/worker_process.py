"""A worker in a process of its own, for tests that kill it: `python -m … kind port queue ledger [option=value …]`.

Its jobs write to a ledger, a file outside Redis: one line when they start, one when they end.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from arq.connections import RedisSettings
from arq.worker import Worker, func

from rota import job_deserializer, job_serializer
from rota.worker.worker import QueueWorker

KINDS = {"arq": Worker, "rota": QueueWorker}


def write(ctx: dict[Any, Any], word: str) -> None:
    """Append a line to the ledger; one write, so that lines of several processes stay whole."""
    line = f"{word} {ctx['job_id']} {ctx.get('job_try', 0)} {os.getpid()}\n"
    with Path(ctx["ledger"]).open("a") as ledger:
        ledger.write(line)


async def work(ctx: dict[Any, Any], seconds: float) -> float:
    write(ctx, "start")
    await asyncio.sleep(seconds)
    write(ctx, "end")
    return seconds


async def leave(ctx: dict[Any, Any]) -> None:
    """End the process, as a script that was meant for a shell does."""
    write(ctx, "start")
    sys.exit(3)


async def startup(ctx: dict[Any, Any]) -> None:
    write({**ctx, "job_id": "-"}, "ready")


async def shutdown(ctx: dict[Any, Any]) -> None:
    """Say that the worker went in order."""
    write({**ctx, "job_id": "-"}, "shutdown")


def main() -> None:
    kind, port, queue, ledger, *options = sys.argv[1:]
    settings: dict[str, Any] = {name: float(value) for name, value in (one.split("=") for one in options)}
    if "max_jobs" in settings:
        settings["max_jobs"] = int(settings["max_jobs"])
    worker = KINDS[kind](
        [func(work, name="work"), func(leave, name="leave")],
        redis_settings=RedisSettings(host="127.0.0.1", port=int(port)),
        queue_name=queue,
        ctx={"ledger": ledger},
        on_startup=startup,
        on_shutdown=shutdown,
        job_serializer=job_serializer,
        job_deserializer=job_deserializer,
        poll_delay=0.02,
        **settings,
    )
    worker.run()


if __name__ == "__main__":
    main()
