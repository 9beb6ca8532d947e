"""What NetworkPolicies let through, judged as a network does that enforces them.

A pod that no policy of a direction chooses is open in that direction; else what any
of these policies names gets through. A connection needs to be let out of where it begins and let in where it ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Resource = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod as policies see it: its namespace, its labels, and the names of its ports."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outside:
    """A machine outside of the cluster."""

    address: str


@dataclass(frozen=True)
class Connection:
    """A connection that is begun, whether it gets through or not."""

    begins: Pod | Outside
    ends: Pod | Outside
    port: int
    protocol: str = "TCP"


def passes(
    policies: list[Resource], begins: Pod | Outside, ends: Pod | Outside, port: int, protocol: str = "TCP"
) -> bool:
    """Tell whether a connection gets through."""
    tried = Connection(begins, ends, port, protocol)
    return _lets(policies, "Egress", tried) and _lets(policies, "Ingress", tried)


def _lets(policies: list[Resource], direction: str, tried: Connection) -> bool:
    is_out = direction == "Egress"
    of, other = (tried.begins, tried.ends) if is_out else (tried.ends, tried.begins)
    if not isinstance(of, Pod):
        return True
    choosing = [
        one["spec"]
        for one in policies
        if direction in one["spec"]["policyTypes"]
        and one["metadata"]["namespace"] == of.namespace
        and _fits(one["spec"]["podSelector"], of.labels)
    ]
    rules = [rule for spec in choosing for rule in spec.get(direction.lower(), [])]
    return not choosing or any(
        _is_peer(rule.get("to" if is_out else "from"), of, other) and _is_port(rule.get("ports"), tried)
        for rule in rules
    )


def _is_peer(peers: list[Resource] | None, of: Pod, other: Pod | Outside) -> bool:
    return peers is None or any(_fits_peer(peer, of, other) for peer in peers)


def _fits_peer(peer: Resource, of: Pod, other: Pod | Outside) -> bool:
    if "ipBlock" in peer:
        # Networks differ in whether pods are among the addresses; here they are not, so that no rule relies on it.
        return isinstance(other, Outside) and _is_within(peer["ipBlock"], other.address)
    if not isinstance(other, Pod):
        return False
    spaces = peer.get("namespaceSelector")
    in_space = (
        other.namespace == of.namespace if spaces is None else _fits(spaces, _labels_of_namespace(other))
    )
    return in_space and _fits(peer.get("podSelector", {}), other.labels)


def _labels_of_namespace(pod: Pod) -> dict[str, str]:
    return {"kubernetes.io/metadata.name": pod.namespace, **pod.namespace_labels}


def _is_within(block: Resource, address: str) -> bool:
    one = ip_address(address)
    return one in ip_network(block["cidr"]) and not any(
        one in ip_network(left_out) for left_out in block.get("except", [])
    )


def _is_port(ports: list[Resource] | None, tried: Connection) -> bool:
    if ports is None:
        return True
    names = tried.ends.ports if isinstance(tried.ends, Pod) else {}
    return any(
        one["protocol"] == tried.protocol and names.get(one["port"], one["port"]) == tried.port
        for one in ports
    )


def _fits(selector: Resource, labels: Mapping[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels"}, "only labels are compared here"
    return bool(selector.get("matchLabels", {}).items() <= labels.items())
