"""Holders of transactions are recognized without what they come from, and rows are inserted by one statement."""

import sys
from typing import Any

import pytest

from rota import Client, job
from rota.store.outbox.holders import holder_of
from rota.store.outbox.rows import COLUMNS, MOST, NewRow, dollars, percents, portions, statement


def row(number: int = 0) -> NewRow:
    texts = dict.fromkeys(("id", "namespace", "queue", "name", "terms", "unique_key", "on_taken"), "t")
    return NewRow(key=str(number), payload=b"p", due_ms=None, delay_ms=0, tenant=None, **texts)


def made(module: str, name: str, **attributes: Any) -> Any:
    """Return an object of a class as a library has it, within a class of an application."""
    library = type(name, (), {"__module__": module, **attributes})
    return type("Ours", (library,), {"__module__": "shop.database"})()


@pytest.mark.parametrize(
    ("module", "name", "is_async"),
    [
        ("sqlalchemy.ext.asyncio.session", "AsyncSession", True),
        ("sqlalchemy.ext.asyncio.engine", "AsyncConnection", True),
        ("sqlalchemy.orm.session", "Session", False),
        ("sqlalchemy.engine.base", "Connection", False),
        ("asyncpg.connection", "Connection", True),
        ("asyncpg.pool", "PoolConnectionProxy", True),
        ("psycopg", "Connection", False),
        ("psycopg", "Cursor", False),
        ("psycopg", "AsyncConnection", True),
        ("psycopg", "AsyncCursor", True),
        ("django.db.backends.base.base", "BaseDatabaseWrapper", False),
        ("django.utils.connection", "ConnectionProxy", False),
    ],
)
def test_a_holder_is_known_by_its_classes(module: str, name: str, is_async: bool) -> None:
    assert holder_of(made(module, name)).is_async is is_async


@pytest.mark.parametrize(
    ("module", "kind", "registry"),
    [
        ("sqlalchemy.orm", "Session", "scoped_session"),
        ("sqlalchemy.ext.asyncio", "AsyncSession", "async_scoped_session"),
    ],
)
def test_a_registry_of_sessions_stands_for_the_session_of_here(module: str, kind: str, registry: str) -> None:
    session = made(f"{module}.session", kind)
    of_here = made(f"{module}.scoping", registry, __call__=lambda _: session)
    assert vars(holder_of(of_here)) == {"_given": session}


@pytest.mark.parametrize(
    "given", [None, 7, object(), made("sqlalchemy.engine.base", "Engine"), made("asyncpg.pool", "Pool")]
)
def test_anything_else_is_refused_with_what_is_taken(given: Any) -> None:
    with pytest.raises(TypeError, match="holds no transaction .* SQLAlchemy.*asyncpg.*psycopg 3.*Django"):  # noqa: RUF043
        holder_of(given)


def test_an_alias_needs_django(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "modules", {name: it for name, it in sys.modules.items() if name != "django"})
    with pytest.raises(
        TypeError, match="'default' is the alias of a database of Django's, which is not in use"
    ):
        holder_of("default")


def test_a_database_of_another_kind_is_refused() -> None:
    mysql = made("django.db.backends.base.base", "BaseDatabaseWrapper", vendor="mysql")
    with pytest.raises(TypeError, match="in PostgreSQL or SQLite, and this transaction is in mysql"):
        holder_of(mysql).insert([row()])


def test_rows_are_one_statement() -> None:
    sql, values = statement([row(1), row(2)], dollars)
    width = len(COLUMNS)
    assert sql.startswith("INSERT INTO _outbox (key, id, ")
    assert sql.count("INSERT") == 1
    assert sql.endswith(f"${2 * width})")
    assert (values[0], values[width], len(values)) == ("1", "2", 2 * width)
    assert statement([row()], percents)[0].count("%s") == width
    assert [len(one) for one in portions([row()] * (MOST + 1))] == [MOST, 1]


@job
async def count(run: Any, number: int) -> None: ...


async def test_a_holder_that_has_to_be_awaited_is_not_for_code_without_an_event_loop() -> None:
    from rota.client.sync import SyncClient
    from rota.settings.settings import Settings

    bridge: Any = None
    client = SyncClient(bridge, Settings)
    with pytest.raises(TypeError, match=r"Ours has to be awaited; use the client of `await rota.connect"):
        client.outbox(made("asyncpg.connection", "Connection"))


async def test_senders_see_a_job_that_goes_into_an_outbox() -> None:
    seen: list[str] = []

    class Sender:
        def __call__(self, jobs: Any) -> Any:
            from contextlib import nullcontext

            for one in jobs:
                one.headers["x"] = "7"
                seen.append(one.id)
            return nullcontext()

    async def execute(_: Any, sql: str, *values: Any) -> None:
        inserted.extend(values)

    inserted: list[Any] = []
    connection = made("asyncpg.connection", "Connection", execute=execute)
    client = Client(None, senders=[Sender()])
    handle = await client.outbox(connection).enqueue(count, 1)
    assert seen == [handle.id]
    assert b'"h":{"x":"7"}' in inserted[COLUMNS.index("payload")]
    assert handle.id in inserted
