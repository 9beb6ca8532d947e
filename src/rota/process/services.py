"""Keeps services running: one that fails is started again after a growing pause, and given up if it goes on failing.

A service (`rota.seams.Service`) is work beside the jobs that lasts as long as its process. A failure is what `run`
raises, and a return where the service does not declare that it may end. Every failure is one log line with its
traceback; a service that fails FAILURES times in a row is down for good, which its process is told.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn, Self

from rota.errors import RotaError
from rota.model.policies.backoff import exponential
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.process.last_words import last_words
from rota.process.signals import until_signalled
from rota.seams import Service

logger = logging.getLogger("rota.services")

#: Exit status of a process that ends because one of its services, or of its workers, failed by a bug.
EXIT_FAILED = 1
#: The pauses after failures in a row, in seconds.
PAUSES = exponential(1.0, 2.0, ceiling=30.0, jitter=0.2)
#: A service that ran for this long before it failed begins a new row of failures, in seconds.
STEADY = 60.0
#: After this many failures in a row a service is given up.
FAILURES = 5
#: The time that a service gets to end after each cancellation, in seconds. One cancellation may not be enough: Python
#: 3.11's `wait_for`, which redis-py sends with, swallows one that arrives when its work is just done.
ENDING: tuple[float, ...] = (2.0, 1.0, 1.0, 1.0)


class ServiceEnded(RotaError):
    """Raised for a service that ended by itself though its work is never done."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A service that was given up, and the error of its last failure."""

    service: str
    error: BaseException


class Services:
    """Services that run while an `async with` block lasts, each of them restarted on its own.

    :param services: what to run.
    :param on_failure: called in the event loop for each service that is given up; the other services go on.
    :param clock: tells for how long a service ran.
    :param sleep: waits out the pauses.
    """

    def __init__(
        self,
        services: Iterable[Service],
        on_failure: Callable[[Failure], object],
        *,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._services = tuple(services)
        self._on_failure = on_failure
        self._clock = clock
        self._sleep = sleep
        #: The services that ignored every cancellation. Their tasks keep `asyncio.run` from returning.
        self.stuck: list[str] = []

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run(), name="services")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._running.cancel()
        await asyncio.wait({self._running})
        if not self._running.cancelled():
            self._running.result()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for service in self._services:
                group.create_task(self._keep(service))

    async def _keep(self, service: Service) -> None:
        failures = 0
        while True:
            began = self._clock.monotonic()
            error = await self._run_once(service)
            if error is None:
                return
            failures = 1 if self._clock.monotonic() - began >= STEADY else failures + 1
            fields = {
                "service": service.name,
                "error": f"{type(error).__name__}: {error}",
                "failures": failures,
            }
            if failures >= FAILURES:
                logger.critical("service.given_up", extra=fields, exc_info=error)
                self._on_failure(Failure(service.name, error))
                return
            pause = PAUSES.delay(failures)
            logger.error("service.failed", extra={**fields, "again_in": round(pause, 2)}, exc_info=error)
            await self._sleep(pause)

    async def _run_once(self, service: Service) -> BaseException | None:
        """Run a service to its end; return the error it failed with, None if its work is done."""
        task = asyncio.create_task(service.run(), name=f"service {service.name}")
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            await self._end(service, task)
            raise
        if task.cancelled():
            return ServiceEnded(f"the service {service.name} cancelled itself")
        if (error := task.exception()) is not None:
            return error
        return None if service.may_end else ServiceEnded(f"the service {service.name} returned")

    async def _end(self, service: Service, task: asyncio.Task[None]) -> None:
        for seconds in ENDING:
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=seconds)
            if done:
                if not task.cancelled() and (error := task.exception()) is not None:
                    logger.error("service.ended_badly", extra={"service": service.name}, exc_info=error)
                return
        self.stuck.append(service.name)
        logger.critical("service.stuck", extra={"service": service.name, "seconds": sum(ENDING)})


@dataclass(frozen=True, slots=True)
class Periodic:
    """A service that calls a function again and again.

    :param name: the service's name.
    :param seconds: the pause between two calls.
    :param call: must not block the event loop.
    """

    name: str
    seconds: float
    call: Callable[[], object]
    may_end: bool = False

    async def run(self) -> None:
        while True:
            self.call()
            await asyncio.sleep(self.seconds)


async def serve(*services: Service) -> int:
    """Run `services` until SIGTERM or SIGINT; return the exit status, EXIT_FAILED if one of them was given up."""
    over = asyncio.Event()
    failures: list[Failure] = []

    def failed(failure: Failure) -> None:
        failures.append(failure)
        over.set()

    async with Services(services, failed) as running:
        await until_signalled(over.wait())
    status = EXIT_FAILED if failures else 0
    if running.stuck:
        exit_now(status)
    drop_output()
    return status


def drop_output() -> None:
    """Drop what cannot be written any more as the terminal or the pipe is gone. Python would end with status 120."""
    for stream in (sys.stdout, sys.stderr):
        if stream.closed:
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def exit_now(status: int) -> NoReturn:
    """End the process without waiting for threads or tasks that do not end."""
    last_words()
    os._exit(status)
