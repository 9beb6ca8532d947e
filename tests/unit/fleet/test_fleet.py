"""Fleets: what readings over time come to, as loads and as workers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rota.errors import UnknownQueue
from rota.fleet.fleet import GUESS, Fleet, FleetNeed, choose
from rota.fleet.heartbeat import Beat
from rota.fleet.reading import QueueReading, Reading
from rota.model.state import State
from rota.server.check import Facts
from rota.settings.load import load

FACTS = Facts(0, 0, 0, {})


def queue(**of: Any) -> QueueReading:
    states = dict.fromkeys((State.WAITING, State.DELAYED, State.ACTIVE, State.DEAD), 0)
    active = of.pop("active", 0)
    return QueueReading(states | {State.ACTIVE: active, State.WAITING: of.get("ready", 0)}, **of)


def need(*readings: tuple[float, QueueReading], **variables: str) -> FleetNeed:
    fleet = Fleet(load(variables), ["email"], window=60)
    return [fleet.appraise(Reading(at, {"email": one}, FACTS)) for at, one in readings][-1]


def beat(process: str = "p", **of: Any) -> Beat:
    return Beat(process, **{"status": "running", "slots": 10, "busy": 0, "cap": 0, **of})


@pytest.mark.parametrize(("told", "active", "taken"), [(1, 3, 3), (4, 0, 4), (1, 25, 10)])
def test_slots_are_taken_by_the_jobs_that_redis_knows_where_heartbeats_are_older(
    told: int, active: int, taken: int
) -> None:
    assert queue(active=active, beats=(beat(busy=told),)).slots_taken == taken


def test_an_idle_queue_needs_nobody() -> None:
    assert need((0, queue())).desired == 0


def test_a_backlog_is_worked_off_within_half_of_the_objective() -> None:
    one = queue(ready=2000, ended=100, busy=50.0)
    assert need((0, one), (1, one), QUEUE_SLO="20s").desired == 10
    assert need((0, one), (1, one), QUEUES__EMAIL__SLO="20s", QUEUES__EMAIL__CONCURRENCY="25").desired == 4


def test_the_slots_of_a_worker_are_those_that_workers_have() -> None:
    one = queue(ready=2000, ended=100, busy=50.0, beats=(beat("p", slots=20), beat("q", slots=20)))
    assert need((0, one), QUEUE_SLO="20s").queues[0].load.slots == 20


def test_while_no_job_has_ended_one_is_taken_to_last_as_long_as_those_that_run() -> None:
    assert need((0, queue(ready=10))).queues[0].load.job_seconds == GUESS
    assert need((0, queue(ready=10, active=3, mean_active=40.0))).queues[0].load.job_seconds == 40


def test_what_waits_in_a_paused_queue_is_no_reason_to_scale() -> None:
    one = queue(ready=10_000, active=5, paused=True, ended=10, busy=20.0)
    assert need((0, replace(one, ready=0)), (100, one)).desired == 1


def test_what_a_rate_limit_keeps_back_is_no_reason_to_scale() -> None:
    one = queue(ready=100_000, ended=10, busy=10.0)
    assert need((0, one), QUEUE_RATE_LIMIT="30/1s").desired == 4
    assert need((0, one)).desired > 100


def test_no_more_slots_are_wanted_than_the_whole_fleet_may_fill() -> None:
    one = queue(ready=100_000, ended=10, busy=10.0)
    assert need((0, one), QUEUES__EMAIL__FLEET_CONCURRENCY="25").desired == 3


def test_what_one_process_serves_twice_is_one_worker() -> None:
    fleet = Fleet(load({}), ["email", "video"])
    both = {name: queue(beats=(beat("p"), beat("q", status="draining"))) for name in ("email", "video")}
    found = fleet.appraise(Reading(0, both, FACTS))
    assert (found.workers, found.draining) == (1, 1)
    assert [one.workers for one in found.queues] == [1, 1]


def test_capped_processes_share_their_slots_among_the_queues() -> None:
    busy = queue(ended=100, busy=100.0, ready=450, beats=(beat("p", cap=10),))
    fleet = Fleet(load({}), ["email", "video"])
    found = fleet.appraise(Reading(0, {"email": busy, "video": busy}, FACTS))
    assert [one.desired for one in found.queues] == [2, 2]
    assert found.desired == 3


def test_a_need_survives_its_way_as_json() -> None:
    one = queue(ready=77, ended=100, busy=33.3, latency=1.5, beats=(beat("p", cap=5),))
    found = need((0, one), (10, one))
    back = FleetNeed.of_json(json.loads(json.dumps(found.to_json())))
    assert back.to_json() == found.to_json()
    assert back.desired == found.desired


@pytest.mark.parametrize("odd", [{}, {"queues": [{}], "workers": 1, "draining": 0}, {"queues": 3}])
def test_what_is_no_need_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        FleetNeed.of_json(odd)


def test_the_part_of_a_fleet_is_what_its_own_queues_need() -> None:
    fleet = Fleet(load({}), ["email", "video"])
    found = fleet.appraise(
        Reading(0, {"email": queue(ready=1000, ended=1, busy=1.0), "video": queue()}, FACTS)
    )
    assert choose(found, ["video"]).desired == 0
    assert choose(found, None).desired == found.desired == 4
    with pytest.raises(UnknownQueue, match="emial"):
        choose(found, ["emial"])


def test_workers_of_other_queues_are_none_of_a_chosen_fleet() -> None:
    fleet = Fleet(load({}), ["email", "video", "audio"])
    email = queue(beats=tuple(beat(name) for name in "abc"))
    video = queue(beats=(beat("v"), beat("w", status="draining")))
    found = fleet.appraise(Reading(0, {"email": email, "video": video, "audio": video}, FACTS))
    assert (found.workers, found.draining) == (4, 1)
    chosen = choose(found, ["video", "audio"])
    assert (chosen.workers, chosen.draining) == (1, 1)


def test_what_cannot_be_read_of_a_queue_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    odd = queue(ready=1, unreadable="stats")
    need((0, queue()), (1, odd), (2, odd), (3, queue()), (4, odd))
    told = [(record.message, vars(record)["queue"], vars(record)["what"]) for record in caplog.records]
    assert told == [("queue.unreadable", "email", "stats")] * 2
