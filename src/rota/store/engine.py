"""The connections to the database: SQLAlchemy's engine over asyncpg or aiosqlite, made from DATABASE_URL."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rota.errors import RotaError
from rota.errors.secrets import SECRETS
from rota.settings.database_url import DatabaseTarget, DatabaseTls
from rota.store.faults import explain

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

#: Seconds that a statement may take; then the connection counts as broken. Migrations take what they need.
PATIENCE = 30.0
#: Seconds for which a writer of SQLite waits for another one.
_BUSY = 10.0
#: The option of a connection that only reads: with SQLite it does not wait for the one that writes.
_READS = "rota_reads"


class MissingExtra(RotaError):
    """Raised where DATABASE_URL is set and the packages for the database are not installed."""

    def __init__(self, package: str | None) -> None:
        super().__init__(package)
        self.package = package

    def __str__(self) -> str:
        return f"DATABASE_URL is set, which needs {self.package}; install rota[database]"


class Database:
    """One database, and the connections of this process to it.

    :param patience: seconds that a statement may take; None: any time.
    :param most: connections at once.
    """

    def __init__(self, target: DatabaseTarget, *, patience: float | None = PATIENCE, most: int = 5) -> None:
        self.target = target
        self.engine = open_engine(target, patience=patience, most=most)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator["AsyncConnection"]:
        """Yield a connection in a transaction, committed at the end. Raises StoreError for a fault of the database."""
        with self._explained():
            async with self.engine.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator["AsyncConnection"]:
        """Yield a connection that only reads, one state of the data. Raises StoreError for a fault of the database."""
        with self._explained():
            async with self.engine.connect() as connection:
                await connection.execution_options(**{_READS: True})
                yield connection

    async def close(self) -> None:
        """Close all connections of this process to the database, also where the one that closes them is cancelled."""
        closing = asyncio.ensure_future(self.engine.dispose())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            # Cut short, each connection would be a traceback in the log.
            await closing
            raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except RotaError:
            raise
        except Exception as error:
            fault = explain(error, self.target)
            if fault is None:
                raise
            raise fault from error


def open_engine(target: DatabaseTarget, *, patience: float | None = PATIENCE, most: int = 5) -> "AsyncEngine":
    """Return an engine for `target`, which connects when it is used first. Raises MissingExtra."""
    need_extra(target)
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - an extra

    if target.is_sqlite:
        return _sqlite_engine(target)
    return create_async_engine(
        "postgresql+asyncpg://",
        connect_args=asyncpg_arguments(target, patience),
        # A connection is tried before it is used: after a restart of the server the first job would find it dead.
        pool_pre_ping=True,
        pool_size=most,
        max_overflow=0,
        hide_parameters=True,
    )


def need_extra(target: DatabaseTarget) -> None:
    """Raise MissingExtra unless the packages for `target` are installed; before what imports them."""
    for package in ("sqlalchemy", "greenlet", "aiosqlite" if target.is_sqlite else "asyncpg"):
        if find_spec(package) is None:
            raise MissingExtra(package)


def asyncpg_arguments(target: DatabaseTarget, patience: float | None) -> dict[str, Any]:
    """Return the arguments of `asyncpg.connect`; what `target` leaves open is asyncpg's default, which is libpq's."""
    given = {
        "host": [host for host, _ in target.hosts] or None,
        "port": [port for _, port in target.hosts] or None,
        "user": target.username,
        "password": _renewing(target) if target.renewed else target.password,
        "database": target.name,
        "ssl": _tls(target.tls) if target.tls else None,
    }
    arguments: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    arguments |= {
        "timeout": target.connect_timeout,
        "command_timeout": patience,
        "target_session_attrs": target.roles,
        "server_settings": {"application_name": "rota", **(target.session or {})},
    }
    if target.pgbouncer:
        # The next transaction may be on another connection of PostgreSQL's, where no statement of ours is prepared, or
        # another client's of the same name. The one without a name is prepared within each transaction.
        arguments |= {
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": str,
        }
    return arguments


def _renewing(target: DatabaseTarget) -> Callable[[], str | None]:
    """Return what reads the password for each new connection, or has the first one where its file cannot be read."""

    def password() -> str | None:
        try:
            now = target.renewed() if target.renewed else None
        except (OSError, ValueError):
            return target.password
        SECRETS.keep(now)
        return now

    return password


def _tls(tls: DatabaseTls) -> ssl.SSLContext | str | bool:
    """Return asyncpg's `ssl`. asyncpg's own reading of these modes looks into the home folder, which may be closed."""
    if tls.mode in ("disable", "allow", "prefer"):
        return False if tls.mode == "disable" else tls.mode
    context = ssl.create_default_context(cafile=tls.rootcert)
    context.check_hostname = tls.mode == "verify-full"
    # With an authority's certificate libpq checks against it also where the mode is `require`.
    if tls.mode == "require" and tls.rootcert is None:
        context.verify_mode = ssl.CERT_NONE
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key)
    return context


def _sqlite_engine(target: DatabaseTarget) -> "AsyncEngine":
    from sqlalchemy import URL, event  # noqa: PLC0415 - an extra
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=target.path),
        connect_args={"timeout": _BUSY, "isolation_level": None},
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    try:
        # Readers and the one that writes do not wait for each other; a crash of the machine may cost the last moments.
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
    except Exception:
        # Here SQLAlchemy does not do so, and the connection's thread would stay.
        connection.close()
        raise
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    # A transaction that reads first and writes then would fail at once, if another one has written between.
    reads = connection.get_execution_options().get(_READS)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
