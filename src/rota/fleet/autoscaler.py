"""The autoscaler: looks every few seconds at what the queues need, and runs the user's command for that many workers.

It runs on the host, so that no container needs the container engine's socket. Workers leave by being stopped: on
SIGTERM they claim no more, finish their running jobs, and hand back the rest.
"""

import asyncio
import logging
import shlex
from dataclasses import replace
from typing import Any

from rota.fleet.command import command_of, run_command
from rota.fleet.fleet import Fleet, FleetNeed
from rota.fleet.reading import read
from rota.fleet.scaling import Course, Decision, Pace, by_threshold, steer
from rota.fleet.sight import BLINDNESS, DEADLINE, Ask, ask_exporter, ask_redis
from rota.model.registry import Registry
from rota.process import services
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.process.cpu import Processors
from rota.server import connections
from rota.server.place import locate
from rota.settings.load import Settings

logger = logging.getLogger("rota.autoscaler")

#: A fleet that has not had the number of workers it was given for this long is given it again, in seconds: a command
#: may have failed, or a worker died.
INSIST = 60.0


class Autoscaler:
    """The service that scales one fleet.

    :param settings: the limits, the pace and the command.
    :param ask: tells what the fleet needs.
    :param clock: tells the time that the pace goes by.
    :param deadline: how long an answer is waited for, in seconds.
    """

    name = "autoscaler"
    may_end = False

    def __init__(
        self, settings: Settings, ask: Ask, *, clock: Clock = SYSTEM_CLOCK, deadline: float = DEADLINE
    ) -> None:
        self._settings = settings
        self._command = command_of(settings)
        self._ask = ask
        self._clock = clock
        self._deadline = deadline
        self._processors = Processors()
        self._course: Course | None = None
        self._right_at = clock.monotonic()
        self._blind = False
        self._pace = Pace(
            least=settings.autoscaler_min,
            most=settings.autoscaler_max,
            scale_in_after=settings.autoscaler_scale_in_after,
            cooldown=settings.autoscaler_cooldown,
            steady=settings.autoscaler_policy == "threshold",
        )

    async def run(self) -> None:
        while True:
            await self.turn()
            await asyncio.sleep(self._settings.autoscaler_interval)

    async def turn(self) -> Decision | None:
        """Look once, and act; return the decision, None where the fleet could not be seen."""
        try:
            async with asyncio.timeout(self._deadline):
                need = await self._ask()
        except BLINDNESS as error:
            if not self._blind:
                logger.warning("autoscaler.blind", extra={"reason": str(error) or type(error).__name__})
            self._blind = True
            return None
        if self._blind:
            self._blind = False
            logger.info("autoscaler.sees_again", extra={"workers": need.workers})
        return await self._act(need)

    async def _act(self, need: FleetNeed) -> Decision:
        now, cpu = self._clock.monotonic(), self._processors.percent()
        former = self._course or Course(need.workers, since=now)
        desired = self._desired(need, former.workers, cpu)
        course, decision = steer(former, desired, now, self._pace)
        changed = decision.workers != former.workers
        strayed = self._strayed(need.workers, decision.workers, now)
        fields = self._reasons(need, desired, decision, cpu)
        if self._course is None:
            # A line at once: otherwise a fleet that is as it should be, and one that is not watched, look the same.
            logger.info("autoscaler.sees", extra=fields)
        if changed or strayed:
            self._right_at = now
            if self._settings.autoscaler_dry_run:
                logger.info("autoscaler.would_scale", extra=fields)
            else:
                logger.info("autoscaler.scales" if changed else "autoscaler.insists", extra=fields)
            if not await self._make(decision.workers):
                # Nothing has changed: the next turn tries again.
                course = replace(former, wanted=course.wanted)
        else:
            logger.debug("autoscaler.stays", extra=fields)
        self._course = course
        return decision

    def _strayed(self, workers: int, wanted: int, now: float) -> bool:
        """Tell whether the fleet has had another number of workers for long; a new worker has to boot first."""
        if workers == wanted or self._settings.autoscaler_dry_run:
            self._right_at = now
        return now - self._right_at >= INSIST

    def _desired(self, need: FleetNeed, workers: int, cpu: float | None) -> int:
        if self._settings.autoscaler_policy == "formula":
            return need.desired
        return by_threshold(workers, ready=need.ready, wait=need.latency, cpu=cpu)

    def _reasons(
        self, need: FleetNeed, desired: int, decision: Decision, cpu: float | None
    ) -> dict[str, Any]:
        neediest = max(need.queues, key=lambda one: one.desired, default=None)
        load = neediest.load if neediest else None
        return {
            "why": decision.why,
            "workers": need.workers,
            "to": decision.workers,
            "desired": desired,
            "policy": self._settings.autoscaler_policy,
            "queue": neediest.queue if neediest else "",
            "ready": load.ready if load else 0,
            "latency": round(need.latency, 1),
            "arrivals": round(load.arrivals, 2) if load else 0.0,
            "job_seconds": round(load.job_seconds, 3) if load else 0.0,
            "slo": load.slo if load else 0.0,
            "cpu": None if cpu is None else round(cpu),
            "dry_run": self._settings.autoscaler_dry_run,
        }

    async def _make(self, workers: int) -> bool:
        """Run the command for this many workers; tell whether it succeeded. A dry run always does."""
        if self._settings.autoscaler_dry_run:
            return True
        command = [part.replace("{n}", str(workers)) for part in self._command]
        began = self._clock.monotonic()
        status, said = await run_command(command, self._settings.autoscaler_timeout)
        fields = {"command": shlex.join(command), "seconds": round(self._clock.monotonic() - began, 1)}
        if status == 0:
            logger.info("autoscaler.done", extra=fields)
            return True
        logger.error("autoscaler.failed", extra={**fields, "status": status, "said": said})
        return False


async def serve(settings: Settings, registry: Registry) -> int:
    """Scale until a signal; return the exit status. Raises ConfigError, ServerError, EmbeddedServerError."""
    command_of(settings)
    if settings.autoscaler_url is not None:
        ask = ask_exporter(settings.autoscaler_url, settings.worker_queues)
        return await services.serve(Autoscaler(settings, ask))
    server = await asyncio.to_thread(locate, settings.redis)
    redis = connections.async_client(server.target, socket_timeout=DEADLINE)
    queues = settings.served_queues(registry.queues)
    try:
        await connections.look_first(redis, lambda: read(redis, queues))
        return await services.serve(Autoscaler(settings, ask_redis(redis, Fleet(settings, queues), queues)))
    finally:
        await redis.aclose(close_connection_pool=True)
        server.close()
