"""How queues stand now: what they are read as, the workers that each needs, and what is said of that in words."""

from rota.api.desk import Desk
from rota.api.pages.words import QueueFacts
from rota.fleet.fleet import Fleet, QueueNeed
from rota.fleet.reading import QueueReading, Reading, read
from rota.model.state import State
from rota.server.faults import explained


async def reading_of(desk: Desk, *names: str) -> tuple[Reading, dict[str, QueueNeed]]:
    """Return these queues, or all, as they are now, and the workers that each needs. Raises ServerError."""
    queues = names or desk.queues
    async with explained(desk.client.redis):
        reading = await read(desk.client.redis, queues)
    need = Fleet(desk.settings, queues).appraise(reading)
    return reading, {one.queue: one for one in need.queues}


def facts_of(desk: Desk, name: str, one: QueueReading, need: QueueNeed) -> QueueFacts:
    """Return what is said of a queue in words."""
    return QueueFacts(
        name,
        one.ready,
        one.latency,
        desk.settings.queue(name).slo,
        one.slots,
        one.slots_busy,
        one.workers("running"),
        max(0, need.desired - need.workers),
        one.paused,
    )


def states_of(one: QueueReading) -> dict[str, int]:
    """Return how many jobs of a queue are in each state, by its name."""
    shown = (State.WAITING, State.DELAYED, State.ACTIVE, State.DEAD)
    return {state.value: one.states.get(state, 0) for state in shown}
