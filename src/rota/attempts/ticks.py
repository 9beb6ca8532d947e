"""A middleware at the start of a tick's job: leaves out a tick that is too late, or whose predecessor is still alive.

The next tick is on its queue ahead of its time, so whether it may run can be told only when it starts. Jobs that no
schedule enqueued pass by on the form of their ids.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from rota.errors import Cancel
from rota.model.run import Run
from rota.model.schedules.planning import lateness
from rota.model.schedules.schedule import OVERLAPPED, TOO_LATE, Schedule
from rota.model.schedules.state import State
from rota.seams import CallNext, Switched
from rota.wire.keys import queue_key, tick_id, tick_of
from rota.wire.schedules import Schedules


class TickGate(Switched):
    """The middleware.

    :param declared: the schedules of this process by name.
    :param schedules: the namespace's schedules in Redis.
    :param redis: returns the worker's connection.
    """

    def __init__(
        self, declared: Mapping[str, Schedule], schedules: Schedules, redis: Callable[[], Any]
    ) -> None:
        self._declared = declared
        self._schedules = schedules
        self._redis = redis

    def is_on(self) -> bool:
        return any(one.missed == "skip" or one.overlap == "skip" for one in self._declared.values())

    def __call__(self, run: Run, call_next: CallNext) -> Awaitable[Any]:
        # A second attempt goes on with what has begun.
        tick = tick_of(run.id) if run.attempt == 1 else None
        declared = None if tick is None else self._declared.get(tick[0])
        if tick is None or declared is None:
            return call_next(run)
        return self._checked(declared, *tick, run, call_next)

    async def _checked(self, declared: Schedule, name: str, tick: int, run: Run, call_next: CallNext) -> Any:
        if declared.missed == "skip" and run.waited * 1000 > lateness(declared.times, tick):
            raise Cancel(TOO_LATE)
        if declared.overlap == "skip" and await self._is_earlier_alive(name, tick, run.queue):
            raise Cancel(OVERLAPPED)
        return await call_next(run)

    async def _is_earlier_alive(self, name: str, tick: int, queue: str) -> bool:
        """Tell whether the job of an earlier tick is on the queue: it runs, or waits for an attempt."""
        redis = self._redis()
        state = State.read(name, (await self._schedules.read(redis, name)).get(name, {}))
        earlier = [tick_id(name, one) for one in state.open if one < tick]
        if not earlier:
            return False
        return any(score is not None for score in await redis.zmscore(queue_key(queue), earlier))
