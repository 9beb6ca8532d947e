"""Working off the queues of a bench: the clock jumps to whatever is due next, a tick or a job, and that is run."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rota.app.declaring import definitions_of, schedules_of
from rota.model.registry import Registry
from rota.model.schedules.definition import Definition
from rota.model.schedules.state import MOST_OPEN, State
from rota.settings.settings import Settings
from rota.testing.clock import BenchClock
from rota.testing.journal import Journal
from rota.testing.worker import Worker
from rota.wire.envelopes import encode_job
from rota.wire.keys import tick_id
from rota.wire.schedules import Change, Tick
from rota.wire.sealing.sealed import seal_job

#: A complaint names this many jobs.
_NAMED = 5


class BenchTicks:
    """The ticks of schedules that come after the time of the clock.

    Each is put at its own moment, as the leader of a deployment puts it before.

    :param registry: has the schedules; None: there are none.
    """

    def __init__(self, redis: Any, settings: Settings, registry: Registry | None, clock: BenchClock) -> None:
        self._redis = redis
        self._schedules = schedules_of(settings)
        self._sealer = settings.sealer
        self._clock = clock
        definitions = definitions_of(settings, registry) if registry else []
        now = clock.passed.time_ms()
        self._next: dict[str, tuple[int, Definition]] = {
            one.name: (one.times.next_after(now), one) for one in definitions
        }

    @property
    def next(self) -> float | None:
        """The time of the next tick, in seconds since 1970."""
        return min((tick for tick, _ in self._next.values()), default=0) / 1000 or None

    async def put(self) -> None:
        """Put the job of the next tick on its queue."""
        tick, definition = min(self._next.values(), key=lambda one: one[0])
        self._next[definition.name] = definition.times.next_after(tick), definition
        found = (await self._schedules.read(self._redis, definition.name)).get(definition.name, {})
        state = State.read(definition.name, found)
        payload = encode_job(
            definition.task, definition.arguments.encode(), enqueued_ms=tick, options=definition.options
        )
        job_id = tick_id(definition.name, tick)
        payload = seal_job(self._sealer, payload, queue=definition.queue, job_id=job_id)
        followed = " ".join(str(one) for one in (*state.open, tick)[-MOST_OPEN:])
        fields: dict[str, str | int] = {
            "definition": definition.text,
            "last": tick,
            "until": tick,
            "open": followed,
        }
        put = Tick(tick, tick, definition.queue, definition.task, payload, definition.terms)
        await self._schedules.apply(self._redis, Change(definition.name, state.version, fields, (put,)))


async def drain(
    workers: Sequence[Worker],
    clock: BenchClock,
    journal: Journal,
    ticks: BenchTicks,
    *,
    end: float,
    max_jobs: int,
) -> int:
    """Run what is due until `end` (seconds since 1970), ticks included; return how many attempts that were.

    Raises AssertionError when `max_jobs` attempts were not enough.
    """
    attempts = 0
    while True:
        due = [(at, index) for index, worker in enumerate(workers) if (at := worker.due()) is not None]
        if (tick := ticks.next) is not None and tick <= min([end, *(at for at, _ in due)]):
            clock.move_to(tick)
            await ticks.put()
            continue
        if not due or min(due)[0] > end:
            return attempts
        if attempts >= max_jobs:
            raise AssertionError(_endless(workers, max_jobs))
        at, index = min(due)
        clock.move_to(at)
        attempts += await workers[index].work()
        journal.settle_up()


def _endless(workers: Sequence[Worker], max_jobs: int) -> str:
    ran = sum((worker.ran for worker in workers), Counter[str]())
    most = ", ".join(f"{task} {times} times" for task, times in ran.most_common(_NAMED))
    return (
        f"drain() ran {max_jobs} attempts and jobs are left ({most}); a job that enqueues or snoozes itself for ever "
        "needs drain(until=...), a long test a higher max_jobs"
    )
