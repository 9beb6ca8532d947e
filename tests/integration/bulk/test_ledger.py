"""The table of actions: everything is in it once, whatever becomes of its writer, and the API reads on in it."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from arq.connections import ArqRedis
from sqlalchemy import func, select

from rota import Client
from rota.model.access.keys import make, scopes_of
from rota.model.bulk.actions import Action, Actor
from rota.services.bulk import ledger
from rota.services.bulk.ledger import Ledger
from rota.services.leadership import LeadershipLost
from rota.settings.database_url import DatabaseTarget
from rota.store.actions import page
from rota.store.engine import Database
from rota.store.migrations import migrate
from rota.store.retention import sweep
from rota.store.schema import actions
from rota.wire.access import AccessRecords
from tests.integration.api.serving import answering
from tests.integration.bulk.operating import send
from tests.servers import RedisServer
from tests.workers import Term


@pytest.fixture
def client(redis: ArqRedis) -> Client:
    return Client(redis)


async def act(client: Client, *counts: int, tenant: str | None = None, **about: Any) -> None:
    actor = Actor("api", "01234567", "Ann\0\udcff")
    for count in counts:
        await client.actions.record(
            Action(actor=actor, action="retry", target={"queue": "mail"}, count=count, tenant=tenant, **about)
        )


async def written(database: Database, **wanted: Any) -> list[int]:
    asked = {"before": None, "tenant": None, "limit": 100, **wanted}
    async with database.read() as connection:
        return [one.count for one in await page(connection, "rota:actions", **asked)]


def ledger_of(database: Database, term: Any = None) -> Ledger:
    return Ledger(lambda: None, lambda: database, "rota", cast(Any, term or Term(epoch=5)))


async def test_what_was_done_is_written_once_in_its_order(client: Client, database: Database) -> None:
    await act(client, 1, 2)
    await act(client, 3, tenant="acme", detail={"why": "a\ud800b"})
    assert await ledger_of(database).write(client.redis, database) == 3
    assert await ledger_of(database).write(client.redis, database) == 0
    await act(client, 4)
    assert await ledger_of(database).write(client.redis, database) == 1

    assert await written(database) == [4, 3, 2, 1]
    assert await written(database, tenant="acme") == [3]
    last, *_ = await client.actions.page()
    assert await written(database, before=last.position, limit=2) == [3, 2]
    async with database.read() as connection:
        _, third, *_ = await page(connection, "rota:actions", before=None, tenant=None, limit=2)
    assert (third.actor.id, third.target, third.detail) == (
        "01234567",
        {"queue": "mail"},
        {"why": "a\ud800b"},
    )
    assert third.position == (await client.actions.page())[1].position


async def test_a_leader_that_stood_still_writes_nothing(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await act(client, 1)
    await ledger_of(database).write(client.redis, database)
    await act(client, 2)

    class Over(Term):
        """A term that is over."""

        def check(self) -> None:
            raise LeadershipLost(1)

    with pytest.raises(LeadershipLost):
        await ledger_of(database, Over()).write(client.redis, database)
    assert await ledger_of(database, Term(epoch=4)).write(client.redis, database) == 0, "a former epoch"
    assert await written(database) == [1]


async def test_actions_that_are_gone_are_told(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger, "PORTION", 2)
    await act(client, 1, 2, 3)
    assert [await ledger_of(database).write(client.redis, database) for _ in range(3)] == [2, 1, 0]
    await client.redis.delete("rota:actions")
    assert await ledger_of(database).write(client.redis, database) == 0
    with caplog.at_level(logging.WARNING):
        await client.redis.xadd("rota:actions", {"action": "retry", "count": "9"}, id="5-1")
        assert await ledger_of(database).write(client.redis, database) == 1
    assert [one.message for one in caplog.records] == ["actions.lost"]
    assert await written(database) == [3, 2, 1, 9]


async def test_old_actions_go_with_old_jobs(client: Client, database: Database) -> None:
    await act(client, 1)
    old = datetime.now(UTC) - timedelta(days=91)
    await client.redis.xadd("rota:actions", {"count": "2"}, id="1800000000000000-0")
    await ledger_of(database).write(client.redis, database)
    async with database.write() as connection:
        await connection.execute(actions.update().where(actions.c.count == 1).values(at=old))
    await sweep(database, 90 * 86_400.0)
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(actions)) == 1


async def test_the_list_of_the_api_goes_on_in_the_table(
    server: RedisServer, client: Client, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    database = Database(DatabaseTarget.from_url(url))
    await migrate(database)
    await act(client, 1, 2, tenant="acme")
    await act(client, 3, 4)
    await ledger_of(database).write(client.redis, database)
    await client.redis.xtrim("rota:actions", maxlen=1, approximate=False)
    await act(client, 5)
    text, key = make(scopes_of(["read"]), tenant="acme")
    await AccessRecords(client.redis, "rota").put({key.id: key.write()})
    other, admin = make(scopes_of(["read"]))
    await AccessRecords(client.redis, "rota").put({admin.id: admin.write()})
    async with answering(server.url, send, works=False, DATABASE_URL=url) as api:
        http = api.http
        header = {"Authorization": f"Bearer {other}"}
        first = (await http.get("/activity?limit=3", headers=header)).json()
        assert [one["count"] for one in first["items"]] == [5, 4, 3]
        rest = (
            await http.get("/activity", params={"limit": 3, "cursor": first["next"]}, headers=header)
        ).json()
        assert ([one["count"] for one in rest["items"]], rest["next"]) == ([2, 1], None)
        own = (await http.get("/activity", headers={"Authorization": f"Bearer {text}"})).json()
        assert [one["count"] for one in own["items"]] == [2, 1]
    await database.close()
