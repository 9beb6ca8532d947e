"""The variables of the API: where it listens, and who is let in."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings

from rota.model.access.keys import AccessKey


def _keys(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(map(AccessKey.of_stored, re.split(r"[\s,]+", value.strip())))


def _listed(value: object) -> object:
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


#: What may stand in the template of an address, in curly brackets.
_PLACES = frozenset({"trace_id", "id"})


def _template(value: str) -> str:
    named = set(re.findall(r"\{([^{}]*)\}", value))
    if not re.fullmatch(r"https?://[^\s/{}]+(?:/\S*)?", value) or not named or not named <= _PLACES:
        raise ValueError(
            f"{value[:60]!r} is no address with {{trace_id}} or {{id}} in it, such as https://traces.example/{{trace_id}}"
        )
    return value


Network = IPv4Network | IPv6Network


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(ip_network(one.strip(), strict=False) for one in value.split(","))


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

    api_allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(_listed)] | None = None
    """Names of the API, beside this machine's own, by which it is reached while it needs no key; None: none."""

    api_allowed_origins: Annotated[tuple[str, ...], BeforeValidator(_origins)] | None = None
    """Sites whose pages may ask the API from a browser, beside its own: `https://shop.example`; None: none."""

    dashboard: bool = True
    """Whether the API serves the dashboard, at `/ui`."""

    api_proxies: Annotated[tuple[Network, ...], BeforeValidator(_networks)] | None = None
    """Addresses of the servers in front, whose word on a visitor is taken: `10.0.0.0/8,127.0.0.1`; None: of none."""

    dashboard_name: Annotated[str, Field(max_length=40)] | None = None
    """What the dashboard calls this deployment, on its badge; None: by `APP_ENV`."""

    dashboard_color: Literal["gray", "green", "blue", "amber", "red"] | None = None
    """The colour of that badge; None: red in production, else gray."""

    dashboard_auth: Literal["key", "proxy", "none"] = "key"
    """By what visitors of the dashboard are let in: a key, the word of a server in front, or without anything."""

    dashboard_user_header: str = "X-Forwarded-User"
    """The header in which a server in front names the visitor."""

    dashboard_operators: Annotated[tuple[str, ...], BeforeValidator(_listed)] | None = None
    """Visitors that a server in front names who may act; None: those of DASHBOARD_ADMINS alone."""

    dashboard_admins: Annotated[tuple[str, ...], BeforeValidator(_listed)] | None = None
    """Visitors that a server in front names who may do everything; None: none."""

    dashboard_trace_url: Annotated[str, AfterValidator(_template)] | None = None
    """Where a job's trace is, with `{trace_id}` in its place: `https://traces.example/{trace_id}`; None: nowhere."""

    dashboard_sentry_url: Annotated[str, AfterValidator(_template)] | None = None
    """Where Sentry shows what belongs to a job, with `{trace_id}` or `{id}` in its place; None: nowhere."""

    @model_validator(mode="after")
    def _know_the_proxy(self) -> Self:
        if self.dashboard_auth == "proxy" and not self.api_proxies:
            raise ValueError(
                "DASHBOARD_AUTH is proxy, and API_PROXIES does not say by which addresses that is known; set it too"
            )
        return self
