"""What a client does with schedules: look at them, pause them, and let one run now. Raises the faults of Redis."""

from collections.abc import Callable
from typing import Any

from rota.client.sending.drafts import Draft
from rota.client.sending.moulds import ready
from rota.errors import RotaError, UnknownSchedule
from rota.model.schedules.info import ScheduleInfo
from rota.model.schedules.state import State
from rota.settings.settings import Settings
from rota.wire.claims import ms_of
from rota.wire.envelopes import encode_job
from rota.wire.schedules import Change, Schedules


class ScheduleControl:
    """The schedules of one namespace, as people see and change them.

    :param redis: an asyncio client.
    :param settings: namespace, and the length of the stream of events.
    """

    def __init__(self, redis: Any, settings: Settings) -> None:
        self._redis = redis
        self._schedules = Schedules(settings.namespace, settings.events_maxlen)
        self._sealer = settings.sealer

    async def look(self) -> list[ScheduleInfo]:
        """Return every schedule in Redis, by name."""
        found = await self._schedules.read(self._redis)
        return [ScheduleInfo.of(State.read(name, found[name])) for name in sorted(found)]

    async def soonest(self, most: int) -> tuple[int, list[ScheduleInfo]]:
        """Return how many schedules have a tick that waits, and the first `most` of these, the soonest first."""
        found = await self._schedules.read(self._redis)
        states = [State.read(name, fields) for name, fields in found.items()]
        waiting = sorted((state.tick, state.name, state) for state in states if state.tick is not None)
        return len(waiting), [ScheduleInfo.of(state) for _, _, state in waiting[:most]]

    async def state(self, name: str) -> State:
        """Return where a schedule is, in one round trip. Raises UnknownSchedule."""
        found = await self._schedules.read(self._redis, name)
        if name not in found:
            raise UnknownSchedule(name, sorted(await self._schedules.read(self._redis)))
        return State.read(name, found[name])

    async def pause(self, name: str) -> None:
        """Take the next tick of a schedule out, and put none until `resume`. Raises UnknownSchedule."""

        def paused(state: State, now: int) -> Change | None:
            if state.paused is not None:
                return None
            out = None if state.tick is None or state.place is None else (*state.place, state.tick)
            return Change(name, state.version, {"paused": now, "tick": ""}, out=out)

        await self._change(name, paused)

    async def resume(self, name: str) -> None:
        """Let a schedule go on with the tick that comes next. Raises UnknownSchedule."""

        def resumed(state: State, now: int) -> Change | None:
            if state.paused is None:
                return None
            # What it was paused over is not missed.
            return Change(name, state.version, {"paused": "", "until": max(now, state.until or 0)})

        await self._change(name, resumed)

    async def draft(self, name: str, now_ms: int) -> Draft:
        """Return the job of a schedule, to be enqueued now.

        Raises UnknownSchedule; RefusedPayload for a schedule without a right signature, which this client would sign;
        RotaError for a later version's.
        """
        definition = (await self.state(name)).definition
        if definition is None:
            raise RotaError(
                f"the schedule {name!r} is of a later version of rota, and this one cannot read it"
            )
        definition.check(self._sealer)
        payload = encode_job(
            definition.task, definition.arguments.encode(), enqueued_ms=now_ms, options=definition.options
        )
        return Draft(
            ready(definition.queue, definition.task, definition.terms), payload, definition.terms, ""
        )

    async def _change(self, name: str, changed: Callable[[State, int], Change | None]) -> None:
        while True:
            state = await self.state(name)
            change = changed(state, ms_of(await self._redis.time()))
            # The scheduler may have been quicker; its next change is seconds away.
            if change is None or (await self._schedules.apply(self._redis, change))[0] == "done":
                return
