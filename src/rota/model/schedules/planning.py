"""Which ticks of a schedule are put now: a pure decision of where the schedule is, and what the server's clock says.

The next tick is put ahead of its time, as a delayed job, so that nobody need plan at the moment when it is due. What
went by with nobody there is missed, and its policy says what becomes of it. `until` never goes back over a tick: what
was put once, or passed over, stays so, whatever a server's clock says later.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rota.model.schedules.definition import Definition
from rota.model.schedules.schedule import OVERLAPPED, TOO_LATE
from rota.model.schedules.state import MOST_OPEN, State
from rota.model.schedules.times import Times

#: With `missed="skip"` a tick may start this late, if the next is not due before, in milliseconds.
LATEST = 600_000
#: Ticks that are done with so far ahead of the server's clock were done by a clock that was wrong, in milliseconds.
_WRONG = 86_400_000
#: A schedule whose application has no worker, and whose tick has been due this long, is forgotten, in milliseconds.
ABANDONED = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a tick's job: how, when, and why if it was cancelled."""

    outcome: str
    at: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of Redis beside the schedule itself.

    :param now: the server's clock, in milliseconds.
    :param is_there: whether the job of the tick that waits is on its queue.
    :param waits: whether a job of a tick that is due has not started.
    :param ended: the ends of jobs that were followed, by their ticks.
    """

    now: int
    is_there: bool = True
    waits: bool = False
    ended: Mapping[int, Ended] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Put:
    """A tick to put: its own moment, and when its job is due."""

    tick: int
    due: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The next steps of a schedule: where it is then, the ticks to put, and a tick to take out."""

    state: State
    puts: tuple[Put, ...] = ()
    out: int | None = None


def plan(state: State, definition: Definition, facts: Facts) -> Plan | None:
    """Return what is to be done with a schedule that is declared so; None if nothing is."""
    former = state.definition
    after = _followed(_spent(state, facts), facts)
    puts: list[Put] = []
    if former is None or former.times != definition.times:
        # A new time holds from now on: what it would have been before was not promised.
        after = replace(after, until=max(after.until or 0, facts.now))
    if after.until is None or after.until > facts.now + _WRONG:
        after = replace(after, until=facts.now)
    if after.paused is None:
        after, missed = _caught_up(after, definition, facts)
        puts += missed
        tick = definition.times.next_after(max(facts.now, after.until or 0))
        if after.tick != tick or definition.text != state.text:
            puts.append(Put(tick, tick))
        after = replace(after, tick=tick)
    after = replace(after, text=definition.text)
    if after == state and not puts:
        return None
    is_new = any(put.tick == after.tick for put in puts)
    out = state.tick if is_new and state.tick is not None and state.tick not in after.open else None
    return Plan(after, tuple(puts), out)


def lateness(times: Times, tick: int) -> int:
    """Return how late a tick may start that is not to be made up, in milliseconds."""
    return min(LATEST, times.next_after(tick) - tick)


def is_abandoned(state: State, now: int) -> bool:
    """Tell whether nobody will run a schedule of which no application is there."""
    return state.tick is not None and state.tick < now - ABANDONED


def _spent(state: State, facts: Facts) -> State:
    """Return the state once a tick is due, or is gone from its queue whatever a clock that was set back says."""
    tick = state.tick
    if tick is None or (tick > facts.now and facts.is_there):
        return state
    until = max(state.until or 0, tick)
    return replace(state, tick=None, until=until, last=tick, open=(*state.open, tick)[-MOST_OPEN:])


def _followed(state: State, facts: Facts) -> State:
    """Return the state with the ends of jobs that it followed."""
    for tick in state.open:
        if (ended := facts.ended.get(tick)) is None:
            continue
        state = replace(
            state,
            open=tuple(one for one in state.open if one != tick),
            outcome=ended.outcome,
            ended=ended.at,
            succeeded=ended.at if ended.outcome == "completed" else state.succeeded,
            missed=state.missed + (ended.reason == TOO_LATE),
            overlapped=state.overlapped + (ended.reason == OVERLAPPED),
        )
    return state


def _caught_up(state: State, definition: Definition, facts: Facts) -> tuple[State, list[Put]]:
    """Return the state once what was missed is dealt with, and the tick that runs for all of it, if one does."""
    times, until = definition.times, state.until or 0
    due = times.last_until(facts.now)
    if due <= until:
        return state, []
    number = times.count(until, due)
    state = replace(state, until=due)
    if definition.missed == "skip":
        puts = [Put(due, due)] if facts.now - due <= lateness(times, due) else []
    else:
        # A job that still waits, because all workers were away as well, runs for what was missed after it.
        puts = [] if facts.waits else [Put(due, facts.now)]
    state = replace(state, missed=state.missed + number - len(puts))
    if puts:
        state = replace(state, last=due, open=(*state.open, due)[-MOST_OPEN:])
    return state, puts
