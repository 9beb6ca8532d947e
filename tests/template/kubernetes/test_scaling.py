"""What scales the workers: each way by one number, at once out and slowly in; and what Prometheus watches."""

import copy
import math
from typing import Any

import kubernetes_validate
import pytest

from deploy.kubernetes.rules import MADE, RULES, written
from tests.monitoring import names_in
from tests.template.kubernetes.built import FOLDER, SCALERS, WAYS, container, named, of_rota, way
from tests.template.kubernetes.test_manifests import valid
from tests.yaml_files import read_yaml


@pytest.mark.parametrize("name", WAYS)
def test_nothing_sets_the_number_of_workers_but_what_scales_them(name: str) -> None:
    assert "replicas" not in named(way(name), "Deployment", "rota-worker")["spec"]
    # Two exporters would export the fleet twice.
    assert named(way(name), "Deployment", "rota-exporter")["spec"]["replicas"] == 1


def scaler(name: str, *more: str) -> dict[str, Any]:
    (found,) = (one for one in way(name, *more) if one["kind"] in ("ScaledObject", "HorizontalPodAutoscaler"))
    return dict(copy.deepcopy(found["spec"]))


@pytest.mark.parametrize("name", SCALERS)
def test_workers_come_at_once_and_go_slowly_under_every_scaler(name: str) -> None:
    spec = scaler(name)
    assert spec["scaleTargetRef"]["name"] == "rota-worker"
    behavior = spec.get("behavior") or spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior == scaler("hpa")["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300


@pytest.mark.parametrize("name", ["keda-metrics-api", "keda-prometheus"])
def test_without_a_figure_keda_keeps_what_there_is(name: str) -> None:
    spec = scaler(name)
    assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]


def test_each_replica_stands_for_one_worker_that_is_needed() -> None:
    prometheus, api = (
        scaler(f"keda-{kind}")["triggers"][0]["metadata"] for kind in ("prometheus", "metrics-api")
    )
    assert names_in(prometheus["query"]) == {"arq_queue_desired_workers"}
    assert prometheus["threshold"] == api["targetValue"] == "1"
    assert prometheus["ignoreNullValues"] == "false"
    service = named(way("keda-metrics-api"), "Service", "rota-exporter")
    (port,) = service["spec"]["ports"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert api["url"].startswith(f"http://{host}:{port['port']}/scaling/")
    (metric,) = scaler("hpa")["metrics"]
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "1"}
    (rule,) = read_yaml(FOLDER / "components" / "hpa" / "adapter-rules.yaml")["rules"]["external"]
    assert rule["name"] == {"as": metric["external"]["metric"]["name"]}
    assert names_in(rule["seriesQuery"]) == {"arq_queue_desired_workers"}


@pytest.mark.parametrize("name", SCALERS)
def test_no_worker_is_missing_where_the_tolerance_is_none(name: str) -> None:
    exact = scaler(name, "../../components/exact-scaling")
    behavior = exact.get("behavior") or exact["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"].pop("tolerance") == "0"
    # All else is as it is without the component.
    assert exact == scaler(name)


def test_the_field_of_the_tolerance_is_there_from_1_33_on() -> None:
    (hpa,) = (
        one
        for one in way("hpa", "../../components/exact-scaling")
        if one["kind"] == "HorizontalPodAutoscaler"
    )
    valid(hpa, oldest=33)
    with pytest.raises(kubernetes_validate.ValidationError):
        valid(hpa, oldest=32)


def replicas(now: int, desired: int, target: float) -> int:
    """Return how many replicas an HPA makes of `now` by the default tolerance, a tenth."""
    ratio = desired / (target * now)
    return now if abs(ratio - 1) <= 0.1 + 1e-9 else math.ceil(desired / target)


def test_a_target_below_one_never_has_too_few() -> None:
    assert replicas(10, 11, 1) == 10
    fleets = [(now, desired) for now in range(1, 101) for desired in range(1, 101)]
    assert any(replicas(now, desired, 1) < desired for now, desired in fleets)
    for now, desired in fleets:
        made = replicas(now, desired, 0.9)
        assert made >= desired
        # Where it changes anything, it pays for a ninth too many, rounded up.
        assert made == now or made <= desired * 10 / 9 + 1


@pytest.mark.parametrize("name", ["keda-prometheus", "hpa"])
def test_prometheus_finds_every_pod_that_has_metrics(name: str) -> None:
    monitors = [one["spec"] for one in way(name) if one["kind"] == "PodMonitor"]
    for deployment in of_rota(way(name)).values():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        ports = {port["name"] for port in container(deployment)["ports"]}
        found = [
            monitor
            for monitor in monitors
            if monitor["selector"]["matchLabels"].items() <= labels.items()
            and {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]} <= ports
        ]
        assert len(found) == ("metrics" in ports)


def test_the_rules_are_those_of_compose() -> None:
    assert MADE.read_text("utf-8") == written(), "make rules"
    groups = read_yaml(RULES)["groups"]
    assert read_yaml(MADE)["spec"]["groups"] == groups
