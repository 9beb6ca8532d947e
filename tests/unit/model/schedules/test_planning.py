"""Which ticks are put: ahead of their time, once each, by policy where they were missed, whatever the clock does."""

from dataclasses import replace
from typing import Any

import pytest

from rota.model.schedules.definition import Definition
from rota.model.schedules.planning import ABANDONED, Ended, Facts, Plan, Put, is_abandoned, lateness, plan
from rota.model.schedules.schedule import OVERLAPPED, TOO_LATE, Missed
from rota.model.schedules.state import State
from rota.model.schedules.times import Interval, times_of

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
#: Noon of a day, in milliseconds.
NOON = 20_000 * DAY + 12 * HOUR


def every(minutes: int, *, missed: Missed = "run_once", arguments: str = "{}") -> Definition:
    return Definition("s", "jobs", "q", "work", Interval(minutes * MINUTE), missed, "skip", arguments, {}, "")


def planned(definition: Definition, now: int = NOON) -> State:
    """Return a schedule that was looked at, and whose next tick waits."""
    found = plan(State("s"), definition, Facts(now, is_there=False))
    assert found is not None
    return found.state


def planning(state: State, definition: Definition, facts: Facts) -> Plan:
    found = plan(state, definition, facts)
    assert found is not None
    return found


def test_a_new_schedule_begins_with_the_tick_that_comes_next() -> None:
    found = planning(State("s"), every(60), Facts(NOON + MINUTE, is_there=False))
    assert found.puts == (Put(NOON + HOUR, NOON + HOUR),)
    assert (found.state.tick, found.state.until, found.out) == (NOON + HOUR, NOON + MINUTE, None)


def test_nothing_is_to_be_done_while_a_tick_waits() -> None:
    state = planned(every(60))
    assert plan(state, every(60), Facts(NOON + 5)) is None


def test_once_a_tick_is_due_the_next_is_put_and_its_job_followed() -> None:
    found = planning(planned(every(60)), every(60), Facts(NOON + HOUR, is_there=True))
    assert found.puts == (Put(NOON + 2 * HOUR, NOON + 2 * HOUR),)
    assert (found.state.last, found.state.open, found.state.missed) == (NOON + HOUR, (NOON + HOUR,), 0)
    assert found.out is None


@pytest.mark.parametrize("hours", [1, 5, 24 * 400])
def test_what_was_missed_runs_once_after_a_stop_of_any_length(hours: int) -> None:
    state, now = planned(every(60)), NOON + (hours + 1) * HOUR + MINUTE
    found = planning(state, every(60), Facts(now, is_there=False))
    assert found.puts[0] == Put(NOON + (hours + 1) * HOUR, now)
    assert found.puts[1] == Put(NOON + (hours + 2) * HOUR, NOON + (hours + 2) * HOUR)
    assert found.state.missed == min(hours, 1000) - 1


def test_a_job_that_waited_out_the_stop_runs_for_what_was_missed_after_it() -> None:
    state, now = planned(every(60)), NOON + 5 * HOUR + MINUTE
    found = planning(state, every(60), Facts(now, waits=True))
    assert found.puts == (Put(NOON + 6 * HOUR, NOON + 6 * HOUR),)
    assert found.state.missed == 4


def test_what_was_missed_is_skipped_where_the_schedule_says_so() -> None:
    skipping = every(60, missed="skip")
    found = planning(planned(skipping), skipping, Facts(NOON + 5 * HOUR + 20 * MINUTE, is_there=False))
    assert found.puts == (Put(NOON + 6 * HOUR, NOON + 6 * HOUR),)
    assert found.state.missed == 4


def test_a_tick_that_may_still_start_is_not_missed() -> None:
    skipping = every(60, missed="skip")
    found = planning(planned(skipping), skipping, Facts(NOON + 5 * HOUR + 2 * MINUTE, is_there=False))
    assert found.puts[0] == Put(NOON + 5 * HOUR, NOON + 5 * HOUR)
    assert (lateness(Interval(HOUR), NOON), lateness(Interval(MINUTE), NOON)) == (600_000, MINUTE)


def test_a_clock_that_is_set_back_repeats_no_tick() -> None:
    ran = planning(planned(every(60)), every(60), Facts(NOON + HOUR, is_there=False)).state
    assert plan(ran, every(60), Facts(NOON - 3 * HOUR)) is None
    # The job ran before anybody noted it, and the clock says that its time is still to come.
    noted = planning(planned(every(60)), every(60), Facts(NOON - 3 * HOUR, is_there=False))
    assert noted.puts == (Put(NOON + 2 * HOUR, NOON + 2 * HOUR),)


def test_a_clock_that_was_far_ahead_does_not_silence_a_schedule() -> None:
    ahead = planned(every(60), NOON + 400 * DAY)
    found = planning(ahead, every(60), Facts(NOON))
    assert (found.puts, found.out) == ((Put(NOON + HOUR, NOON + HOUR),), ahead.tick)


def test_another_time_takes_the_former_tick_out_and_makes_up_for_nothing() -> None:
    found = planning(planned(every(24 * 60)), every(60), Facts(NOON + 20 * MINUTE))
    assert found.puts == (Put(NOON + HOUR, NOON + HOUR),)
    assert found.out == NOON + 12 * HOUR
    late = planning(planned(every(24 * 60)), every(60), Facts(NOON + 3 * DAY + MINUTE))
    assert late.puts == (Put(NOON + 3 * DAY + HOUR, NOON + 3 * DAY + HOUR),)


def test_other_arguments_replace_the_job_of_the_tick_that_waits() -> None:
    state, other = planned(every(60)), every(60, arguments='{"to":"ann"}')
    found = planning(state, other, Facts(NOON + 5))
    assert (found.puts, found.out) == ((Put(NOON + HOUR, NOON + HOUR),), NOON + HOUR)
    assert found.state.text == other.text
    late = planning(state, other, Facts(NOON + 3 * HOUR + MINUTE, is_there=False))
    assert late.puts[0].tick == NOON + 3 * HOUR  # a deploy makes up for what it held up


def test_nothing_is_put_while_a_schedule_is_paused() -> None:
    paused = replace(planned(every(60)), tick=None, paused=NOON)
    assert plan(paused, every(60), Facts(NOON + DAY, is_there=False)) is None


def test_what_became_of_the_last_jobs_is_kept() -> None:
    state = planning(planned(every(60)), every(60), Facts(NOON + HOUR)).state
    ended = {NOON + HOUR: Ended("completed", NOON + HOUR + 5)}
    after = planning(state, every(60), Facts(NOON + HOUR + 10, ended=ended)).state
    assert (after.outcome, after.ended, after.succeeded, after.open) == (
        "completed",
        NOON + HOUR + 5,
        NOON + HOUR + 5,
        (),
    )
    for reason, counts in ((TOO_LATE, (1, 0)), (OVERLAPPED, (0, 1)), ("by hand", (0, 0))):
        ended = {NOON + HOUR: Ended("cancelled", NOON + HOUR + 5, reason)}
        after = planning(state, every(60), Facts(NOON + HOUR + 10, ended=ended)).state
        assert (after.missed, after.overlapped, after.succeeded) == (*counts, None)


def test_a_state_comes_back_from_redis_and_rubbish_counts_as_nothing() -> None:
    state = replace(planned(every(60)), open=(1, 2), missed=3, version=7, outcome="dead", ended=4)
    written = {name: str(value) for name, value in state.fields().items() if value != ""}
    assert State.read("s", {**written, "version": "7"}) == state
    assert state.definition == every(60)
    assert (state.place, state.source) == (("q", "work"), "jobs")
    broken = State.read("s", {"tick": "x", "open": "1 b ²", "definition": "{", "version": "-1"})
    assert broken == State("s", text="{", open=(1,))
    assert (broken.definition, broken.place, broken.source) == (None, None, "")


def test_a_definition_that_cannot_be_read_is_refused() -> None:
    good = every(5).wire()
    assert Definition.read(good) == every(5)
    wrong: tuple[Any, ...] = (None, [], {**good, "times": {"moon": 1}}, {**good, "queue": 5}, {"name": "x"})
    for bad in wrong:
        with pytest.raises(ValueError, match=r"read|text"):
            Definition.read(bad)


def test_what_nobody_runs_for_a_month_is_abandoned() -> None:
    state = planned(Definition.read({**every(5).wire(), "times": times_of("@daily", "UTC").wire()}))
    assert not is_abandoned(state, NOON + DAY)
    assert is_abandoned(state, NOON + 2 * DAY + ABANDONED)
