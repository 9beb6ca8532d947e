"""Capacity: how many jobs an engine may start, of what it knows."""

import pytest

from rota.engine.capacity import Access, Capacity
from rota.wire.queue import BATCH

SHARED, CLOSED, WAITING, ALONE = Access


@pytest.mark.parametrize(
    ("slots", "lanes", "batch"),
    [
        (1, 1, 1),
        (8, 1, 8),
        (9, 2, 5),
        (20, 2, 10),
        (99, 2, 50),
        (100, 3, 50),
        (200, 3, BATCH),
        (1000, 3, BATCH),
    ],
)
def test_a_step_claims_no_more_than_the_part_of_its_lane(slots: int, lanes: int, batch: int) -> None:
    capacity = Capacity(slots)
    assert (capacity.lanes, capacity.batch) == (lanes, batch)


@pytest.mark.parametrize(
    ("slots", "running", "asked", "budget", "startable"),
    [
        (4, 0, 0, None, 4),
        (4, 1, 2, None, 1),
        (4, 4, 0, None, 0),
        (4, 3, 1, None, 0),
        (4, 9, 0, None, 0),  # a job may run on after its claim was lost and made again
        (20, 0, 0, None, 10),  # the other half is left to the other lane
        (20, 0, 10, None, 10),
        (20, 15, 2, None, 3),
        (4, 0, 0, 9, 4),
        (4, 0, 0, 3, 3),
        (4, 0, 2, 3, 1),  # two of the three are asked for already
        (4, 0, 3, 2, 0),
        (4, 0, 0, 0, 0),
    ],
)
def test_startable_is_what_slots_and_budget_leave(
    slots: int, running: int, asked: int, budget: int | None, startable: int
) -> None:
    assert Capacity(slots, lambda: budget).startable(running, asked, SHARED) == startable


@pytest.mark.parametrize(("access", "startable"), [(SHARED, 4), (CLOSED, 0), (WAITING, 0), (ALONE, 1)])
def test_where_a_job_is_to_run_alone_one_job_is_startable_or_none(access: Access, startable: int) -> None:
    assert Capacity(4).startable(0, 0, access) == startable
