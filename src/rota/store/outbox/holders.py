"""Whatever holds an application's transaction: it is recognized, and a row is inserted through it, by one INSERT.

Nothing is imported that the application does not have: a holder is known by the classes that it is of, and where those
come from. No statement is ever repeated: within a transaction that has failed nothing can succeed.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from rota.errors import OutboxUnusable
from rota.errors.traces import chain
from rota.store.faults import sqlstate_of
from rota.store.outbox.rows import NewRow, dollars, percents, portions, statement

#: What is taken, for people.
TAKEN = (
    "SQLAlchemy's AsyncSession, AsyncConnection, Session or Connection (SQLModel's too), a connection of asyncpg, a "
    "connection or cursor of psycopg 3, or Django's: connections[alias], or the alias itself"
)
_MISSING = (
    "there is no table _outbox where this transaction is: use the database, and the schema, of the workers' "
    "DATABASE_URL, and let `rota migrate` make its tables"
)
_OLD = "the table _outbox is of another version of rota: run `rota migrate`"
_FORBIDDEN = "this user may not write to the outbox: GRANT INSERT ON _outbox TO it"
#: PostgreSQL's codes.
_SENTENCES = {"42P01": _MISSING, "42703": _OLD, "42501": _FORBIDDEN}
_OF_SQLITE = (("no such table", _MISSING), ("has no column", _OLD))

Callback = Callable[[], object]


class Holder(Protocol):
    """A transaction, or its connection. With `is_async`, `insert` returns something to be awaited, and else nothing."""

    is_async: bool

    def insert(self, rows: Sequence[NewRow]) -> Any:
        """Insert rows, in the transaction of the holder. Raises OutboxUnusable, and what the driver raises."""

    def on_commit(self, callback: Callback) -> None:
        """Call this after the commit, once, where the holder can tell; nothing depends on it."""


def holder_of(given: Any) -> Holder:
    """Return what inserts through `given`. Raises TypeError for what no transaction is held by."""
    if isinstance(given, str):
        return _Django(_django_connection(given))
    names = {(cls.__module__.partition(".")[0], cls.__name__) for cls in type(given).__mro__}
    if ("sqlalchemy", "scoped_session") in names or ("sqlalchemy", "async_scoped_session") in names:
        return holder_of(given())
    for kind, classes in _KINDS:
        if names & classes:
            return kind(given)
    raise TypeError(f"{type(given).__name__} holds no transaction that an outbox can write to; give {TAKEN}")


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raise OutboxUnusable, in one sentence, for a table that is not there or may not be used."""
    try:
        yield
    except Exception as error:
        for one in chain(error):
            sentence = _SENTENCES.get(sqlstate_of(one) or getattr(one, "pgcode", None) or "") or _of_sqlite(
                one
            )
            if sentence:
                raise OutboxUnusable(sentence) from error
        raise


def _of_sqlite(error: BaseException) -> str | None:
    if type(error).__module__ != "sqlite3":
        return None
    return next((sentence for words, sentence in _OF_SQLITE if words in str(error)), None)


class _Alchemy:
    """A Session or a Connection of SQLAlchemy."""

    is_async = False

    def __init__(self, given: Any) -> None:
        self._given = given

    def insert(self, rows: Sequence[NewRow]) -> None:
        """Insert rows on the connection of the session's transaction, or on the connection itself."""
        given = self._given
        connection = given.connection() if hasattr(given, "connection") and hasattr(given, "flush") else given
        for one in _alchemy_statements(connection.dialect.name, rows):
            with explained():
                connection.execute(one)

    def on_commit(self, callback: Callback) -> None:
        """Call this after the commit of a session; a connection has no event for that."""
        _after_commit(self._given, callback)


class _AsyncAlchemy:
    """An AsyncSession or an AsyncConnection of SQLAlchemy."""

    is_async = True

    def __init__(self, given: Any) -> None:
        self._given = given

    async def insert(self, rows: Sequence[NewRow]) -> None:
        """Insert rows on the connection of the session's transaction, or on the connection itself."""
        given = self._given
        connection = await given.connection() if hasattr(given, "sync_session") else given
        for one in _alchemy_statements(connection.dialect.name, rows):
            with explained():
                await connection.execute(one)

    def on_commit(self, callback: Callback) -> None:
        """Call this after the commit of a session; a connection has no event for that."""
        _after_commit(getattr(self._given, "sync_session", None), callback)


def _alchemy_statements(dialect: str, rows: Sequence[NewRow]) -> Iterator[Any]:
    from dataclasses import asdict  # noqa: PLC0415 - beside the import that may take long

    from rota.store.schema import outbox  # noqa: PLC0415 - needs SQLAlchemy, which the caller has

    _check_dialect(dialect)
    for portion in portions(rows):
        yield outbox.insert().values([asdict(row) for row in portion])


def _check_dialect(name: str) -> None:
    if name not in ("postgresql", "sqlite"):
        raise TypeError(f"the outbox is in PostgreSQL or SQLite, and this transaction is in {name}")


#: In `info` of a session: what to call after its next commit.
_WAITING = "rota.outbox"


def _after_commit(session: Any, callback: Callback) -> None:
    # A connection has `info` too, and no event for what comes after its commit.
    if not hasattr(session, "flush"):
        return
    if _WAITING not in session.info:
        from sqlalchemy import event  # noqa: PLC0415 - the session is SQLAlchemy's

        if not event.contains(session, "after_commit", _committed):
            event.listen(session, "after_commit", _committed)
    session.info[_WAITING] = callback


def _committed(session: Any) -> None:
    # The end of a savepoint is told as well.
    if not session.in_nested_transaction() and _WAITING in session.info:
        session.info.pop(_WAITING)()


class _Asyncpg:
    """A connection of asyncpg, which may be one of a pool."""

    is_async = True

    def __init__(self, given: Any) -> None:
        self._given = given

    async def insert(self, rows: Sequence[NewRow]) -> None:
        """Insert rows on the connection, within its transaction if it has one."""
        for portion in portions(rows):
            sql, values = statement(portion, dollars)
            with explained():
                await self._given.execute(sql, *values)

    def on_commit(self, callback: Callback) -> None:
        """Do nothing: a connection has no event for a commit."""


class _Psycopg:
    """A connection of psycopg 3, or a cursor of one."""

    is_async = False

    def __init__(self, given: Any) -> None:
        # A cursor of our own: the caller's may have another way to write parameters, and results to be fetched.
        self._connection = given.connection if hasattr(given, "fetchone") else given

    def insert(self, rows: Sequence[NewRow]) -> None:
        """Insert rows on the connection, within its transaction."""
        with sys.modules["psycopg"].Cursor(self._connection) as cursor:
            for portion in portions(rows):
                with explained():
                    cursor.execute(*statement(portion, percents), prepare=False)

    def on_commit(self, callback: Callback) -> None:
        """Do nothing: a connection has no event for a commit."""


class _AsyncPsycopg(_Psycopg):
    """An asynchronous connection of psycopg 3, or a cursor of one."""

    is_async = True

    async def insert(self, rows: Sequence[NewRow]) -> None:  # type: ignore[override]
        """Insert rows on the connection, within its transaction."""
        async with sys.modules["psycopg"].AsyncCursor(self._connection) as cursor:
            for portion in portions(rows):
                with explained():
                    await cursor.execute(*statement(portion, percents), prepare=False)


class _Django:
    """A connection of Django's."""

    is_async = False

    def __init__(self, given: Any) -> None:
        self._given = given

    def insert(self, rows: Sequence[NewRow]) -> None:
        """Insert rows by a cursor of the connection, within its transaction if it has one."""
        _check_dialect(self._given.vendor)
        with self._given.cursor() as cursor:
            for portion in portions(rows):
                with explained():
                    cursor.execute(*statement(portion, percents))

    def on_commit(self, callback: Callback) -> None:
        """Call this after the outermost block is committed, and at once outside of any block."""
        if self._given.in_atomic_block or self._given.get_autocommit():
            self._given.on_commit(callback)


def _django_connection(alias: str) -> Any:
    if "django" not in sys.modules:
        raise TypeError(
            f"{alias!r} is the alias of a database of Django's, which is not in use here; give {TAKEN}"
        )
    from django.db import connections  # noqa: PLC0415 - only where Django is in use

    return connections[alias]


_Kind = Callable[[Any], Holder]
_KINDS: tuple[tuple[_Kind, set[tuple[str, str]]], ...] = (
    (_AsyncAlchemy, {("sqlalchemy", "AsyncSession"), ("sqlalchemy", "AsyncConnection")}),
    (_Alchemy, {("sqlalchemy", "Session"), ("sqlalchemy", "Connection")}),
    (_Asyncpg, {("asyncpg", "Connection"), ("asyncpg", "PoolConnectionProxy")}),
    (_AsyncPsycopg, {("psycopg", "AsyncConnection"), ("psycopg", "AsyncCursor")}),
    (_Psycopg, {("psycopg", "Connection"), ("psycopg", "Cursor")}),
    (_Django, {("django", "BaseDatabaseWrapper"), ("django", "ConnectionProxy")}),
)
