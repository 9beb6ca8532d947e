"""The address of the database for finished jobs: one frozen value, from a URL, that shows no password.

Errors never quote the URL: whatever is wrong with it, any piece of it may be the password.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args
from urllib.parse import unquote

from rota.errors import RotaError
from rota.errors.secrets import SECRETS, login_of
from rota.server.target import Address, addresses
from rota.server.tls import InvalidTarget

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

POSTGRES_PORT = 5432
#: A PostgreSQL URL may name a driver behind a `+`; the driver is asyncpg, whatever is written there.
_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+[a-z0-9_]+)?")
_SQLITE = re.compile(r"sqlite(?:\+[a-z0-9_]+)?")
_SESSION = ("application_name", "options")
_LOGIN = ("host", "port", "user", "password", "dbname")
_TLS = ("sslmode", "ssl", "sslrootcert", "sslcert", "sslkey", "channel_binding")
_OPTIONS = (*_TLS, *_LOGIN, *_SESSION, "connect_timeout", "target_session_attrs", "pgbouncer")
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True}
_BOOLEANS |= {"false": False, "0": False, "no": False, "off": False}
_ROLES = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")
_WRITE = "postgresql://user:password@host:5432/name, or sqlite:///path"


class InvalidDatabase(RotaError, ValueError):
    """Raised for a DATABASE_URL that names no database; the sentence says how to write it."""


@dataclass(frozen=True, slots=True)
class DatabaseTls:
    """How PostgreSQL's certificate is checked, in libpq's words, and the PEM files of both sides."""

    mode: SslMode
    rootcert: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseTarget:
    """One database: the SQLite file at `path`, or the database `name` of the PostgreSQL at `hosts`.

    Without `hosts` it is this machine's PostgreSQL. A host that begins with a `/` is the folder of a unix socket.
    `tls` None leaves the choice to the server. `roles` is libpq's target_session_attrs. `renewed` reads the password
    again, where a file holds it.
    """

    path: str | None = None
    hosts: tuple[Address, ...] = ()
    name: str | None = None
    username: str | None = None
    password: str | None = None
    tls: DatabaseTls | None = None
    session: Mapping[str, str] | None = None
    connect_timeout: float = 10.0
    roles: str = "any"
    pgbouncer: bool = False
    renewed: Callable[[], str | None] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        SECRETS.keep(self.password)

    @classmethod
    def from_url(cls, url: str) -> "DatabaseTarget":
        """Return the database that `url` names. Raises InvalidDatabase.

        postgresql://[user:password@]host[:port][,host…]/name with libpq's options after a `?`, or sqlite:///path.
        """
        scheme, separator, rest = url.partition("://")
        if separator and _SQLITE.fullmatch(scheme):
            return cls(path=_file(rest))
        if not separator or not _POSTGRES.fullmatch(scheme):
            raise InvalidDatabase(
                f"it starts neither with postgresql:// nor with sqlite://; write {_WRITE}, and if it is another "
                "program's, ROTA_DATABASE_URL=off or an address of ours"
            )
        SECRETS.keep(*login_of(url))
        authority, path, options = _split(rest)
        userinfo, _, hosts = authority.rpartition("@")
        username, colon, password = userinfo.partition(":")
        return cls(
            hosts=_hosts(hosts, options),
            name=_once("database", _decoded(path), options.get("dbname")),
            username=_once("user", _decoded(username), options.get("user")),
            password=_once("password", _decoded(password) if colon else None, options.get("password")),
            tls=_tls(options),
            session={name: options[name] for name in _SESSION if name in options},
            connect_timeout=_seconds(options.get("connect_timeout")),
            roles=_role(options.get("target_session_attrs", "any")),
            pgbouncer=_boolean("pgbouncer", options.get("pgbouncer", "false")),
        )

    @property
    def is_sqlite(self) -> bool:
        """True for a file of SQLite, False for PostgreSQL."""
        return self.path is not None

    def __repr__(self) -> str:
        return f"DatabaseTarget({str(self)!r})"

    def __str__(self) -> str:
        if self.is_sqlite:
            return f"the SQLite file {self.path}"
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts) or "this machine"
        return f"the PostgreSQL {self.name or self.username or 'database'} at {hosts}"


def _file(rest: str) -> str:
    if "?" in rest:
        raise InvalidDatabase("it has options behind the file of SQLite, which takes none here")
    if not rest.startswith("/"):
        raise InvalidDatabase("it names no file of SQLite; write sqlite:///path, or sqlite:////absolute/path")
    path = _decoded(rest[1:])
    if path in ("", ":memory:") or not path.isprintable():
        raise InvalidDatabase("it names no file of SQLite, and what is in memory ends with its process")
    return path


def _split(rest: str) -> tuple[str, str, dict[str, str]]:
    if not rest.isprintable() or " " in rest or "#" in rest:
        raise InvalidDatabase("it has a space, a control character or a # in it; percent-encode it")
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    if "@" in path or "@" in query:
        raise InvalidDatabase("it has an @ after the host; percent-encode / ? and @ in user and password")
    if "/" in path:
        raise InvalidDatabase("it has a / in the database's name; percent-encode it")
    return authority, path, _options(query)


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if name not in _OPTIONS:
            raise InvalidDatabase(f"it has an unknown option; the options are: {', '.join(_OPTIONS)}")
        if name in options or not value:
            raise InvalidDatabase(
                f"it has the option {name} {'twice' if name in options else 'without a value'}"
            )
        options[name] = _decoded(value)
    return options


def _once(what: str, before: str | None, option: str | None) -> str | None:
    if before and option:
        raise InvalidDatabase(f"it has its {what} twice; keep the one before the ?, or the option")
    return before or option


def _hosts(written: str, options: Mapping[str, str]) -> tuple[Address, ...]:
    named = _once("host", _decoded(written), options.get("host"))
    port = _port(options.get("port"))
    return tuple(_addresses(named, port)) if named else ()


def _addresses(text: str, port: int) -> Iterator[Address]:
    for one in text.split(","):
        if one.startswith("/"):
            folder, _, own = one.partition(":")
            yield folder, _port(own) if own else port
            continue
        try:
            yield addresses(one, port)[0]
        except InvalidTarget as error:
            raise InvalidDatabase(f"it {error.reason}") from None


def _port(text: str | None) -> int:
    port = int(text) if text and re.fullmatch("[0-9]{1,5}", text) else 0 if text else POSTGRES_PORT
    if not 1 <= port <= 65_535:  # noqa: PLR2004 - the highest port
        raise InvalidDatabase("it has a wrong port; it is a whole number from 1 to 65535")
    return port


def _tls(options: Mapping[str, str]) -> DatabaseTls | None:
    if options.get("channel_binding") == "require":
        raise InvalidDatabase(
            "it asks for channel_binding=require, which asyncpg does not know; leave it out and "
            "write sslmode=verify-full"
        )
    mode = _once("TLS mode (ssl, sslmode)", options.get("sslmode"), _ssl(options.get("ssl")))
    if mode is not None and mode not in get_args(SslMode):
        raise InvalidDatabase(f"it has a wrong sslmode; choose one of: {', '.join(get_args(SslMode))}")
    files = {name: options.get(f"ssl{name}") for name in ("rootcert", "cert", "key")}
    if files["rootcert"] == "system":
        files["rootcert"], mode = None, mode or "verify-full"
    if any(files.values()) and mode in (None, "disable", "allow", "prefer"):
        raise InvalidDatabase("it has certificates, but sslmode is not require, verify-ca or verify-full")
    if files["key"] and not files["cert"]:
        raise InvalidDatabase("it has sslkey without sslcert; give both")
    return None if mode is None else DatabaseTls(cast(SslMode, mode), **files)


def _ssl(text: str | None) -> str | None:
    """Return the sslmode that the option `ssl` of other drivers means: true, false, or a mode."""
    known = _BOOLEANS.get((text or "").lower())
    return text if known is None else "require" if known else "disable"


def _seconds(text: str | None) -> float:
    if text is None:
        return 10.0
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise InvalidDatabase("it has a wrong connect_timeout; it is a whole number of seconds from 1")
    return float(text)


def _role(text: str) -> str:
    if text not in _ROLES:
        raise InvalidDatabase(f"it has a wrong target_session_attrs; choose one of: {', '.join(_ROLES)}")
    return text


def _boolean(name: str, text: str) -> bool:
    known = _BOOLEANS.get(text.lower())
    if known is None:
        raise InvalidDatabase(f"it has a wrong {name}; write true or false")
    return known


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidDatabase("it has percent-encoded bytes that are not UTF-8") from None
