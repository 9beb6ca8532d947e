"""The variables for the address of Redis: one URL or its parts, never both, and TLS options beside either."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from rota.server.target import REDIS_PORT, SENTINEL_PORT, RedisTarget, addresses
from rota.server.tls import TLS_OPTIONS, CertReqs, InvalidTarget, Tls
from rota.settings.files import FromFiles

_URL = "redis_url"
_HOST = ("redis_host", "redis_port")
_SENTINELS = ("redis_sentinels", "redis_sentinel_master")
_LOGIN = ("redis_username", "redis_password", "redis_db")
#: What is read again for each new connection, where it is from a file.
_SECRETS = ("REDIS_URL", "REDIS_PASSWORD", "REDIS_SENTINEL_PASSWORD")


class RedisVariables(FromFiles):
    """The REDIS_ variables; `redis` is the target that they name.

    Only variables that were set can clash: a default clashes with nothing.
    """

    # Nobody makes one: only Settings, which has these fields too, is worth the time that preparing a class takes.
    model_config = SettingsConfigDict(defer_build=True)

    redis_url: SecretStr | None = None
    """redis://, rediss://, unix:// or redis+sentinel://, with user, password and database."""

    redis_host: str | None = None
    """The host name or address, in place of the URL."""

    redis_port: Annotated[int, Field(ge=1, le=65535)] = REDIS_PORT
    """The port of REDIS_HOST."""

    redis_username: str | None = None
    """The user of Redis' ACL; None: the server's default user."""

    redis_password: SecretStr | None = None
    """The password, with REDIS_HOST or REDIS_SENTINELS."""

    redis_db: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """The number of the database."""

    redis_sentinels: str | None = None
    """The sentinels, host:port with commas between."""

    redis_sentinel_master: str | None = None
    """The sentinels' name for the master."""

    redis_sentinel_username: str | None = None
    """The user of the sentinels' own ACL; None: their default user."""

    redis_sentinel_password: SecretStr | None = None
    """The password of the sentinels themselves."""

    redis_ssl: bool = False
    """Whether to use TLS, with REDIS_HOST or REDIS_SENTINELS; a URL says so itself."""

    redis_ssl_ca_certs: str | None = None
    """The PEM file of the authority that signed the server's certificate; None: the system's authorities."""

    redis_ssl_certfile: str | None = None
    """The PEM file of the client's certificate; it may hold the key too."""

    redis_ssl_keyfile: str | None = None
    """The PEM file of the key of the client's certificate."""

    redis_ssl_check_hostname: bool = True
    """Whether the server's certificate must carry the host's name."""

    redis_ssl_cert_reqs: CertReqs = "required"
    """Whether the server's certificate is checked at all."""

    @property
    def redis(self) -> RedisTarget | None:
        """The address of Redis; None if no variable names one, which means the embedded server."""
        given = self._given()
        if not given:
            return None
        target = self._from_url() if _URL in given else self._from_parts(given)
        return replace(target, renewed=self._redis_of_now) if self._files.keys() & set(_SECRETS) else target

    def _redis_of_now(self) -> RedisTarget:
        """Return the address with what the files of its secrets hold now. Raises OSError, ValueError."""
        return self._read_again(*_SECRETS).redis or RedisTarget()

    @model_validator(mode="after")
    def _name_a_server(self) -> Self:
        clash = _clash(self._given())
        if clash:
            raise ValueError(clash)
        target = self.redis
        if target and target.tls:
            _check_files(target.tls)
        return self

    def _given(self) -> set[str]:
        names = (name for name in RedisVariables.model_fields if name in self.model_fields_set)
        return {name for name in names if getattr(self, name) is not None}

    def _from_url(self) -> RedisTarget:
        try:
            target = RedisTarget.from_url(_secret(self.redis_url) or "", self._tls_options())
        except InvalidTarget as error:
            raise ValueError(f"REDIS_URL {error.reason}") from None
        return self._with_login_of_sentinels(target)

    def _from_parts(self, given: set[str]) -> RedisTarget:
        target = RedisTarget(
            db=self.redis_db,
            username=self.redis_username,
            password=_secret(self.redis_password),
            tls=self._tls(),
        )
        if "redis_sentinels" not in given:
            return replace(target, host=_one_host(self.redis_host or ""), port=self.redis_port)
        try:
            sentinels = addresses(self.redis_sentinels or "", SENTINEL_PORT)
        except InvalidTarget as error:
            raise ValueError(f"REDIS_SENTINELS {error.reason}") from None
        target = replace(target, sentinels=sentinels, master=self.redis_sentinel_master)
        return self._with_login_of_sentinels(target)

    def _with_login_of_sentinels(self, target: RedisTarget) -> RedisTarget:
        username, password = self.redis_sentinel_username, _secret(self.redis_sentinel_password)
        if password is not None and not target.sentinels:
            raise ValueError("REDIS_SENTINEL_PASSWORD is set, but REDIS_URL names no sentinels")
        if username is not None and password is None:
            raise ValueError("REDIS_SENTINEL_USERNAME is set, but REDIS_SENTINEL_PASSWORD is not; set both")
        return replace(target, sentinel_username=username, sentinel_password=password)

    def _tls_options(self) -> dict[str, str]:
        given = self._given()
        return {name: str(getattr(self, f"redis_{name}")) for name in TLS_OPTIONS if f"redis_{name}" in given}

    def _tls(self) -> Tls | None:
        options = self._tls_options()
        if options and not self.redis_ssl:
            raise ValueError(f"REDIS_{min(options).upper()} is set, but REDIS_SSL is not true; set it")
        try:
            return Tls.from_options(options) if self.redis_ssl else None
        except InvalidTarget as error:
            raise ValueError(f"REDIS_SSL {error.reason}") from None


def _clash(given: set[str]) -> str | None:
    if _URL in given:
        beside = _variables(given, (*_HOST, *_LOGIN, *_SENTINELS, "redis_ssl"))
        return f"REDIS_URL and {beside} are both set; keep the URL or the parts" if beside else None
    if given.intersection(_SENTINELS):
        return _sentinel_clash(given)
    if of_sentinels := _variables(given, ("redis_sentinel_username", "redis_sentinel_password")):
        verb = "are" if "," in of_sentinels else "is"
        return f"{of_sentinels} {verb} set, but no sentinels are; set REDIS_SENTINELS too"
    if given and "redis_host" not in given:
        return f"{_variables(given, sorted(given))} is set, but REDIS_HOST is not; set it, or REDIS_URL"
    return None


def _sentinel_clash(given: set[str]) -> str | None:
    hosts, sentinels = _variables(given, _HOST), _variables(given, _SENTINELS)
    if hosts:
        return (
            f"{hosts} and {sentinels} are both set; keep the host or the sentinels, which carry their ports"
        )
    if not given.issuperset(_SENTINELS):
        return "REDIS_SENTINELS and REDIS_SENTINEL_MASTER go together; set both"
    return None


def _variables(given: set[str], names: Iterable[str]) -> str:
    return ", ".join(name.upper() for name in names if name in given)


def _one_host(text: str) -> str:
    try:
        if "," not in text:
            return addresses(f"[{text}]" if ":" in text else text, REDIS_PORT)[0][0]
    except InvalidTarget:
        pass
    raise ValueError("REDIS_HOST is not one host; write a port into REDIS_PORT, or all of it into REDIS_URL")


def _check_files(tls: Tls) -> None:
    for option in ("ca_certs", "certfile", "keyfile"):
        path = getattr(tls, option)
        if path is not None and not Path(path).is_file():
            names = f"REDIS_SSL_{option.upper()} (or ssl_{option} in REDIS_URL)"
            raise ValueError(f"{names} points to a file that is not there")


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
