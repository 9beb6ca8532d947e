"""How queues stand now: what they are read as, the workers that each needs, and what is said of that in words."""

from collections import Counter

from rota.api.desk import Desk
from rota.api.pages.words import QueueFacts, duration
from rota.fleet.fleet import Fleet, QueueNeed
from rota.fleet.reading import QueueReading, Reading, read
from rota.model.state import State
from rota.server.faults import explained
from rota.settings.queues import QueueSettings


async def reading_of(desk: Desk, *names: str) -> tuple[Reading, dict[str, QueueNeed]]:
    """Return these queues, or all, as they are now, and the workers that each needs. Raises ServerError."""
    queues = names or desk.queues
    async with explained(desk.client.redis):
        reading = await read(desk.client.redis, queues)
    need = Fleet(desk.settings, queues).appraise(reading)
    return reading, {one.queue: one for one in need.queues}


def facts_of(desk: Desk, name: str, reading: Reading, need: QueueNeed) -> QueueFacts:
    """Return what is said of a queue in words."""
    one, own = reading.queues[name], desk.settings.queue(name)
    return QueueFacts(
        name=name,
        ready=one.ready,
        wait=one.latency,
        slo=own.slo,
        slots=one.slots,
        busy=one.slots_busy,
        workers=one.workers("running"),
        missing=max(0, need.desired - need.workers),
        running=one.states[State.ACTIVE],
        draining=one.workers("draining"),
        held=one.states[State.WAITING] - one.ready,
        rate=_rate(own),
        most=own.fleet_concurrency or 0,
        is_crowded=_is_crowded(reading, one),
        is_paused=one.paused,
    )


def _rate(own: QueueSettings) -> str:
    limit = own.rate_limit
    return "" if limit is None else f"{limit.most:,} in {duration(limit.per)}"


def _is_crowded(reading: Reading, one: QueueReading) -> bool:
    """Tell whether every worker of a queue runs as many jobs as it may, over all of its queues."""
    busy = Counter[str]()
    for beat in (beat for queue in reading.queues.values() for beat in queue.beats):
        busy[beat.process] += beat.busy
    claiming = [beat for beat in one.beats if beat.status == "running"]
    return bool(claiming) and all(0 < beat.cap <= busy[beat.process] for beat in claiming)


def states_of(one: QueueReading) -> dict[str, int]:
    """Return how many jobs of a queue are in each state, by its name."""
    shown = (State.WAITING, State.DELAYED, State.ACTIVE, State.DEAD)
    return {state.value: one.states.get(state, 0) for state in shown}
