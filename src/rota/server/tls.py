"""TLS towards a Redis server: which certificates each side shows. The server's certificate and name are checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from rota.errors import RotaError

CertReqs = Literal["required", "optional", "none"]

TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname", "ssl_cert_reqs")

_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True}
_BOOLEANS |= {"false": False, "0": False, "no": False, "off": False}


class InvalidTarget(RotaError, ValueError):
    """Raised for a Redis URL, or parts of one, that make no address; `reason` says how to write it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the Redis address {self.reason}"


@dataclass(frozen=True, slots=True)
class Tls:
    """The certificates of both sides, as paths of PEM files: the server's CA, and the client's own with its key.

    Without a `keyfile`, the `certfile` holds the key too. `check_hostname` needs `cert_reqs` other than "none".
    """

    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    check_hostname: bool = True
    cert_reqs: CertReqs = "required"

    def __post_init__(self) -> None:
        if self.keyfile and not self.certfile:
            raise InvalidTarget("has ssl_keyfile without ssl_certfile; give both")
        if self.check_hostname and self.cert_reqs == "none":
            raise InvalidTarget("has ssl_check_hostname=true with ssl_cert_reqs=none, which checks no name")

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> "Tls":
        """Build from `options`: text, by the names of `TLS_OPTIONS`. Raises InvalidTarget."""
        cert_reqs = options.get("ssl_cert_reqs", "required")
        if cert_reqs not in get_args(CertReqs):
            raise InvalidTarget(f"has a wrong ssl_cert_reqs; choose one of: {', '.join(get_args(CertReqs))}")
        check_hostname = _BOOLEANS.get(options.get("ssl_check_hostname", str(cert_reqs != "none")).lower())
        if check_hostname is None:
            raise InvalidTarget("has a wrong ssl_check_hostname; write true or false")
        return cls(
            options.get("ssl_ca_certs"),
            options.get("ssl_certfile"),
            options.get("ssl_keyfile"),
            check_hostname,
            cast(CertReqs, cert_reqs),
        )
