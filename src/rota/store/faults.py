"""Turns what the database and its drivers raise into one sentence: what is wrong, and what to change.

The sentences never repeat the database's own words, which may quote a row. Nothing here needs the extra `database`, so
that the command line knows these errors without it.
"""

import re
import socket
import ssl

from rota.errors import RotaError
from rota.errors.traces import chain
from rota.settings.database_url import DatabaseTarget

_PLACE = "start it, or correct DATABASE_URL"
_LOGIN = "correct the user and password in DATABASE_URL"
_RIGHTS = "grant it, or let the owner of the database run `rota migrate`"
_MIGRATE = "run `rota migrate`, or set DATABASE_MIGRATE=auto"

#: PostgreSQL's codes (SQLSTATE) by their beginning, the first match first: sentence, and whether it may pass by itself.
_CODES: tuple[tuple[str, str, bool], ...] = (
    ("28", f"refuses this user or password: {_LOGIN}", False),
    ("3D000", "has no database of that name: create it, or correct DATABASE_URL", False),
    ("42501", f"refuses this user a right that rota needs: {_RIGHTS}", False),
    ("3F000", "has no schema in which rota may make its tables: create it, or correct search_path", False),
    ("42P01", f"has no tables of rota's: {_MIGRATE}", False),
    ("42703", f"has tables of an older rota: {_MIGRATE}", False),
    ("25006", "takes no writes, as a standby does: wait for the failover, or name the primary", True),
    ("25P03", "cut off a transaction in which this process stood still: it is tried again", True),
    ("53100", "has no room left on its disk: make some", True),
    ("53300", "has no room for another connection: raise its max_connections", True),
    ("53", "has too little memory or room: look at its log", True),
    ("57014", "stopped a statement that took too long: look at its load and its statement_timeout", True),
    ("57P03", "is starting or stopping: wait for it", True),
    ("57", "was stopped: start it", True),
    ("55P03", "kept a lock for too long: look at what else uses rota's tables", True),
    ("40", "undid a transaction that met another: it is tried again", True),
    ("08", f"broke the connection: {_PLACE}", True),
    ("58", "cannot read or write its files: look at its log", True),
    ("XX", "met a fault of its own: look at its log", True),
)
#: The codes of a row that PostgreSQL does not take, whatever its state: a value, a constraint, a size.
_OF_A_ROW = ("22", "23", "54")

#: The beginnings of SQLite's own names of its faults.
_SQLITE: tuple[tuple[str, str, bool], ...] = (
    ("SQLITE_BUSY", "is held by another process: it is tried again", True),
    ("SQLITE_LOCKED", "is held by another process: it is tried again", True),
    ("SQLITE_FULL", "has no room left on its disk: make some", True),
    ("SQLITE_READONLY", "cannot be written: change its permissions, and those of its folder", False),
    ("SQLITE_PERM", "cannot be written: change its permissions, and those of its folder", False),
    ("SQLITE_CANTOPEN", "cannot be opened: correct DATABASE_URL, and see that its folder is there", False),
    ("SQLITE_NOTADB", "is no database of SQLite: correct DATABASE_URL", False),
    ("SQLITE_CORRUPT", "is damaged: move it away, and rota makes another", False),
    ("SQLITE_IOERR", "cannot be read or written: look at its disk", True),
)
_NO_TABLE = re.compile(r"no such table")
_NO_COLUMN = re.compile(r"no such column|has no column")


class StoreError(RotaError):
    """Raised for a database that cannot be used: change what the sentence names.

    `transient` says that the fault may pass by itself, as a restart does. Services wait and go on in either case.
    """

    def __init__(self, sentence: str, transient: bool = False) -> None:
        super().__init__(sentence, transient)
        self.transient = transient

    def __str__(self) -> str:
        return str(self.args[0])


class Fenced(RotaError):
    """Raised where another recorder has written since this one read: give up the leadership, and read again."""

    def __init__(self, stream: str, position: str) -> None:
        super().__init__(stream, position)
        self.stream = stream
        self.position = position

    def __str__(self) -> str:
        return f"another recorder has moved {self.stream} on from {self.position}; this one has to read again"


class SchemaBehind(StoreError):
    """Raised where the tables are of an older rota, or not there, and rota is not to change them."""


def explain(error: BaseException, target: DatabaseTarget) -> StoreError | None:
    """Return the sentence for `error`, met with the database `target`; None if the fault is not the database's."""
    for one in chain(error):
        if isinstance(one, StoreError):
            return one
        for look in (_by_code, _sqlite, _tls, _network):
            found = look(one)
            if found:
                sentence, transient = found
                return StoreError(f"{target} {sentence}", transient)
    return None


def is_of_a_row(error: BaseException) -> bool:
    """Tell whether a statement failed for a value in it, so that the same statement without that row can succeed."""
    for one in chain(error):
        code = sqlstate_of(one)
        if code:
            return code.startswith(_OF_A_ROW)
        if _of_sqlite(one) in ("IntegrityError", "DataError"):
            return True
    # A driver, or SQLAlchemy before it, could not make a parameter of a value.
    is_of_statement = hasattr(error, "statement")
    return is_of_statement and any(_is_of_a_value(one) for one in chain(error))


def _is_of_a_value(error: BaseException) -> bool:
    if _of_sqlite(error):
        # Of a value of a type that it does not know sqlite3 says so in one class with wrong calls.
        return "binding parameter" in str(error) or "type" in str(error)
    return isinstance(error, ValueError | TypeError | ArithmeticError) or type(error).__name__ == "DataError"


def kind_of(error: BaseException) -> str:
    """Return the class and the code of a fault, and none of its words: these may quote a row."""
    *_, first = chain(error)
    code = next(filter(None, map(sqlstate_of, chain(error))), None)
    return f"{type(first).__name__} ({code})" if code else type(first).__name__


def sqlstate_of(error: BaseException) -> str | None:
    """Return PostgreSQL's code of a fault, whichever driver raised it; None for a fault without one."""
    code = getattr(error, "sqlstate", None)
    return code if isinstance(code, str) else None


def _by_code(error: BaseException) -> tuple[str, bool] | None:
    code = sqlstate_of(error)
    if code is None:
        return None
    for beginning, sentence, transient in _CODES:
        if code.startswith(beginning):
            return sentence, transient
    return f"refuses a statement (SQLSTATE {code[:5]}): look at its log", False


def _of_sqlite(error: BaseException) -> str | None:
    """Return the name of an error of sqlite3, a module that some builds of Python do not have."""
    return type(error).__name__ if type(error).__module__ == "sqlite3" else None


def _sqlite(error: BaseException) -> tuple[str, bool] | None:
    if not _of_sqlite(error):
        return None
    name = getattr(error, "sqlite_errorname", "")
    for beginning, sentence, transient in _SQLITE:
        if name.startswith(beginning):
            return sentence, transient
    if _NO_TABLE.search(str(error)):
        return f"has no tables of rota's: {_MIGRATE}", False
    if _NO_COLUMN.search(str(error)):
        return f"has tables of an older rota: {_MIGRATE}", False
    return f"refuses a statement ({name or type(error).__name__})", False


def _tls(error: BaseException) -> tuple[str, bool] | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"shows a certificate that cannot be trusted ({error.verify_message})"
        return f"{why}: give sslrootcert, and use the host name that it carries", False
    if isinstance(error, ssl.SSLError):
        return f"breaks off TLS ({error.reason}): correct sslmode and the certificates in DATABASE_URL", False
    # asyncpg says so in a plain ConnectionError.
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return "speaks no TLS: write sslmode=prefer in DATABASE_URL, or switch its TLS on", False
    return None


#: Faults of the network, the first match first.
_NETWORK: tuple[tuple[type[OSError] | tuple[type[OSError], ...], str, bool], ...] = (
    (socket.gaierror, f"has a host name that nobody knows: {_PLACE}", True),
    ((ConnectionRefusedError, FileNotFoundError), f"is not listening: {_PLACE}", True),
    (PermissionError, "may not be opened by this user: change the permissions of the socket", False),
    (TimeoutError, f"does not answer in time: {_PLACE}", True),
)
#: What asyncpg raises of itself, without a code, when a connection ends.
_BROKEN = (
    *("ConnectionDoesNotExistError", "InterfaceError", "InternalClientError"),
    "TargetServerAttributeNotMatched",
)


def _network(error: BaseException) -> tuple[str, bool] | None:
    for kinds, sentence, transient in _NETWORK:
        if isinstance(error, kinds):
            return sentence, transient
    if isinstance(error, OSError):
        return f"cannot be reached ({error.strerror or type(error).__name__}): {_PLACE}", True
    if type(error).__module__.startswith("asyncpg") and type(error).__name__ in _BROKEN:
        return f"broke the connection: {_PLACE}", True
    return None
