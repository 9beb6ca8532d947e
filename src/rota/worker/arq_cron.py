"""arq's `cron()` jobs: each tick is enqueued once, even where the clocks of the schedulers differ.

arq guards a tick for a minute after its run; a scheduler whose clock is further behind runs the tick again. Here the
last tick is remembered, and one that is not later is refused.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

from arq.connections import ArqRedis
from arq.cron import CronJob
from arq.jobs import Serializer, serialize_job
from arq.utils import to_unix_ms

from rota.wire.queue import QueueScripts
from rota.worker.arq_ticks import next_tick

#: How long a tick is remembered, in seconds: far beyond any difference between clocks.
MEMORY = 86_400.0


class Cron:
    """The cron jobs of one queue.

    :param serializer: writes their payloads; None pickles them, as arq does.
    :param expires_extra_ms: arq's: how long after its time a tick may still start.
    :param zone: whose clock says when; None is the system's zone.
    """

    def __init__(
        self,
        scripts: QueueScripts,
        serializer: Serializer | None,
        expires_extra_ms: int,
        *,
        zone: tzinfo | None = None,
    ) -> None:
        self._scripts = scripts
        self._serializer = serializer
        self._expires_extra_ms = expires_extra_ms
        self._zone = zone

    async def run(self, redis: ArqRedis, jobs: Sequence[CronJob], now: datetime, until: datetime) -> None:
        """Enqueue the ticks before `until`. A tick that a fault kept from being enqueued is left for the next call."""
        # In UTC: moments of one zone are compared by the clock on the wall, which may go back.
        now, until = now.astimezone(UTC), until.astimezone(UTC)
        for job in jobs:
            last = now
            if job.next_run is None and job.run_at_startup:
                await self._enqueue(redis, job, now, now)
            elif job.next_run is not None:
                last = job.next_run.astimezone(UTC)
                if last >= until:
                    continue
                if job.unique and not job.job_id:
                    await self._enqueue_once(redis, job, last, now)
                else:
                    await self._enqueue(redis, job, last, now)
            job.next_run = next_tick(job, last, self._zone)

    async def _enqueue(self, redis: ArqRedis, job: CronJob, tick: datetime, now: datetime) -> None:
        job_id = job.job_id or (f"{job.name}:{to_unix_ms(tick)}" if job.unique else None)
        due = tick if tick > now else None
        await redis.enqueue_job(
            job.name, _job_id=job_id, _queue_name=self._scripts.keys.queue, _defer_until=due
        )

    async def _enqueue_once(self, redis: ArqRedis, job: CronJob, tick: datetime, now: datetime) -> None:
        tick_ms, now_ms = to_unix_ms(tick), to_unix_ms(now)
        due_ms = max(tick_ms, now_ms)
        await self._scripts.tick(
            redis,
            job.name,
            tick_ms=tick_ms,
            memory=MEMORY,
            job_id=f"{job.name}:{tick_ms}",
            payload=serialize_job(job.name, (), {}, None, now_ms, serializer=self._serializer),
            due_ms=due_ms,
            life_ms=due_ms - now_ms + self._expires_extra_ms,
        )
