"""The variables for the database that keeps finished jobs; without DATABASE_URL there is none."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from rota.settings.database_url import DatabaseTarget, DatabaseTls, InvalidDatabase
from rota.settings.files import FromFiles
from rota.settings.types import Duration, Size


def _database(url: SecretStr) -> SecretStr:
    target = DatabaseTarget.from_url(url.get_secret_value())
    if target.tls:
        _check_files(target.tls)
    return url


def _none_if_off(value: object) -> object:
    return None if isinstance(value, str) and value.lower() == "off" else value


def _check_files(tls: DatabaseTls) -> None:
    for option in ("rootcert", "cert", "key"):
        path = getattr(tls, option)
        if path is not None and not Path(path).is_file():
            raise InvalidDatabase(f"it has ssl{option}, which points to a file that is not there")


class DatabaseVariables(FromFiles):
    """The variables of the audit table; `database` is the address that they name."""

    database_url: Annotated[
        Annotated[SecretStr, AfterValidator(_database)] | None, BeforeValidator(_none_if_off)
    ] = None
    """postgresql://, or sqlite:///path outside production; None, or `off`: finished jobs stay in Redis alone."""

    database_pgbouncer: bool = False
    """Whether PgBouncer in transaction mode is in front of PostgreSQL, so that statements may not be kept."""

    database_migrate: Literal["auto", "check", "off"] = "auto"
    """Whether rota makes its tables when it starts, only says when they are missing, or leaves all to you."""

    audit_retention: Annotated[Duration, Field(ge=60)] = 7_776_000.0
    """Seconds that a finished job is kept in the audit table."""

    records_limit: Annotated[Size, Field(ge=1024 * 1024)] = 256 * 1024 * 1024
    """The memory that records may take up in Redis, in bytes, until they are in the audit table."""

    @property
    def database(self) -> DatabaseTarget | None:
        """The address of the database; None if DATABASE_URL is not set."""
        if self.database_url is None:
            return None
        target = DatabaseTarget.from_url(self.database_url.get_secret_value())
        if self.database_pgbouncer:
            target = replace(target, pgbouncer=True)
        return replace(target, renewed=self._password_of_now) if "DATABASE_URL" in self._files else target

    def _password_of_now(self) -> str | None:
        """Return the password that the file of DATABASE_URL holds now. Raises OSError, ValueError."""
        now = self._read_again("DATABASE_URL").database
        return now.password if now else None

    @model_validator(mode="after")
    def _fit_the_database(self) -> Self:
        if "database_pgbouncer" in self.model_fields_set and self.database_pgbouncer:
            target = self.database
            if target is None or target.is_sqlite:
                raise ValueError(
                    "DATABASE_PGBOUNCER is set, but DATABASE_URL names no PostgreSQL; set it too"
                )
        return self
