"""The autoscaler: looks at the queues every few seconds, and runs the user's command that makes it so many workers.

It runs on the host, so that no container holds the engine's socket. The command is run as it is written, with the
number in place of `{n}`, and without a shell. Workers go by being stopped: on SIGTERM they claim no more, finish what
runs, and hand back the rest.
"""

import asyncio
import contextlib
import json
import logging
import os
import shlex
import signal
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rota.errors import RotaError, UnknownQueue
from rota.fleet.fleet import Fleet, FleetNeed, choose
from rota.fleet.reading import read
from rota.fleet.scaling import Course, Decision, Pace, by_threshold, steer
from rota.model.registry import Registry
from rota.server import connections
from rota.server.outage import FAULTS
from rota.server.place import locate
from rota.settings.load import ConfigError, Settings

logger = logging.getLogger("rota.autoscaler")

#: An answer that takes longer is none, seconds.
DEADLINE = 3.0
#: What a command said is logged up to so many characters, from its end.
_SAID = 2000
#: A fleet that is not as it was made by now is made so again, seconds: a command may have failed, a worker died.
INSIST = 60.0
_STAT = Path("/proc/stat")

#: Asks what the fleet needs. Raises what is in BLINDNESS.
Ask = Callable[[], Awaitable[FleetNeed]]


class Unseen(RotaError):
    """Raised where the exporter does not say what the queues need; the number of workers stays as it is."""


BLINDNESS: tuple[type[BaseException], ...] = (*FAULTS, Unseen)


class Autoscaler:
    """One autoscaler, from its settings to its end."""

    def __init__(self, settings: Settings, ask: Ask, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._command = command_of(settings)
        self._ask = ask
        self._clock = clock
        self._cpu = Processor()
        self._course: Course | None = None
        self._right_at = clock()
        self._blind = False
        self._pace = Pace(
            least=settings.autoscaler_min,
            most=settings.autoscaler_max,
            scale_in_after=settings.autoscaler_scale_in_after,
            cooldown=settings.autoscaler_cooldown,
            steady=settings.autoscaler_policy == "threshold",
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.turn()
            await asyncio.sleep(self._settings.autoscaler_interval)

    async def turn(self) -> Decision | None:
        """Look once, and act; what was decided, or None where nothing was to be seen."""
        try:
            async with asyncio.timeout(DEADLINE):
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
        now, cpu = self._clock(), self._cpu.percent()
        former = self._course or Course(need.workers, since=now)
        desired = self._desired(need, former.workers, cpu)
        course, decision = steer(former, desired, now, self._pace)
        changed = decision.workers != former.workers
        strayed = self._strayed(need.workers, decision.workers, now)
        fields = self._reasons(need, desired, decision, cpu)
        if changed or strayed:
            self._right_at = now
            logger.info("autoscaler.scales" if changed else "autoscaler.insists", extra=fields)
            if not await self._make(decision.workers):
                # Nothing has changed: the next turn tries again.
                course = Course(former.workers, former.since, former.changed_at, course.wanted)
        else:
            logger.debug("autoscaler.stays", extra=fields)
        self._course = course
        return decision

    def _strayed(self, workers: int, wanted: int, now: float) -> bool:
        """Whether there have long been other than those that were made: what was started has to boot first."""
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
        """Run the command; whether it went well. A dry run always does."""
        if self._settings.autoscaler_dry_run:
            return True
        command = [part.replace("{n}", str(workers)) for part in self._command]
        began = self._clock()
        status, said = await run_command(command, self._settings.autoscaler_timeout)
        fields = {"command": shlex.join(command), "seconds": round(self._clock() - began, 1)}
        if status == 0:
            logger.info("autoscaler.done", extra=fields)
            return True
        logger.error("autoscaler.failed", extra={**fields, "status": status, "said": said})
        return False


def command_of(settings: Settings) -> list[str]:
    """The command's words. Raises ConfigError for one that cannot be meant."""
    text = settings.autoscaler_command
    if text is None:
        if settings.autoscaler_dry_run:
            return []
        raise ConfigError(
            [
                "AUTOSCALER_COMMAND is not set; give the command that makes it {n} workers, or AUTOSCALER_DRY_RUN=true"
            ]
        )
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError([f"AUTOSCALER_COMMAND cannot be taken apart: {error}"]) from None
    if "{n}" not in text:
        raise ConfigError(["AUTOSCALER_COMMAND has no {n}, where the number of workers is to stand"])
    return words


async def run_command(command: list[str], timeout: float) -> tuple[int | str, str]:
    """Run it without a shell; its exit status, or why it has none, and the end of what it said.

    What is still running after `timeout` seconds, or when this is cancelled, is told to end, with its children.
    """
    # A file, and no pipe: a child that goes on in the background could hold that for ever.
    with tempfile.TemporaryFile() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            return "not started", str(error)
        try:
            async with asyncio.timeout(timeout):
                status: int | str = await process.wait()
        except TimeoutError:
            status = "not in time"
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
        output.seek(max(0, output.seek(0, os.SEEK_END) - _SAID))
        return status, output.read().decode("utf-8", "replace").strip()


class Processor:
    """How busy the processors of this machine were since the last question."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def percent(self) -> float | None:
        """From 0 to 100; None the first time, and where the system does not tell."""
        try:
            figures = [int(one) for one in _STAT.read_text("ascii").split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        idle, total = figures[3] + figures[4], sum(figures)
        last, self._last = self._last, (idle, total)
        if last is None or total <= last[1]:
            return None
        return 100.0 * (1 - (idle - last[0]) / (total - last[1]))


def exporters_answer(url: str, queues: tuple[str, ...] | None) -> Ask:
    """Ask the exporter at `url`. Raises Unseen for what is no answer."""
    if not url.startswith(("http://", "https://")):
        raise ConfigError(["AUTOSCALER_URL is not an address such as http://127.0.0.1:9464"])
    address = f"{url.rstrip('/')}/scaling"

    def fetch() -> FleetNeed:
        try:
            with urllib.request.urlopen(address, timeout=DEADLINE) as answer:  # noqa: S310 - http, as checked
                return choose(FleetNeed.of_json(json.load(answer)), queues)
        except urllib.error.HTTPError as error:
            raise Unseen(f"{address} answers {error.code}") from None
        except (OSError, ValueError, KeyError, TypeError, UnknownQueue) as error:
            raise Unseen(f"{address}: {error}") from None

    async def ask() -> FleetNeed:
        return await asyncio.to_thread(fetch)

    return ask


def redis_answer(redis: Any, fleet: Fleet, queues: tuple[str, ...]) -> Ask:
    """Ask Redis itself. Raises what redis-py raises."""

    async def ask() -> FleetNeed:
        return fleet.appraise(await read(redis, queues))

    return ask


async def serve(settings: Settings, registry: Registry) -> None:
    """Scale until cancelled. Raises ConfigError and EmbeddedServerError."""
    command_of(settings)
    if settings.autoscaler_url is not None:
        await Autoscaler(settings, exporters_answer(settings.autoscaler_url, settings.worker_queues)).run()
        return
    server = await asyncio.to_thread(locate, settings.redis)
    redis = connections.async_client(server.target, socket_timeout=DEADLINE)
    queues = settings.served_queues(registry.queues)
    try:
        await Autoscaler(settings, redis_answer(redis, Fleet(settings, queues), queues)).run()
    finally:
        await redis.aclose(close_connection_pool=True)
        server.close()
