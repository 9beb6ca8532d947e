"""What is worked out once for a job, and what each enqueue of it has of its own."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rota import Run, debounce, job, per_second
from rota.client.sending.drafts import Drafter
from rota.client.sending.moulds import Moulds
from rota.process.clock import Clock
from rota.settings.load import load
from rota.wire.envelopes import decode_job


@job
async def send(run: Run, to: str = "") -> None: ...


@job(queue="mail", priority=3)
async def urgent(run: Run) -> None: ...


@job(queue="mail", unique=debounce(2, key="order"))
async def bill(run: Run, order: str) -> None: ...


@job(queue="mail", limit=per_second(5))
async def rated(run: Run) -> None: ...


def test_of_a_declared_job_there_is_one_and_of_a_job_with_options_one_for_each_enqueue() -> None:
    moulds = Moulds("default", "rota")
    assert moulds.of(send) is moulds.of(send)
    for number in range(100):
        assert moulds.of(send.options(id=f"order-{number}")).own_id == f"default:order-{number}"
    assert len(moulds._of_declared) == 1
    assert moulds.of(send).own_id is None


def test_clients_of_other_settings_have_their_own() -> None:
    assert [Moulds(queue, "rota").of(send).queue for queue in ("default", "email")] == ["default", "email"]


@pytest.mark.parametrize(
    ("of_job", "rest"),
    [
        (send, (-1, 0, 0, "send", "", "", "refuse")),
        (urgent, (-1, 0, 0, "urgent", "p=3", "", "refuse")),
        (send.options(delay=1.5, on_taken="existing"), (-1, 1500, 0, "send", "", "", "existing")),
        (
            send.options(at=datetime(2030, 1, 1, tzinfo=UTC)),
            (1_893_456_000_000, 0, 0, "send", "", "", "refuse"),
        ),
        (bill, None),
        (rated, None),
    ],
)
def test_it_has_the_values_that_the_scripts_take_unless_arguments_count(of_job: Any, rest: object) -> None:
    assert Moulds("default", "rota").of(of_job).rest == rest


def test_arguments_times_and_ids_are_each_enqueue_s_own() -> None:
    times = iter([1.0, 2.0])
    drafter = Drafter(load({"REDIS_URL": "redis://localhost"}), Clock(time=lambda: next(times)))
    drafts = [drafter.draft(send, send.payload.bind((to,))) for to in ("ann", "bob")]
    jobs = [draft.outgoing for draft in drafts]
    found = [decode_job(one.payload) for one in jobs]
    assert [(one.kwargs, one.enqueued_ms) for one in found] == [({"to": "ann"}, 1000), ({"to": "bob"}, 2000)]
    assert jobs[0].id < jobs[1].id
    assert jobs[0].headers is not jobs[1].headers, "senders write into them"


def test_unique_jobs_have_keys_by_their_arguments() -> None:
    drafter = Drafter(load({"REDIS_URL": "redis://localhost"}), Clock())
    one, other = (drafter.draft(bill, bill.payload.bind((order,))) for order in ("a", "b"))
    assert one.mould is other.mould
    assert one.mould.delay_ms == 2000
    assert one.unique != other.unique
