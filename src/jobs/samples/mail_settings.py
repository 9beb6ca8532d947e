"""Where mail goes: the variables of the sample job `email`. The engine's own settings are in `.env.example`.

    SMTP_HOST      the mail server. Without it mail is logged instead; in production a job that sends mail fails.
    SMTP_PORT      25, 587 with starttls, 465 with tls, unless set.
    SMTP_TLS       starttls (the default), tls from the first byte on, or none.
    SMTP_USERNAME  and SMTP_PASSWORD, both or neither; SMTP_PASSWORD_FILE names a file that holds the password.
    SMTP_FROM      the sender of all mail, shop@example.org or Shop <shop@example.org>; needed with SMTP_HOST.

They are read for each mail (`variables.py`).
"""

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from jobs.samples.variables import Variables, sources

#: One plain address, without characters that could begin another address, another header or another SMTP command.
ADDRESS = (
    r"^[^\x00-\x20\x7f-\xa0\u2028\u2029@<>()\[\],;:\\\"]+@[^\x00-\x20\x7f-\xa0\u2028\u2029@<>()\[\],;:\\\"]+$"
)

_PORTS = {"none": 25, "starttls": 587, "tls": 465}


class MailSettingsError(Exception):
    """Raised when SMTP_ variables cannot work: a line for each problem."""


def _unless_injected(value: object) -> object:
    # Kubernetes describes a service named `smtp` to the pods beside it in a variable of this name.
    return None if isinstance(value, str) and value.startswith("tcp://") else value


class MailSettings(Variables):
    """The variables for mail. `sender` is SMTP_FROM; each other field is SMTP_ and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="SMTP_")

    app_env: str = Field(default="development", validation_alias="APP_ENV")
    host: str | None = None
    port: Annotated[int | None, Field(ge=1, le=65535), BeforeValidator(_unless_injected)] = None
    tls: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    sender: str | None = Field(default=None, validation_alias="SMTP_FROM")

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name, value in values.items():
            if name != "app_env" and isinstance(value, str) and not value.strip():
                raise ValueError(f"{_variable(name)} is set but empty; give it a value or unset it")
        path = values.get("password_file")
        return values if path is None else {**values, "password": _read(Path(path))}

    @field_validator("sender")
    @classmethod
    def _is_an_address(cls, sender: str | None) -> str | None:
        if sender and not (
            sender.isprintable() and sender.isascii() and re.match(ADDRESS, parseaddr(sender)[1])
        ):
            raise ValueError("must be an address, shop@example.org or Shop <shop@example.org>")
        return sender

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("SMTP_USERNAME and SMTP_PASSWORD go together; set both or neither")
        if self.host is not None and self.sender is None:
            raise ValueError("SMTP_HOST is set, but SMTP_FROM is not; set it to the sender of all mail")
        return self

    @property
    def in_production(self) -> bool:
        """Whether to send mail without a mail server is an error, rather than normal in development."""
        return self.app_env == "production"

    @property
    def port_in_use(self) -> int:
        """SMTP_PORT, or the standard port for SMTP_TLS."""
        return self.port or _PORTS[self.tls]


def load() -> MailSettings:
    """Read the settings. Raises MailSettingsError."""
    problems = list(_misnamed())
    try:
        settings = MailSettings(**sources())
    except ValidationError as error:
        problems += (_sentence(one["loc"], one["msg"]) for one in error.errors(include_url=False))
    if problems:
        raise MailSettingsError("\n".join(problems))
    return settings


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise ValueError("SMTP_PASSWORD_FILE names a file that cannot be read") from None


def _misnamed() -> Iterator[str]:
    if {"SMTP_PASSWORD", "SMTP_PASSWORD_FILE"} <= os.environ.keys():
        yield "SMTP_PASSWORD and SMTP_PASSWORD_FILE are both set; keep one of them"
    known = [_variable(name) for name in MailSettings.model_fields if name != "app_env"]
    for name in os.environ:
        if name.startswith("SMTP_") and name not in known:
            # 0.8 finds SMTP_USER, and leaves alone SMTP_SERVICE_HOST, which Kubernetes injects.
            for meant in get_close_matches(name, known, n=1, cutoff=0.8):
                yield f"{name} is not known; did you mean {meant}?"


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    reason = message.removeprefix("Value error, ")
    return f"{_variable(str(location[0]))}: {reason}" if location else reason


def _variable(name: str) -> str:
    return {"sender": "SMTP_FROM", "SMTP_FROM": "SMTP_FROM"}.get(name, f"SMTP_{name.upper()}")
