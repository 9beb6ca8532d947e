"""The list of actions, in a real Redis: what is recorded is found again, and no more than Redis is to keep."""

import pytest
from arq.connections import ArqRedis

from rota import Client
from rota.client.bulk import actions
from rota.model.bulk.actions import Action, Actor

ANN = Actor("api", "01234567", "the desk of Ann")


@pytest.fixture
def client(redis: ArqRedis) -> Client:
    return Client(redis)


async def test_what_was_done_is_found_again_newest_first(client: Client) -> None:
    one = Action(actor=ANN, action="retry", target={"queue": "mail", "id": "mail:\udcff1"})
    many = Action(
        actor=Actor("cli", "ann@desk"),
        action="delete",
        target={"state": "dead"},
        count=409,
        outcome="aborted",
        tenant="acme",
        detail={"operation": "1"},
    )
    for action in (one, many):
        await client.actions.record(action)

    newest, first = await client.actions.page()

    assert newest.actor == Actor("cli", "ann@desk")
    assert (newest.count, newest.outcome, newest.tenant) == (409, "aborted", "acme")
    assert newest.detail == {"operation": "1"}
    assert (first.actor, first.target, first.tenant) == (ANN, {"queue": "mail", "id": "mail:\udcff1"}, None)
    assert first.at is not None
    assert [one.action for one in await client.actions.page(before=newest.position)] == ["retry"]


async def test_only_the_last_are_kept(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "ACTIONS", 3)
    for number in range(5):
        await client.actions.record(Action(actor=ANN, action="retry", target={}, count=number))

    assert [one.count for one in await client.actions.page()] == [4, 3, 2]


async def test_an_entry_of_another_program_is_no_error(client: Client) -> None:
    await client.redis.xadd("rota:actions", {"target": "[", "count": "many", "by": b"\xff"})

    (found,) = await client.actions.page()

    assert (found.action, found.count, found.target) == ("", 0, {})
