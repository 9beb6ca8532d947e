"""A worker declares its schedules in Redis, at its boot and as long as it lives; the leader plans by that."""

import asyncio
import contextlib
from typing import Any

from rota.app.handlers import rules_of
from rota.model.registry import Registry
from rota.model.schedules.definition import Definition, Release, definition_of
from rota.server.outage import FAULTS
from rota.settings.settings import Settings
from rota.wire.keys import schedules_key
from rota.wire.schedules import Schedules

#: From one declaration to the next, and how long each of them holds, in seconds.
EVERY, LIFE = 20.0, 70.0
#: A worker without schedules looks this often whether there are any that its release has dropped, in seconds.
SELDOM = 60.0


def release_of(settings: Settings, registry: Registry) -> Release:
    """Return what the workers with this code declare."""
    return Release.of(settings.jobs_package, definitions_of(settings, registry))


def definitions_of(settings: Settings, registry: Registry) -> list[Definition]:
    """Return the schedules of the jobs, with all that is needed to enqueue their ticks, signed where payloads are."""
    return [
        definition_of(
            one,
            default_queue=settings.default_queue,
            namespace=settings.namespace,
            source=settings.jobs_package,
            keep_result=rules_of(one.job, settings.queue(registry.queue_of(one.job))).keep_result,
        ).sealed(settings.sealer)
        for one in registry.schedules
    ]


def schedules_of(settings: Settings) -> Schedules:
    """Return the schedules in Redis of the settings' namespace."""
    return Schedules(settings.namespace, settings.events_maxlen)


class Declaring:
    """The service of a worker process that says again and again that its release lives.

    :param redis: a client on the loop that runs this service.
    :param release: what it declares.
    """

    name = "declaring"
    may_end = False

    def __init__(self, redis: Any, settings: Settings, release: Release) -> None:
        self._redis = redis
        self._namespace = settings.namespace
        self._schedules = schedules_of(settings)
        self._release = release

    async def declare(self) -> bool:
        """Declare the schedules, and tell whether there are any in Redis. Raises what redis-py raises."""
        # A release without schedules says so only where there are some, which may have been its application's.
        if not self._release.schedules and not await self._redis.exists(schedules_key(self._namespace)):
            return False
        await self._schedules.publish(self._redis, self._release.id, self._release.text, LIFE)
        return True

    async def run(self) -> None:
        """Declare until cancelled; what the last declaration said then holds for a minute."""
        while True:
            pause = EVERY
            with contextlib.suppress(*FAULTS):  # the workers log that Redis is away
                pause = EVERY if await self.declare() else SELDOM
            await asyncio.sleep(pause)
