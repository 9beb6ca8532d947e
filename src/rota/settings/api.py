"""The variables of the API: where it listens, and who is let in."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings

from rota.model.access.keys import AccessKey


def _keys(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(map(AccessKey.of_stored, re.split(r"[\s,]+", value.strip())))


def _hosts(value: object) -> object:
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


#: A site, as browsers name it.
_ORIGIN = re.compile(r"https?://[a-z0-9.\-_:\[\]]+")


def _origins(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = tuple(one.strip().lower() for one in value.split(","))
    wrong = [one for one in found if not _ORIGIN.fullmatch(one)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no site; a site is https://shop.example, without a path")
    return found


class ApiVariables(BaseSettings):
    """The variables that MODE=api reads beside the general ones."""

    api_host: str = "127.0.0.1"
    """The address that the API listens on: unless set, this machine's own."""

    api_port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """The port of the API; 0 is any free one."""

    api_keys: Annotated[tuple[AccessKey, ...], BeforeValidator(_keys)] | None = Field(
        default=None, repr=False
    )
    """Keys beside those in Redis, `id:digest:scopes` each, as `rota keys make --stored` prints them; None: none."""

    api_allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts)] | None = None
    """Names of the API, beside this machine's own, by which it is reached while it needs no key; None: none."""

    api_allowed_origins: Annotated[tuple[str, ...], BeforeValidator(_origins)] | None = None
    """Sites whose pages may ask the API from a browser, beside its own: `https://shop.example`; None: none."""

    dashboard: bool = True
    """Whether the API serves the dashboard, at `/ui`."""
