"""Whatever holds a transaction: each way to enqueue a job in one, and to commit it or to roll it back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from rota import Client, SyncClient
from rota.settings.database_url import DatabaseTarget
from rota.store.engine import asyncpg_arguments

#: Enqueues `call` in a transaction on the database at a URL, and commits it if that is asked for.
Way = Callable[["Clients", str, Any, bool], Awaitable[None]]


class Clients:
    """A client of each kind."""

    def __init__(self, client: Client, sync_client: SyncClient) -> None:
        self.client = client
        self.sync_client = sync_client

    async def put(self, holder: Any, call: Any) -> None:
        """Enqueue a call through a holder, on an event loop."""
        await self.client.outbox(holder).enqueue_many([call])

    def put_sync(self, holder: Any, call: Any) -> None:
        """Enqueue a call, where no event loop runs."""
        self.sync_client.outbox(holder).enqueue_many([call])


def _engine(url: str) -> Any:
    import psycopg
    from sqlalchemy import create_engine

    if url.startswith("sqlite"):
        return create_engine(url)
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))


async def async_session(clients: Clients, url: str, call: Any, commit: bool) -> None:
    """Use an AsyncSession of SQLAlchemy."""
    from sqlalchemy.ext.asyncio import AsyncSession

    from rota.store.engine import open_engine

    engine = open_engine(DatabaseTarget.from_url(url))
    async with AsyncSession(engine) as session:
        await clients.put(session, call)
        await (session.commit() if commit else session.rollback())
    await engine.dispose()


async def async_connection(clients: Clients, url: str, call: Any, commit: bool) -> None:
    """Use an AsyncConnection of SQLAlchemy."""
    from rota.store.engine import open_engine

    engine = open_engine(DatabaseTarget.from_url(url))
    async with engine.connect() as connection:
        await clients.put(connection, call)
        await (connection.commit() if commit else connection.rollback())
    await engine.dispose()


def session(clients: Clients, url: str, call: Any, commit: bool) -> None:
    """Use a Session of SQLAlchemy, which blocks."""
    from sqlalchemy.orm import Session

    engine = _engine(url)
    with Session(engine) as session:
        clients.put_sync(session, call)
        (session.commit if commit else session.rollback)()
    engine.dispose()


def scoped_session(clients: Clients, url: str, call: Any, commit: bool) -> None:
    """Use SQLAlchemy's registry of a session for each thread, as Flask-SQLAlchemy has it."""
    from sqlalchemy.orm import scoped_session, sessionmaker

    engine = _engine(url)
    session = scoped_session(sessionmaker(engine))
    clients.put_sync(session, call)
    (session.commit if commit else session.rollback)()
    session.remove()
    engine.dispose()


def connection(clients: Clients, url: str, call: Any, commit: bool) -> None:
    """Use a Connection of SQLAlchemy, which blocks."""
    engine = _engine(url)
    with engine.connect() as connection:
        clients.put_sync(connection, call)
        (connection.commit if commit else connection.rollback)()
    engine.dispose()


async def of_asyncpg(clients: Clients, url: str, call: Any, commit: bool) -> None:
    """Use a connection of asyncpg that stands alone."""
    import asyncpg

    connection = await asyncpg.connect(**asyncpg_arguments(DatabaseTarget.from_url(url), 30))
    transaction = connection.transaction()
    await transaction.start()
    await clients.put(connection, call)
    await (transaction.commit() if commit else transaction.rollback())
    await connection.close()


async def of_asyncpg_pool(clients: Clients, url: str, call: Any, commit: bool) -> None:
    """Use a connection of a pool of asyncpg's."""
    import asyncpg

    arguments = asyncpg_arguments(DatabaseTarget.from_url(url), 30)
    async with asyncpg.create_pool(min_size=1, **arguments) as pool, pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await clients.put(connection, call)
        await (transaction.commit() if commit else transaction.rollback())


def of_psycopg(clients: Clients, url: str, call: Any, commit: bool) -> None:
    """Use a connection of psycopg, which blocks."""
    import psycopg

    with psycopg.connect(url) as connection:
        clients.put_sync(connection, call)
        (connection.commit if commit else connection.rollback)()


def cursor_of_psycopg(clients: Clients, url: str, call: Any, commit: bool) -> None:
    """Use a cursor of psycopg that writes parameters in another way, with rows that are still to be fetched."""
    import psycopg

    with psycopg.connect(url, cursor_factory=psycopg.RawCursor) as connection:
        cursor = connection.execute("SELECT $1::int", (7,))
        clients.put_sync(cursor, call)
        assert cursor.fetchone() == (7,)
        (connection.commit if commit else connection.rollback)()


async def async_psycopg(clients: Clients, url: str, call: Any, commit: bool) -> None:
    """Use a cursor of an asynchronous connection of psycopg."""
    import psycopg

    async with await psycopg.AsyncConnection.connect(url) as connection, connection.cursor() as cursor:
        await clients.put(cursor, call)
        await (connection.commit() if commit else connection.rollback())


def of_django(clients: Clients, url: str, call: Any, commit: bool) -> None:
    """Use a connection of Django's, and the alias of a database within a nested block."""
    from django.db import connections, transaction

    alias = django_alias(url)
    try:
        with transaction.atomic(using=alias):
            clients.put_sync(alias if commit else connections[alias], call)
            transaction.set_rollback(not commit, using=alias)
    finally:
        connections[alias].close()


def django_alias(url: str) -> str:
    """Tell Django of a database, and return its alias."""
    import django
    from django.conf import settings
    from django.db import connections

    if not settings.configured:
        settings.configure(DATABASES={})
        django.setup()
    target = DatabaseTarget.from_url(url)
    if target.is_sqlite:
        of_django: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": target.path}
    else:
        ((host, port),) = target.hosts
        options = dict(target.session or {})
        of_django = {"ENGINE": "django.db.backends.postgresql", "NAME": target.name, "USER": target.username}
        of_django |= {"HOST": host, "PORT": port, "OPTIONS": options}
    alias = "shop"
    connections.settings[alias] = connections.configure_settings({"default": {}, alias: of_django})[alias]
    if hasattr(connections._connections, alias):
        del connections[alias]
    return alias


def _in_a_thread(blocking: Callable[..., None]) -> Way:
    async def way(clients: Clients, url: str, call: Any, commit: bool) -> None:
        await asyncio.to_thread(blocking, clients, url, call, commit)

    return way


#: All of them, for both databases.
WAYS: dict[str, Way] = {
    "AsyncSession": async_session,
    "AsyncConnection": async_connection,
    "Session": _in_a_thread(session),
    "scoped_session": _in_a_thread(scoped_session),
    "Connection": _in_a_thread(connection),
    "Django": _in_a_thread(of_django),
}
#: Those of PostgreSQL alone.
WAYS_OF_POSTGRESQL: dict[str, Way] = {
    "asyncpg": of_asyncpg,
    "asyncpg-pool": of_asyncpg_pool,
    "psycopg": _in_a_thread(of_psycopg),
    "psycopg-cursor": _in_a_thread(cursor_of_psycopg),
    "psycopg-async": async_psycopg,
}
