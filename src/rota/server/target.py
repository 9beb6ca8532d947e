"""The address of a Redis and the login for it: one frozen value, from a URL or from parts, that shows no password.

Errors never quote the URL: whatever is wrong with it, any piece of it may be the password.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

from rota.errors.secrets import SECRETS
from rota.server.tls import TLS_OPTIONS, InvalidTarget, Tls

Address = tuple[str, int]

REDIS_PORT = 6379
SENTINEL_PORT = 26379

_TCP = {"redis": False, "rediss": True}
_SENTINEL = {"redis+sentinel": False, "rediss+sentinel": True, "sentinel": False}
_SCHEMES = (*_TCP, "unix", *_SENTINEL)
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True, repr=False)
class RedisTarget:
    """One Redis: at `host` and `port`, at the unix socket `path`, or the `master` that `sentinels` know.

    `renewed` reads the target again, where a file holds its password. Raises InvalidTarget when the parts do not fit
    together.
    """

    host: str = "localhost"
    port: int = REDIS_PORT
    path: str | None = None
    sentinels: tuple[Address, ...] = ()
    master: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    tls: Tls | None = None
    renewed: "Callable[[], RedisTarget] | None" = field(default=None, compare=False)

    def __post_init__(self) -> None:
        SECRETS.keep(self.password, self.sentinel_password)
        if not self.host or not 1 <= self.port <= _HIGHEST_PORT:
            raise InvalidTarget(f"has a wrong host or port; a port is from 1 to {_HIGHEST_PORT}")
        if self.db < 0:
            raise InvalidTarget("has a wrong database; it is a whole number from 0")
        if bool(self.sentinels) != bool(self.master):
            raise InvalidTarget("has sentinels without a master, or a master without sentinels; give both")
        if self.sentinel_password is not None and not self.sentinels:
            raise InvalidTarget("has a sentinel password but no sentinels")
        if self.sentinel_username is not None and self.sentinel_password is None:
            raise InvalidTarget("has a user of the sentinels but no password for them")
        if self.path is not None and (self.sentinels or self.tls):
            raise InvalidTarget("has a unix socket together with sentinels or TLS; a socket has neither")

    @classmethod
    def from_url(cls, url: str, tls_options: Mapping[str, str] | None = None) -> "RedisTarget":
        """Return the target that `url` names; `tls_options` were set beside the URL. Raises InvalidTarget.

        redis[s]://[user:password@]host[:port][/db], unix://[user:password@]/path[?db=n],
        redis[s]+sentinel://[user:password@]host[:port],…/master[/db], all with options after a `?`.
        """
        scheme, authority, path, options = _split(url)
        userinfo, _, hosts = authority.rpartition("@")
        username, password = _credentials(userinfo)
        tls = _tls(scheme, options, tls_options or {})
        if scheme == "unix":
            place, db = cls(path=_socket(hosts, path)), ""
        elif scheme in _TCP:
            host, port = _one_address(hosts)
            place, db = cls(host, port), path
        else:
            master, _, db = path.partition("/")
            place = cls(master=_master(master), sentinels=addresses(hosts, SENTINEL_PORT))
        return replace(place, db=_database(db, options), username=username, password=password, tls=tls)

    @property
    def safe_url(self) -> str:
        """The URL with `***` for the password: for logs and messages."""
        user = quote(self.username or "", safe="")
        login = f"{user}:***@" if self.password is not None else f"{user}@" if user else ""
        if self.path is not None:
            return f"unix://{login}{quote(self.path)}?db={self.db}"
        scheme = "rediss" if self.tls else "redis"
        if not self.sentinels:
            return f"{scheme}://{login}{_written(self.host, self.port)}/{self.db}"
        hosts = ",".join(_written(host, port) for host, port in self.sentinels)
        return f"{scheme}+sentinel://{login}{hosts}/{quote(self.master or '', safe='')}/{self.db}"

    def __repr__(self) -> str:
        return f"RedisTarget({self.safe_url!r})"

    def __str__(self) -> str:
        return self.safe_url


def addresses(text: str, default_port: int) -> tuple[Address, ...]:
    """Return the (host, port) pairs of `host:port,host:port`, IPv6 addresses in brackets. Raises InvalidTarget."""
    found = []
    for one in text.split(","):
        match = _ADDRESS.fullmatch(one.strip())
        port = int(match["port"] or default_port) if match else 0
        if not match or not 1 <= port <= _HIGHEST_PORT:
            raise InvalidTarget(
                "names no host or a wrong one; write host or host:port, and [address]:port for IPv6"
            )
        found.append((match["v6"] or match["host"], port))
    return tuple(found)


def _split(url: str) -> tuple[str, str, str, dict[str, str]]:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise InvalidTarget(f"starts with none of: {', '.join(f'{known}://' for known in _SCHEMES)}")
    if not rest.isprintable() or " " in rest or "#" in rest:
        raise InvalidTarget("has a space, a control character or a # in it; percent-encode it")
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    if "@" in path or "@" in query:
        raise InvalidTarget("has an @ after the host; percent-encode / ? and @ in username and password")
    return scheme, authority, path, _options(query)


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if name not in ("db", *TLS_OPTIONS):
            raise InvalidTarget(f"has an unknown option; the options are: db, {', '.join(TLS_OPTIONS)}")
        if name in options or not value:
            raise InvalidTarget(f"has the option {name} {'twice' if name in options else 'without a value'}")
        options[name] = _decoded(value)
    return options


def _credentials(userinfo: str) -> tuple[str | None, str | None]:
    if not userinfo:
        return None, None
    username, _, password = userinfo.partition(":")
    if not password:
        raise InvalidTarget("has no password before the @; write user:password@ or :password@")
    return _decoded(username) or None, _decoded(password)


def _socket(hosts: str, path: str) -> str:
    if hosts or not path:
        raise InvalidTarget("names no socket; write unix:///absolute/path")
    return f"/{_decoded(path)}"


def _one_address(hosts: str) -> Address:
    if "," in hosts:
        raise InvalidTarget("has several hosts; only redis+sentinel:// takes a list")
    return addresses(hosts, REDIS_PORT)[0]


def _master(name: str) -> str:
    if not name:
        raise InvalidTarget("names no master; write redis+sentinel://host:26379,host:26379/mymaster/0")
    return _decoded(name)


def _tls(scheme: str, in_url: Mapping[str, str], beside: Mapping[str, str]) -> Tls | None:
    twice = [name for name in TLS_OPTIONS if name in in_url and name in beside]
    if twice:
        raise InvalidTarget(f"has the option {twice[0]}, and REDIS_{twice[0].upper()} is set; keep one")
    options = {name: value for name, value in {**in_url, **beside}.items() if name in TLS_OPTIONS}
    if (_TCP | _SENTINEL).get(scheme):
        return Tls.from_options(options)
    if options:
        raise InvalidTarget(
            f"speaks no TLS, but {min(options)} is set; write rediss:// (or rediss+sentinel://)"
        )
    return None


def _database(path: str, options: Mapping[str, str]) -> int:
    if path and "db" in options:
        raise InvalidTarget("has its database twice; keep the one after the host, or the option db")
    text = path or options.get("db", "0")
    if not re.fullmatch("[0-9]{1,9}", text):
        raise InvalidTarget("has a wrong database; it is a whole number from 0")
    return int(text)


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidTarget("has percent-encoded bytes that are not UTF-8") from None


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
