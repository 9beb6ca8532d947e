"""Where a request may go whose address others gave: to public addresses, and to what a team allows besides.

Whether an address is public is read off the registries of IANA, here and not from `ipaddress`: what `is_private` and
`is_global` say has changed between versions of Python, and neither looks into an IPv6 address that carries an IPv4 one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from rota.errors import FetchRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: The ports of the web, which need no leave.
PORTS = frozenset({80, 443})
LONGEST_URL = 2048

_SEEN = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(
    r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
#: Special addresses of IPv4, and 168.63.129.16, by which machines in Azure ask their host for what it knows of them.
_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            *(
                "0.0.0.0/8",
                "10.0.0.0/8",
                "100.64.0.0/10",
                "127.0.0.0/8",
                "168.63.129.16/32",
                "169.254.0.0/16",
            ),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
#: The only part of IPv6 that the world routes, and what is special in it.
_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_SIX_TO_FOUR, _TEREDO = IPv6Network("2002::/16"), IPv6Network("2001::/32")
#: Prefixes before an IPv4 address in the last 32 bits: compatible, mapped, translated, NAT64.
_CARRIERS = tuple(map(IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
#: The third quarter of an address that ISATAP made, whatever its prefix.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
#: Where machines in a cloud are told their secrets; a name alone gives no leave for it.
_METADATA = tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10", "168.63.129.16/32", "fd00:ec2::254/128")))
_LOW = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Allowed:
    """Places that a team allows beside public addresses: networks, and names of hosts, `*.` for all below one."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        """Read a list with commas: `10.1.0.0/16, hooks.internal, *.svc.local`. Raises ValueError."""
        networks, names = list[Network](), set[str]()
        for part in filter(None, re.split(r"[\s,]+", text.strip().lower())):
            try:
                networks.append(ip_network(part))
            except ValueError:
                if part.replace(".", "").replace("/", "").isdigit() or not _NAME.fullmatch(part):
                    raise ValueError(
                        f"{ascii(part)[:60]} is neither a network, as 10.1.0.0/16, nor the name of a host"
                    ) from None
                names.add(part)
        return cls(tuple(networks), frozenset(names))

    def __str__(self) -> str:
        return ", ".join([*map(str, self.networks), *sorted(self.names)])

    def has_name(self, host: str) -> bool:
        """Tell whether the host is allowed by its name, whatever address it has."""
        name = host.lower().rstrip(".")
        parents = (name[at:] for at, letter in enumerate(name) if letter == ".")
        return name in self.names or any(f"*{parent}" in self.names for parent in parents)

    def has_address(self, address: Address) -> bool:
        """Tell whether the address lies in an allowed network; what it carries counts in its place."""
        carried = carried_by(address)
        return bool(carried) and all(self._holds(one) for one in carried)

    def _holds(self, address: Address) -> bool:
        return any(address.version == one.version and address in one for one in self.networks)

    def __bool__(self) -> bool:
        return bool(self.networks or self.names)


NOTHING = Allowed()


def carried_by(address: Address) -> tuple[Address, ...]:
    """Return the addresses to which a packet for this one may come: itself, or the IPv4 addresses within it."""
    if isinstance(address, IPv4Address):
        return (address,)
    number = int(address)
    if address in _TEREDO:
        # Of the server, and of the client, which is written with all bits turned.
        return IPv4Address(number >> 64 & _LOW), IPv4Address(~number & _LOW)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(number >> 80 & _LOW),)
    if any(address in one for one in _CARRIERS):
        return (IPv4Address(number & _LOW),)
    if number >> 32 & _LOW in _ISATAP:
        return address, IPv4Address(number & _LOW)
    return (address,)


def is_public(address: Address) -> bool:
    """Tell whether an address, and what it carries, is one of the public Internet, of one machine."""
    return all(map(_is_public, carried_by(address)))


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in one for one in _NOT_PUBLIC_4)
    return address in _UNICAST_6 and not any(address in one for one in _NOT_PUBLIC_6)


def check_addresses(
    scheme: str, host: str, port: int, found: Iterable[str], allowed: Allowed
) -> tuple[str, ...]:
    """Return the addresses to connect to, all that a host has. Raises FetchRefused where one of them may not be.

    A single one that is not public makes all of them suspect: a name that has both is made to deceive.
    """
    addresses = [_read(one) for one in dict.fromkeys(found)]
    if not addresses:
        raise FetchRefused(f"the host {_shown(host)} has no address")
    by_name = allowed.has_name(host)
    for address in addresses:
        named = by_name and not _is_metadata(address)
        if not (named or allowed.has_address(address) or is_public(address)):
            raise FetchRefused(
                # Without the address: who chose the URL is not to learn how names are resolved here.
                f"the host {_shown(host)} has an address which is no public address; "
                "WEBHOOK_ALLOW may name a network of yours"
            )
        if not (named or allowed.has_address(address)):
            _check_web(scheme, port)
    return tuple(map(str, addresses))


def _check_web(scheme: str, port: int) -> None:
    if scheme != "https":
        raise FetchRefused(
            "only https goes to public addresses, so that nobody on the way can read or change it"
        )
    if port not in PORTS:
        raise FetchRefused(f"the port {port} is none of the web; 443 and 80 are")


def check_url(url: str, allowed: Allowed = NOTHING) -> None:
    """Raise FetchRefused for a URL that could not be fetched whatever its host's address is."""
    if not isinstance(url, str) or not _SEEN.fullmatch(url) or "\\" in url or len(url) > LONGEST_URL:
        raise FetchRefused(
            f"a URL is up to {LONGEST_URL} visible characters of ASCII, such as https://example.com/hook"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise FetchRefused(f"the URL cannot be read: {error}") from None
    scheme = parts.scheme
    if scheme not in ("https", "http") or not host:
        raise FetchRefused("the URL is to begin with https:// and the name of a host")
    if "@" in parts.netloc:
        raise FetchRefused("a URL with a user or a password in it is not taken; send a header in their place")
    port = port if port is not None else 443 if scheme == "https" else 80
    literal = _literal(host)
    if literal is not None:
        check_addresses(scheme, host, port, [str(literal)], allowed)
    elif not allowed.networks and not allowed.has_name(host):
        # With networks, where it lies decides, which is known when it is fetched.
        _check_web(scheme, port)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _read(text: str) -> Address:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        raise FetchRefused(f"{_shown(text)} cannot be read as an address") from None


def _is_metadata(address: Address) -> bool:
    return any(
        any(one.version == net.version and one in net for net in _METADATA) for one in carried_by(address)
    )


def _shown(host: str) -> str:
    return ascii(host)[1:-1][:80]
