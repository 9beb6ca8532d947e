"""How queues stand now: what they are read as, the workers that each needs, who paused which, and that in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from rota.api.desk import Desk
from rota.api.pages.words import QueueFacts, duration
from rota.fleet.fleet import Fleet, QueueNeed
from rota.fleet.reading import QueueReading, Reading, read
from rota.model.state import State
from rota.server.faults import explained
from rota.settings.queues import QueueSettings
from rota.wire.keys import QueueKeys, queue_key

#: How many of the latest actions are looked through for who paused a queue.
_LATEST = 200
#: By how much the clocks of those that write the two times may differ.
_CLOCKS = timedelta(seconds=5)


class Pause(NamedTuple):
    """Since when a queue is paused; who paused it and why, as far as the list of actions knows."""

    since: datetime
    by: str = ""
    why: str = ""


async def reading_of(desk: Desk, *names: str) -> tuple[Reading, dict[str, QueueNeed]]:
    """Return these queues, or all, as they are now, and the workers that each needs. Raises ServerError."""
    queues = names or desk.queues
    async with explained(desk.client.redis):
        reading = await read(desk.client.redis, queues)
    need = Fleet(desk.settings, queues).appraise(reading)
    return reading, {one.queue: one for one in need.queues}


async def pauses_of(desk: Desk, names: Sequence[str]) -> dict[str, Pause]:
    """Return those of some queues that are paused, in two round trips, and in one if none is. Raises ServerError."""
    keys = [QueueKeys.of(queue_key(name)).paused for name in names]
    async with explained(desk.client.redis):
        found = await desk.client.redis.mget(keys) if keys else []
    since = {
        name: datetime.fromtimestamp(int(raw) / 1000, UTC)
        for name, raw in zip(names, found, strict=True)
        if raw is not None and raw.isdigit()
    }
    actions = await desk.client.actions.page(limit=_LATEST) if since else []
    pauses = {name: Pause(at) for name, at in since.items()}
    # The newest are first: each queue keeps the one that comes last here, which paused it first.
    for one in actions:
        name = str(one.target.get("queue", ""))
        if one.action == "pause" and name in pauses and one.at and one.at >= since[name] - _CLOCKS:
            why = str(one.detail.get("reason", ""))
            pauses[name] = Pause(since[name], one.actor.name or one.actor.id, why)
    return pauses


def facts_of(
    desk: Desk, reading: Reading, needs: Mapping[str, QueueNeed], pauses: Mapping[str, Pause]
) -> dict[str, QueueFacts]:
    """Return what is said of each queue in words; whether its workers are full is seen in a reading of all queues."""
    busy = Counter[str]()
    for beat in (beat for one in reading.queues.values() for beat in one.beats):
        busy[beat.process] += beat.busy
    return {
        name: _facts(desk.settings.queue(name), one, needs[name], pauses.get(name), busy)
        for name, one in reading.queues.items()
    }


def _facts(
    own: QueueSettings, one: QueueReading, need: QueueNeed, pause: Pause | None, busy: Mapping[str, int]
) -> QueueFacts:
    return QueueFacts(
        name=own.name,
        ready=one.ready,
        wait=one.latency,
        slo=own.slo,
        slots=one.slots,
        busy=one.slots_taken,
        workers=one.workers("running"),
        missing=max(0, need.desired - need.workers),
        running=one.states[State.ACTIVE],
        draining=one.workers("draining"),
        held=one.states[State.WAITING] - one.ready,
        rate=_rate(own),
        most=own.fleet_concurrency or 0,
        is_crowded=_is_crowded(one, busy),
        is_paused=one.paused,
        paused_by="" if pause is None else pause.by,
        paused_why="" if pause is None else pause.why,
    )


def _rate(own: QueueSettings) -> str:
    limit = own.rate_limit
    return "" if limit is None else f"{limit.most:,} in {duration(limit.per)}"


def _is_crowded(one: QueueReading, busy: Mapping[str, int]) -> bool:
    """Tell whether every worker of a queue runs as many jobs as it may, over all of its queues."""
    claiming = [beat for beat in one.beats if beat.status == "running"]
    return bool(claiming) and all(0 < beat.cap <= busy[beat.process] for beat in claiming)


def states_of(one: QueueReading) -> dict[str, int]:
    """Return how many jobs of a queue are in each state, by its name."""
    shown = (State.WAITING, State.DELAYED, State.ACTIVE, State.DEAD)
    return {state.value: one.states.get(state, 0) for state in shown}
