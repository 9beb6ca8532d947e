"""Connections: each that a process needs by its settings gets through, and no other does."""

import json
from collections.abc import Iterator

import pytest

from rota.server.target import RedisTarget
from rota.settings.database_url import DatabaseTarget
from tests.template.kubernetes.built import (
    SECRETS,
    Resource,
    container,
    environment,
    named,
    plain,
    secrets_of,
    way,
)
from tests.template.kubernetes.networks import Outside, Pod, passes

#: All of it: the components whose policies there are. Prometheus asks, and KEDA asks the exporter.
FULL = way("keda-metrics-api")
EXAMPLE = way("example")
OURS = ("rota-worker", "rota-worker-reports", "rota-api", "rota-exporter")
WORKERS = ("rota-worker", "rota-worker-reports")
INTERNET = Outside("203.0.113.7")
SERVICE = Pod("shop", {"app": "stock"})
#: Who hands out credentials of the machine: on AWS, GCP and others, for pods on GKE and EKS, on Azure and Alibaba.
METADATA = (
    *("169.254.169.254", "169.254.169.252", "169.254.170.23", "168.63.129.16", "100.100.100.200"),
    *("fd00:ec2::254", "fe80::a9fe:a9fe"),
)
PORTS = (80, 443, 988, 4318, 5432, 6379, 6380, 8000, 8080, 9464, 26379)


def policies(built: tuple[Resource, ...]) -> list[Resource]:
    return [one for one in built if one["kind"] == "NetworkPolicy"]


def a_pod(built: tuple[Resource, ...], name: str) -> Pod:
    (found,) = (
        one
        for one in built
        if one["kind"] in ("Deployment", "StatefulSet") and one["metadata"]["name"] == name
    )
    ports = {port["name"]: port["containerPort"] for port in container(found)["ports"]}
    return Pod(found["metadata"]["namespace"], found["spec"]["template"]["metadata"]["labels"], ports)


def needed(name: str) -> Iterator[tuple[Outside, int]]:
    """Yield the servers that a process of ours needs, by what its settings say."""
    deployment = named(FULL, "Deployment", name)
    has = {plain(secret) for secret in secrets_of(deployment)}
    assert "REDIS_URL" not in environment(FULL, deployment)
    assert "rota" in has
    yield Outside("198.51.100.1"), RedisTarget.from_url(SECRETS["REDIS_URL"], {}).port
    if "rota-postgres" in has:
        ((_, port),) = DatabaseTarget.from_url(SECRETS["DATABASE_URL"]).hosts
        yield Outside("198.51.100.2"), port
    # Sentry, and a collector beside the cluster.
    yield Outside("198.51.100.3"), 443
    yield Outside("198.51.100.4"), 4318


@pytest.mark.parametrize("name", OURS)
def test_a_process_reaches_the_servers_that_its_settings_name(name: str) -> None:
    one = a_pod(FULL, name)
    for server, port in needed(name):
        assert passes(policies(FULL), one, server, port), port
        # They may as well be pods of another namespace.
        assert passes(policies(FULL), one, Pod("elsewhere"), port), port
    for protocol in ("UDP", "TCP"):
        assert passes(policies(FULL), one, Pod("kube-system", {"k8s-app": "kube-dns"}), 53, protocol)
        # A cache of names on each machine has a link-local address.
        assert passes(policies(FULL), one, Outside("169.254.20.10"), 53, protocol)


@pytest.mark.parametrize("name", ["rota-api", "rota-exporter"])
def test_what_runs_no_jobs_reaches_nothing_else(name: str) -> None:
    one = a_pod(FULL, name)
    ports = {port for _, port in needed(name)}
    for port in PORTS:
        for other in (INTERNET, SERVICE):
            assert passes(policies(FULL), one, other, port) == (port in ports), (other, port)


@pytest.mark.parametrize("name", WORKERS)
def test_jobs_reach_what_they_like(name: str) -> None:
    for port in PORTS:
        assert passes(policies(FULL), a_pod(FULL, name), INTERNET, port)
        assert passes(policies(FULL), a_pod(FULL, name), SERVICE, port)
        assert passes(policies(FULL), a_pod(FULL, name), Outside("10.1.2.3"), port)
        assert passes(policies(FULL), a_pod(FULL, name), Outside("2001:db8::1"), port)


@pytest.mark.parametrize("name", OURS)
def test_none_reaches_what_hands_out_credentials_of_the_machine(name: str) -> None:
    for address in METADATA:
        for port in (80, 443, 988, 8080, 4318):
            assert not passes(policies(FULL), a_pod(FULL, name), Outside(address), port), (address, port)


@pytest.mark.parametrize("name", OURS)
def test_a_pod_is_reached_by_those_for_whom_it_is_there(name: str) -> None:
    reached = a_pod(FULL, name)
    allowed = {"rota-api": "allowed"}
    others: dict[str, Pod | Outside] = {
        "prometheus": Pod("monitoring"),
        "keda": Pod("keda"),
        "beside": Pod("rota"),
        "application": Pod("shop", namespace_labels=allowed),
        "stranger": Pod("shop"),
        "internet": INTERNET,
    }
    let_in = {
        **{worker: {"prometheus"} for worker in WORKERS},
        "rota-api": {"beside", "application"},
        "rota-exporter": {"prometheus", "keda"},
    }[name]
    (port,) = reached.ports.values()
    found = {who for who, other in others.items() if passes(policies(FULL), other, reached, port)}
    assert found == let_in
    # And on that port alone.
    for other in others.values():
        assert not any(passes(policies(FULL), other, reached, wrong) for wrong in PORTS if wrong != port)


def test_pods_of_ours_reach_redis_of_the_example_and_no_others_do() -> None:
    redis = a_pod(EXAMPLE, "rota-redis")
    secret = next(one for one in EXAMPLE if one["kind"] == "Secret")
    assert "cmVkaXM6Ly9yb3RhLXJlZGlzOjYzNzkvMA==" in json.dumps(secret)  # redis://rota-redis:6379/0
    for name in ("rota-worker", "rota-api", "rota-exporter"):
        assert passes(policies(EXAMPLE), a_pod(EXAMPLE, name), redis, 6379)
    for other in (Pod("rota"), SERVICE, INTERNET):
        assert not passes(policies(EXAMPLE), other, redis, 6379)
    assert not passes(policies(EXAMPLE), redis, INTERNET, 443)


def test_a_policy_that_is_missing_would_be_found() -> None:
    without = [one for one in policies(FULL) if one["metadata"]["name"] != "rota-redis"]
    assert not passes(without, a_pod(FULL, "rota-exporter"), INTERNET, 6380)
    open_to_all = [one for one in policies(FULL) if one["metadata"]["name"] not in ("rota", "rota-api")]
    assert passes(open_to_all, SERVICE, a_pod(FULL, "rota-api"), 8000)
