"""The scheduler: keeps the next tick of every schedule on its queue, ahead of its time, while this process leads.

It works from Redis alone: from what the workers that live declare, and from where each schedule is. So the leader's own
code may be older or newer than that of the schedules, and two leaders at once do no harm: a change is made only to a
schedule that is still as it was read.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from redis.exceptions import OutOfMemoryError

from rota.errors import RefusedPayload
from rota.model.schedules.definition import Definition, Release
from rota.model.schedules.planning import Facts, Plan, Put, is_abandoned, plan
from rota.model.schedules.state import State
from rota.seams import Outgoing
from rota.server.outage import FAULTS
from rota.services.ticks import Found, find
from rota.telemetry.metrics.enqueued import ENQUEUED
from rota.wire.claims import ms_of
from rota.wire.envelopes import encode_job
from rota.wire.keys import tick_id
from rota.wire.schedules import Change, Schedules, Tick
from rota.wire.sealing.sealed import seal_job
from rota.wire.sealing.seals import Sealer

logger = logging.getLogger("rota.schedules")

#: The longest and the shortest time from one look to the next, in seconds.
EVERY, SOON = 5.0, 0.05
#: The same where there are no schedules at all, so that an idle worker costs little.
SELDOM = 60.0


class Term(Protocol):
    """A leader's term, as `rota.services.leadership` has it."""

    @property
    def epoch(self) -> int:
        """The number of the term, greater than that of any term before."""

    def check(self) -> None:
        """Raise an error if the term is over."""


@dataclass
class Declared:
    """The schedules that the workers declare that live.

    :param definitions: the schedules by name, each as the newest release has it.
    :param names: every name, those that this version cannot read included.
    :param sources: the jobs packages that have a worker.
    :param faults: why a schedule is left out that this process cannot read, or does not trust, by its name.
    """

    definitions: dict[str, Definition] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    faults: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, texts: Iterable[bytes], sealer: Sealer | None = None) -> "Declared":
        """Read the releases, the newest of which is last; `sealer` checks their seals."""
        declared = cls()
        for release in filter(None, map(Release.read, texts)):
            declared.sources.add(release.source)
            for name, wire in release.schedules.items():
                declared.names.add(name)
                declared.definitions.pop(name, None)
                declared.faults.pop(name, None)
                try:
                    definition = Definition.read(wire)
                    definition.check(sealer)
                except (ValueError, RefusedPayload) as error:
                    declared.faults[name] = str(error)
                else:
                    declared.definitions[name] = definition
        return declared


class Scheduler:
    """The service of a leader that plans the ticks of all schedules.

    :param schedules: the namespace's schedules in Redis.
    :param term: the leader's term, whose epoch is the fence of what is written.
    :param connect: makes a client on the loop that runs this service.
    :param created: told of the jobs that were put.
    :param sealer: checks what is declared, and seals the ticks.
    """

    name = "scheduler"
    may_end = False

    def __init__(
        self,
        schedules: Schedules,
        term: Term,
        connect: Callable[[], Any],
        *,
        created: Callable[[Sequence[Outgoing]], object] = ENQUEUED.created,
        sealer: Sealer | None = None,
    ) -> None:
        self._connect = connect
        self._schedules = schedules
        self._term = term
        self._created = created
        self._sealer = sealer
        self._unreadable: set[str] = set()

    async def run(self) -> None:
        """Look again and again, at each tick and every few seconds. Raises what the term raises when it is over."""
        async with self._connect() as redis:
            while True:
                pause = await self._try(redis)
                await asyncio.sleep(pause)

    async def _try(self, redis: Any) -> float:
        try:
            return await self.look(redis)
        except OutOfMemoryError:
            logger.warning("schedule.refused", extra={"error": "Redis is full"})
        except FAULTS:
            return 1.0  # the workers log that Redis is away
        return EVERY

    async def look(self, redis: Any) -> float:
        """Bring every schedule forward; return after how many seconds to look again. Raises what redis-py raises."""
        now = ms_of(await redis.time())
        declared = Declared.of(await self._schedules.declared(redis), self._sealer)
        read = await self._schedules.read(redis)
        states = {name: State.read(name, read.get(name, {})) for name in {*read, *declared.names}}
        self._tell_unreadable(declared)
        if not states:
            return SELDOM
        found = await find(redis, states.values(), self._sealer)
        next_ticks = []
        for name, state in sorted(states.items()):
            self._term.check()
            next_ticks.append(await self._bring_forward(redis, state, declared, found.get(name, {}), now))
        return min((max(SOON, (tick - now) / 1000) for tick in next_ticks if tick), default=EVERY)

    async def _bring_forward(
        self, redis: Any, state: State, declared: Declared, found: Mapping[int, Found], now: int
    ) -> int | None:
        """Do with a schedule what is to be done; return its next tick if it is soon."""
        definition = declared.definitions.get(state.name)
        if definition is None:
            if state.name not in declared.names:
                await self._remove(redis, state, declared, now)
            return None
        planned = plan(state, definition, facts_of(state, found, now))
        if planned is None:
            tick = state.tick
        else:
            await self._carry_out(redis, state, definition, planned, now)
            tick = planned.state.tick
        return tick if tick and tick - now < EVERY * 1000 else None

    async def _carry_out(
        self, redis: Any, state: State, definition: Definition, planned: Plan, now: int
    ) -> None:
        payload = encode_job(
            definition.task, definition.arguments.encode(), enqueued_ms=now, options=definition.options
        )
        puts = [self._tick(definition, put, payload) for put in planned.puts]
        out = None if planned.out is None or state.place is None else (*state.place, planned.out)
        change = Change(state.name, state.version, planned.state.fields(), puts, out)
        answer, number = await self._schedules.apply(redis, change, self._term.epoch)
        if answer != "done":
            return
        if (missed := planned.state.missed - state.missed) > 0:
            logger.warning("schedule.missed", extra={"schedule": state.name, "ticks": missed})
        jobs = [
            Outgoing(put.queue, put.task, tick_id(state.name, put.tick_ms), payload) for put in puts[:number]
        ]
        self._created(jobs)

    def _tick(self, definition: Definition, put: Put, payload: bytes) -> Tick:
        queue, job_id = definition.queue, tick_id(definition.name, put.tick)
        sealed = seal_job(self._sealer, payload, queue=queue, job_id=job_id)
        return Tick(put.tick, put.due, queue, definition.task, sealed, definition.terms)

    async def _remove(self, redis: Any, state: State, declared: Declared, now: int) -> None:
        """Remove a schedule that its application does not declare any more; one whose application is away stays."""
        if state.source not in declared.sources and not is_abandoned(state, now):
            return
        out = None if state.tick is None or state.place is None else (*state.place, state.tick)
        change = Change(state.name, state.version, out=out, remove=True)
        answer, _ = await self._schedules.apply(redis, change, self._term.epoch)
        if answer == "done":
            logger.info("schedule.removed", extra={"schedule": state.name})

    def _tell_unreadable(self, declared: Declared) -> None:
        unreadable = declared.faults.keys()
        for name in sorted(unreadable - self._unreadable):
            logger.warning("schedule.unreadable", extra={"schedule": name, "error": declared.faults[name]})
        self._unreadable = set(unreadable)


def facts_of(state: State, found: Mapping[int, Found], now: int) -> Facts:
    """Return what a decision needs of the jobs of a schedule's ticks."""
    planned = None if state.tick is None else found.get(state.tick)
    due = {tick: job for tick, job in found.items() if tick <= now or not job.is_there}
    return Facts(
        now,
        is_there=planned is not None and planned.is_there,
        waits=any(job.is_there and not job.has_started for job in due.values()),
        ended={tick: job.ended(now) for tick, job in due.items() if tick in state.open and not job.is_there},
    )
