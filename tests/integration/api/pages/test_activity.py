"""The screen of what was done by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from rota.model.bulk.actions import Action, Actor
from rota.settings.database_url import DatabaseTarget
from rota.store import actions, migrations
from rota.store.engine import Database
from rota.wire.keys import actions_key
from tests.integration.api.pages.trips import counting
from tests.integration.api.pages.visiting import MARKUP, Seen, entered, greet, page, sent
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer

ANN, BOB = Actor("api", "a1", "Ann"), Actor("cli", "bob@shop")


def older(shown: str) -> str:
    """Return the path of the next page of the list."""
    return next(link for link in Seen(shown).links if "before=" in link).removeprefix("/ui")


async def test_what_was_done_by_hand_is_listed_with_who_and_why(api: Api) -> None:
    assert "Nothing was done by hand" in await page(api, "/activity")
    for number in range(51):
        await sent(api, "/queues/email/pause", reason=f"because of {number}")
    first = await page(api, "/activity")
    assert "because of 50" in first
    assert "because of 0<" not in first
    assert "because of 0<" in await page(api, older(first))
    assert "because of 50" in await page(api, "/activity?before=explode"), (
        "no place in the list: its beginning"
    )


@pytest.mark.parametrize("place", ["1-2-3", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 30])
async def test_a_place_that_no_action_can_have_is_passed_over(api: Api, place: str) -> None:
    await sent(api, "/queues/email/pause")
    assert len(Seen(await page(api, f"/activity?before={place}")).cells("What")) == 1


async def test_it_is_found_by_who_and_by_what_among_many(api: Api) -> None:
    for number in range(400):
        actor, action = (ANN, "run_now") if number % 100 == 0 else (BOB, "retry")
        await api.client.actions.record(
            Action(actor=actor, action=action, target={"queue": "email", "id": f"job-{number}"})
        )
    shown = Seen(await page(api, "/activity?who=ann"))
    assert shown.cells("To which") == [f"job-{number} on email" for number in (300, 200, 100, 0)]
    assert "looked for among 400 actions" in shown.text
    assert len(Seen(await page(api, "/activity?who=BOB%40&what=Run+now")).cells("When")) == 0
    pages = [await page(api, "/activity?what=retry")]
    pages.append(await page(api, older(pages[0])))
    assert [len(Seen(one).cells("When")) for one in pages] == [50, 50]
    assert "what=retry" in older(pages[1])
    assert set(Seen(pages[0]).cells("To which")).isdisjoint(Seen(pages[1]).cells("To which"))


async def test_a_page_that_has_few_of_those_looked_at_goes_on_behind_them(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.api.pages.screens.activity.LOOKED_AT", 5)
    for actor in (ANN, *[BOB] * 7):
        await api.client.actions.record(Action(actor=actor, action="retry", target={"queue": "email"}))
    first = await page(api, "/activity?who=ann")
    assert "Nothing of that is among 5 actions" in first
    assert len(Seen(await page(api, older(first))).cells("When")) == 1


async def test_what_it_was_done_to_is_led_to(api: Api) -> None:
    targets = (
        {"queue": "email", "id": "a&b"},
        {"queue": "email"},
        {"schedule": "hourly"},
        {"webhook": "wh_1"},
        {"flow": "f1"},
        {"key": "abcdefgh"},
    )
    for target in targets:
        await api.client.actions.record(Action(actor=ANN, action="pause", target=target))
    bulk = Action(actor=ANN, action="delete", target={"queue": MARKUP}, outcome="failed", count=7)
    await api.client.actions.record(replace(bulk, detail={"operation": "op1", "error": MARKUP}))
    shown = Seen(await page(api, "/activity"))
    paths = (
        "job?queue=email&id=a%26b",
        "queues/email",
        "schedules/hourly",
        "webhooks/wh_1",
        "flows/f1",
        "keys",
    )
    for path in (*paths, "bulk/op1"):
        assert f"/ui/{path}" in shown.links, path
    assert "failed" in shown.cells("Why")[0]


async def test_what_has_left_redis_is_read_from_the_database(server: RedisServer, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    database = Database(DatabaseTarget.from_url(url))
    await migrations.migrate(database)
    async with answering(server.url, greet, works=False, DATABASE_URL=url) as api:
        action = Action(actor=BOB, action="retry", target={"queue": "email"}, detail={"reason": "long ago"})
        old = [replace(action, position=f"{number}-0") for number in range(1, 4)]
        async with database.write() as connection:
            await actions.insert(connection, actions_key("rota"), old)
        await database.close()
        await api.client.actions.record(replace(action, detail={"reason": "just now"}))
        assert Seen(await page(api, "/activity")).cells("Why") == ["just now", *["long ago"] * 3]
        assert len(Seen(await page(api, "/activity?who=bob")).cells("When")) == 4


async def test_it_takes_two_round_trips_however_many_actions_there_are(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entered(api, "read")
    monkeypatch.setattr("rota.api.access.TRUST", 0.0)
    pipe = api.client.redis.pipeline(transaction=False)
    for _ in range(5000):
        pipe.xadd(actions_key("rota"), Action(actor=BOB, action="retry", target={}).fields())
    await pipe.execute()
    for path in ("/activity", "/activity?who=ann"):
        async with counting(monkeypatch) as trips:
            await page(api, path)
        assert trips.count <= 2, path
