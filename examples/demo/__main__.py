"""The demo: real jobs through a real queue and a real worker process, some failing once, some always.

`make demo` runs it. It needs no Redis, no mail server and no argument, takes seconds, and leaves nothing running. With
REDIS_URL set it uses that server, and of it a database that is empty, so that no other job is touched. With `--stay` it
goes on until Ctrl-C, with the dashboard open on its jobs.
"""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from examples.demo import screen, stage
from rota import Client, FlowInfo, Handle, JobInfo, RotaError, State, fixed
from rota.model.job import Call, Job

try:
    from jobs.samples.data_processing import data_processing
    from jobs.samples.email import email
    from jobs.samples.failing import broken, flaky
    from jobs.samples.film import Film, film, making_of
    from jobs.samples.sleep import sleep
except ModuleNotFoundError as missing:
    if not (missing.name or "").startswith("jobs.samples"):
        raise
    sys.exit("The demo shows the sample jobs at work, and they are gone: src/jobs/samples/ was deleted.")

P = ParamSpec("P")
R = TypeVar("R")

#: The longest that all jobs may take, in seconds; they take a few on an idle machine.
PATIENCE = 120.0
EXIT_OTHERWISE, EXIT_WRONG, EXIT_STOPPED = 1, 2, 130


@dataclass(frozen=True)
class Item:
    """One job of the demo, and how it has to end."""

    call: Call[Any]
    state: State = State.COMPLETED
    attempts: int = 1

    @property
    def queue(self) -> str:
        """Its queue."""
        return self.call.job.queue or "default"

    @property
    def id(self) -> str:
        """Its id, as given at the enqueue."""
        return self.call.job.enqueue_options.id or ""

    def as_expected(self, info: JobInfo) -> bool:
        """Tell whether the job ended as expected."""
        return (info.state, info.attempts) == (self.state, self.attempts)


def the_load() -> list[Item]:
    """Return what is enqueued: four queues, three kinds of handler, every kind of end, a pipeline."""
    return [
        *(Item(_named(flaky, n).call(), attempts=2) for n in range(1, 4)),
        *(Item(_named(sleep, n).call(round(0.3 + 0.2 * n, 1))) for n in range(1, 11)),
        *(Item(_named(broken, n).call(), State.DEAD, attempts=3) for n in range(1, 3)),
        *(_email(n, f"customer.{n}@example.org") for n in range(1, 7)),
        _email(7, stage.BUSY_AT_FIRST, attempts=2),
        _email(8, stage.UNKNOWN_HERE, state=State.DEAD),
        *(Item(_named(data_processing, n).call(rows=100_000, seed=n)) for n in range(1, 5)),
        Item(_named(film, 1).call(title="make demo", scenes=6)),
    ]


def _named(job: Job[P, R], number: int) -> Job[P, R]:
    return job.options(id=f"demo-{job.name}-{number}")


def _email(number: int, to: str, **ends: Any) -> Item:
    # The sample's own backoff gives a mail server minutes, too long for a demo.
    quick = _named(email, number).options(backoff=fixed(0.5))
    return Item(quick.call(to, f"Order {number}", "Thank you for your order."), **ends)


async def play(place: stage.Place, load: Sequence[Item], *, stays: bool = False) -> bool:
    """Enqueue the load, run it in a worker process and show the outcomes. Return True if all jobs ended as expected.

    :param stays: whether the worker goes on afterwards, with the dashboard beside it, until this task is cancelled.
    """
    async with place.client() as client, stage.mail_server() as mails:
        screen.opening(place, len(load))
        handles = await client.enqueue_many(item.call for item in load)
        screen.waiting(place, next((handle for handle in handles if handle.queue == "email"), handles[0]).id)
        async with stage.worker(place, mails.port, has_dashboard=stays) as worker:
            screen.worker_started(worker)
            if stays:
                screen.dashboard(await worker.dashboard())
            infos = await _finished(client, handles, worker)
            if stays:
                is_expected = await _shown(place, client, mails, load, infos)
                screen.staying(await worker.dashboard())
                await _stay(worker)
                return is_expected
        is_expected = await _shown(place, client, mails, load, infos)
        screen.closing(place)
    return is_expected


async def _shown(
    place: stage.Place,
    client: Client,
    mails: stage.MailServer,
    load: Sequence[Item],
    infos: Sequence[JobInfo],
) -> bool:
    """Show what became of the jobs, and keep them. Return True if all ended as expected."""
    expected = [item.as_expected(info) for item, info in zip(load, infos, strict=True)]
    screen.outcomes(list(zip(infos, expected, strict=True)))
    screen.mails(mails)
    for info in infos:
        if info.task == film.name and info.state is State.COMPLETED:
            screen.film(*await _made_by(client, info))
    await screen.dead_letters(client)
    screen.in_redis(place, dead=_of(infos, email, State.DEAD), done=_of(infos, flaky, State.COMPLETED))
    await place.keep()
    return all(expected)


async def _made_by(client: Client, begun: JobInfo) -> tuple[FlowInfo, Film]:
    """Wait for the pipeline that a job has begun, and return how its stages went, and what it has made."""
    flow = client.flow(begun.result["flow"], making_of)
    made = await flow.result(timeout=PATIENCE)
    return await flow.status(), made


async def _stay(worker: stage.Worker) -> None:
    """Wait for Ctrl-C. Raises RotaError when the worker ends before."""
    try:
        await worker.ended()
    except asyncio.CancelledError:
        return
    raise RotaError(f"the worker ended by itself; {worker.last_words()}")


def _of(infos: Sequence[JobInfo], job: Job[..., Any], state: State) -> JobInfo:
    found = (info for info in infos if info.task == job.name and info.state is state)
    return next(found, infos[0])


async def _finished(client: Client, handles: Sequence[Handle[Any]], worker: stage.Worker) -> list[JobInfo]:
    """Show the jobs until all have ended, and return them. Raises RotaError when the worker ends before they do."""
    waits = [asyncio.create_task(client.wait(handle.queue, handle.id)) for handle in handles]
    by_queue: dict[str, list[asyncio.Task[JobInfo]]] = {}
    for handle, wait in zip(handles, waits, strict=True):
        by_queue.setdefault(handle.queue, []).append(wait)
    watching = asyncio.create_task(screen.watch(client, by_queue))
    ended = asyncio.create_task(worker.ended())
    try:
        await asyncio.wait({watching, ended}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise RotaError(f"the worker ended before its jobs did; {worker.last_words()}")
        if not watching.done():
            raise RotaError(f"the jobs did not end within {PATIENCE:g} s; {worker.last_words()}")
        await watching
        return [await wait for wait in waits]
    finally:
        await _cancelled([watching, ended, *waits])


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    # Repeated, because on Python 3.11 a task in the middle of a Redis command may miss a cancellation.
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.1)
    await asyncio.gather(*tasks, return_exceptions=True)


async def main(*, stays: bool = False) -> int:
    """Run the demo, and return its exit status: 0 if every job ended as expected."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made one
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, task.cancel)
    load = the_load()
    async with stage.place([(item.queue, item.id) for item in load]) as place:
        return 0 if await play(place, load, stays=stays) else EXIT_OTHERWISE


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo ARGS=…", description="Real jobs through a real queue.")
    parser.add_argument(
        "--stay", action="store_true", help="keep the worker and the dashboard open until Ctrl-C"
    )
    return parser.parse_args()


if __name__ == "__main__":
    asked = _asked()
    # The exception at the end says what this process logs while it tries to reach Redis.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        sys.exit(asyncio.run(main(stays=asked.stay)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("demo: stopped; its worker has ended, and its jobs are taken out of Redis\n")
        sys.exit(EXIT_STOPPED)
    except RotaError as error:
        sys.stderr.write(f"demo: {error}\n")
        sys.exit(EXIT_WRONG)
