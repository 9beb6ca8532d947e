"""What is deployed on Kubernetes: valid by the schemas, confined, stopped gently, scaled by one number.

An overlay is its base and components, and files of its own beside them; there are no patches, so what it deploys is the
sum of the files. Where `kubectl` is at hand, its kustomize says so too.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from deploy.kubernetes.rules import MADE, RULES, written
from rota.settings.settings import Settings
from tests.monitoring import names_in
from tests.unit.template.kubernetes_schemas import SCHEMAS
from tests.yaml_files import read_all_yaml, read_yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
#: The oldest and the newest that the schemas' package and we look at.
VERSIONS = ("1.29.0", kubernetes_validate.latest_version())
COMPOSE: dict[str, Any] = read_yaml(ROOT / "docker-compose.prod.worker.yml")["services"]
KUBECTL = shutil.which("kubectl")
Resource = dict[str, Any]


def resources(folder: Path) -> list[Resource]:
    """Return what a kustomization deploys: its own files and the files of the folders it names."""
    stated = read_yaml(folder / "kustomization.yaml")
    allowed = {"apiVersion", "kind", "resources", "components", "configMapGenerator", "labels", "images"}
    assert stated.keys() <= allowed, f"{folder.name}: this test does not know how to build all of it"
    found: list[Resource] = []
    for name in stated.get("resources", []) + stated.get("components", []):
        path = folder / name
        found += resources(path) if path.is_dir() else read_all_yaml(path)
    return found


BUILT = {name: resources(FOLDER / "overlays" / name) for name in OVERLAYS}
EVERY = {f"{one['kind']} {one['metadata']['name']}, {name}": one for name in OVERLAYS for one in BUILT[name]}
BASE = {(one["kind"], one["metadata"]["name"]): one for one in resources(FOLDER / "base")}
WORKER, EXPORTER = BASE["Deployment", "rota-worker"], BASE["Deployment", "rota-exporter"]
DEPLOYMENTS = [pytest.param(one, id=one["metadata"]["name"]) for one in (WORKER, EXPORTER)]
ENV = dict(line.split("=", 1) for line in (FOLDER / "base" / "rota.env").read_text("utf-8").split())


def pod(deployment: Resource) -> dict[str, Any]:
    return dict(deployment["spec"]["template"]["spec"])


def container(deployment: Resource) -> dict[str, Any]:
    (only,) = pod(deployment)["containers"]
    return dict(only)


def valid(one: Resource) -> None:
    if one["kind"] in SCHEMAS:
        jsonschema.Draft202012Validator(SCHEMAS[one["kind"]]).validate(one)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_overlays_are_the_three_ways_to_scale() -> None:
    assert OVERLAYS == ["hpa", "keda-metrics-api", "keda-prometheus"]


@pytest.mark.parametrize("name", EVERY)
def test_a_resource_is_valid(name: str) -> None:
    valid(EVERY[name])


@pytest.mark.skipif(
    KUBECTL is None, reason="kubectl is not on PATH; its files are checked by the other tests"
)
@pytest.mark.parametrize("name", OVERLAYS)
def test_kustomize_builds_the_same_and_it_is_valid(name: str) -> None:
    command = [str(KUBECTL), "kustomize", str(FOLDER / "overlays" / name)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    built = list(yaml.safe_load_all(ran.stdout))
    for one in built:
        valid(one)
    generated = {("ConfigMap", one["metadata"]["name"]) for one in built if one["kind"] == "ConfigMap"}
    said = {(one["kind"], one["metadata"]["name"]) for one in built}
    assert said - generated == {(one["kind"], one["metadata"]["name"]) for one in BUILT[name]}
    ((_, config),) = generated
    for one in built:
        if one["kind"] == "Deployment":
            assert container(one)["envFrom"] == [{"configMapRef": {"name": config}}]
            assert container(one)["image"] == "rota-worker:0.1.0"


def test_a_misspelt_field_would_be_found() -> None:
    wrong = json.loads(json.dumps(WORKER))
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 345
    with pytest.raises(kubernetes_validate.ValidationError):
        valid(wrong)
    scaled = json.loads(
        json.dumps(next(one for one in BUILT["keda-prometheus"] if one["kind"] == "ScaledObject"))
    )
    scaled["spec"]["triggers"][0]["metadata"]["treshold"] = "1"
    with pytest.raises(jsonschema.ValidationError):
        valid(scaled)


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_a_pod_is_confined_as_the_container_is_on_compose(deployment: Resource) -> None:
    stated, inner = pod(deployment)["securityContext"], container(deployment)["securityContext"]
    compose = COMPOSE[container(deployment)["name"]]
    assert stated["runAsNonRoot"] is True
    assert (stated["runAsUser"], stated["seccompProfile"]) == (10001, {"type": "RuntimeDefault"})
    assert inner["readOnlyRootFilesystem"] is compose["read_only"] is True
    assert inner["capabilities"] == {"drop": compose["cap_drop"]}
    assert (inner["allowPrivilegeEscalation"], inner["privileged"]) == (False, False)
    assert pod(deployment)["automountServiceAccountToken"] is False
    assert pod(deployment)["shareProcessNamespace"] is compose["init"] is True
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod(deployment).keys()
    assert container(deployment)["resources"]["limits"].keys() == {"cpu", "memory"}
    assert {volume["name"] for volume in pod(deployment)["volumes"] if "emptyDir" in volume} == {"tmp"}


def test_a_worker_may_finish_its_jobs_before_it_is_killed() -> None:
    drain = float(ENV["DRAIN_TIMEOUT"])
    assert drain == COMPOSE["worker"]["environment"]["DRAIN_TIMEOUT"]
    assert Settings().job_timeout < drain
    assert drain + 10 <= pod(WORKER)["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_alive_is_asked_of_the_process_and_ready_of_its_work(deployment: Resource) -> None:
    one = container(deployment)
    asked = {kind: one[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness", "startup")}
    assert asked == {"liveness": "/healthz", "readiness": "/readyz", "startup": "/healthz"}
    (port,) = one["ports"]
    assert {one[f"{kind}Probe"]["httpGet"]["port"] for kind in asked} == {port["name"]}
    assert port["containerPort"] == Settings().metrics_port


def test_a_blocked_worker_ends_by_itself_and_says_why_before_it_is_killed() -> None:
    probe = container(WORKER)["livenessProbe"]
    assert probe["periodSeconds"] * (probe["failureThreshold"] - 1) > Settings().loop_block_limit


def test_every_variable_is_one_that_we_know() -> None:
    known = {name.upper() for name in Settings.model_fields}
    assert {name.removesuffix("_FILE") for name in ENV} <= known
    for deployment in (WORKER, EXPORTER):
        (mode,) = container(deployment)["env"]
        assert mode == {"name": "MODE", "value": container(deployment)["name"]}


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_the_address_of_redis_is_a_file_and_no_variable(deployment: Resource) -> None:
    mounts = {mount["name"]: mount["mountPath"] for mount in container(deployment)["volumeMounts"]}
    (volume,) = (one for one in pod(deployment)["volumes"] if "secret" in one)
    assert ENV["REDIS_URL_FILE"] == f"{mounts[volume['name']]}/{volume['secret']['items'][0]['path']}"
    assert "secretKeyRef" not in json.dumps(deployment)


def test_selectors_select_the_pods_that_they_mean() -> None:
    labels = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"] for one in (WORKER, EXPORTER)
    }
    for one in EVERY.values():
        spec = one.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if selector:
            chosen = selector.get("matchLabels", selector)
            meant = next(name for name in labels if one["metadata"]["name"].startswith(name))
            assert chosen == labels[meant]


def test_nothing_sets_the_number_of_workers_but_what_scales_them() -> None:
    assert "replicas" not in WORKER["spec"]
    assert EXPORTER["spec"]["replicas"] == 1


def scaler(name: str) -> dict[str, Any]:
    (found,) = (one for one in BUILT[name] if one["kind"] in ("ScaledObject", "HorizontalPodAutoscaler"))
    return dict(found["spec"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_workers_come_at_once_and_go_slowly_under_every_scaler(name: str) -> None:
    spec = scaler(name)
    assert spec["scaleTargetRef"]["name"] == WORKER["metadata"]["name"]
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
    service = BASE["Service", "rota-exporter"]
    (port,) = service["spec"]["ports"]
    assert api["url"].startswith(f"http://{service['metadata']['name']}.")
    assert f":{port['port']}/scaling/" in api["url"]
    (metric,) = scaler("hpa")["metrics"]
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "1"}
    # The adapter's rule, in the guide.
    assert f"as: {metric['external']['metric']['name']}" in (FOLDER / "README.md").read_text("utf-8")


def test_the_rules_are_those_of_compose() -> None:
    assert MADE.read_text("utf-8") == written(), "make rules"
    groups = read_yaml(RULES)["groups"]
    assert read_yaml(MADE)["spec"]["groups"] == groups


def test_no_secret_is_in_these_files() -> None:
    assert not [one for one in EVERY.values() if one["kind"] == "Secret"]
