"""The manifests: valid on each version of Kubernetes, confined, stopped gently, and in accord with the code."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from rota.api.process import DRAIN
from rota.settings.settings import Settings
from tests.template.kubernetes.built import (
    FOLDER,
    ROOT,
    WAYS,
    Resource,
    container,
    environment,
    named,
    of_rota,
    pod,
    way,
)
from tests.template.kubernetes.restricted import offences
from tests.template.kubernetes.schemas import SCHEMAS
from tests.yaml_files import read_yaml

#: From the oldest that the schemas' package has to the newest.
OLDEST, NEWEST = 29, int(kubernetes_validate.latest_version().split(".")[1])
COMPOSE: dict[str, Any] = read_yaml(ROOT / "docker-compose.prod.worker.yml")["services"]
#: The way in which all of it is deployed, and the pods there.
FULL = way("keda-prometheus")
PODS = tuple(sorted(of_rota(FULL)))
WORKER = named(FULL, "Deployment", "rota-worker")


def valid(one: Resource, oldest: int = OLDEST) -> None:
    if one["kind"] in SCHEMAS:
        jsonschema.Draft202012Validator(SCHEMAS[one["kind"]]).validate(one)
        return
    for minor in range(oldest, NEWEST + 1):
        kubernetes_validate.validate(one, f"1.{minor}.0", strict=True)


def test_all_that_is_deployed_is_valid_on_each_version() -> None:
    known = {json.dumps(one, sort_keys=True): one for name in WAYS for one in way(name)}
    assert len(known) > 30
    for one in known.values():
        valid(one)


def test_a_misspelt_field_would_be_found() -> None:
    wrong = copy.deepcopy(WORKER)
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 345
    with pytest.raises(kubernetes_validate.ValidationError):
        valid(wrong)
    scaled = copy.deepcopy(named(FULL, "ScaledObject", "rota-worker"))
    scaled["spec"]["triggers"][0]["metadata"]["treshold"] = "1"
    with pytest.raises(jsonschema.ValidationError):
        valid(scaled)


@pytest.mark.parametrize("name", WAYS)
def test_all_of_it_lies_in_one_namespace_which_refuses_pods_with_more_rights(name: str) -> None:
    namespace = named(way(name), "Namespace", "rota")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [one["metadata"].get("namespace") for one in way(name) if one["kind"] != "Namespace"]
    assert set(others) == {"rota"}


@pytest.mark.parametrize("name", WAYS)
def test_pods_pass_the_restricted_standard(name: str) -> None:
    running = [one for one in way(name) if one["kind"] in ("Deployment", "StatefulSet")]
    assert len(running) >= 3
    for one in running:
        assert offences(pod(one)) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"securityContext": {}}, "runAsNonRoot"),
        ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "hostPath"),
    ],
)
def test_a_pod_with_more_rights_would_be_found(change: dict[str, Any], says: str) -> None:
    assert says in "".join(offences({**pod(WORKER), **change}))


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_confined_as_its_container_is_on_compose(name: str) -> None:
    one = container(named(FULL, "Deployment", name))
    compose = COMPOSE[one["name"]]
    assert one["securityContext"]["readOnlyRootFilesystem"] is compose["read_only"] is True
    assert one["securityContext"]["capabilities"] == {"drop": compose["cap_drop"]}
    described = pod(named(FULL, "Deployment", name))
    assert described["securityContext"]["runAsUser"] == 10001
    assert described["automountServiceAccountToken"] is described["enableServiceLinks"] is False
    assert described["shareProcessNamespace"] is compose["init"] is True
    assert one["resources"]["limits"].keys() == {"cpu", "memory"}
    assert one["resources"]["requests"].keys() == {"cpu", "memory"}
    assert {volume["name"] for volume in described["volumes"] if "emptyDir" in volume} == {"tmp"}
    assert {mount["mountPath"] for mount in one["volumeMounts"]} == {"/run/secrets", "/tmp"}


@pytest.mark.parametrize("name", ["rota-worker", "rota-worker-reports"])
def test_a_worker_may_finish_its_jobs_before_it_is_killed(name: str) -> None:
    worker = named(FULL, "Deployment", name)
    drain = float(environment(FULL, worker)["DRAIN_TIMEOUT"])
    assert Settings().job_timeout < drain
    assert drain + 10 <= pod(worker)["terminationGracePeriodSeconds"]


def test_requests_may_end_before_the_api_is_killed() -> None:
    api = named(FULL, "Deployment", "rota-api")
    told, seconds = container(api)["lifecycle"]["preStop"]["exec"]["command"]
    assert told == "sleep"
    assert int(seconds) + DRAIN < pod(api)["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("name", PODS)
def test_probes_ask_the_port_on_which_the_process_answers(name: str) -> None:
    deployment = named(FULL, "Deployment", name)
    one, set_to = container(deployment), environment(FULL, deployment)
    asked = {kind: one[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness", "startup")}
    (port,) = one["ports"]
    assert {probe["port"] for probe in asked.values()} == {port["name"]}
    assert str(port["containerPort"]) == set_to["API_PORT" if name == "rota-api" else "METRICS_PORT"]
    assert asked["liveness"]["path"] == "/healthz"
    # The API itself says that Redis is away; but no release takes over that does not reach it.
    gate = "startup" if name == "rota-api" else "readiness"
    assert [kind for kind, probe in asked.items() if probe["path"] == "/readyz"] == [gate]


def test_a_blocked_worker_ends_by_itself_and_says_why_before_it_is_killed() -> None:
    probe = container(WORKER)["livenessProbe"]
    assert probe["periodSeconds"] * (probe["failureThreshold"] - 1) > Settings().loop_block_limit


@pytest.mark.parametrize("name", PODS)
def test_every_variable_is_one_that_we_know_and_no_secret(name: str) -> None:
    deployment = named(FULL, "Deployment", name)
    known = {field.upper(): field for field in Settings.model_fields}
    for variable in environment(FULL, deployment):
        assert variable in known
        assert "SecretStr" not in str(Settings.model_fields[known[variable]].annotation)
    assert environment(FULL, deployment)["MODE"] == container(deployment)["name"]
    assert "secretKeyRef" not in json.dumps(deployment)
    assert "secretRef" not in json.dumps(deployment)


def test_jobs_run_on_workers_alone() -> None:
    # Also in development, where the API would run them too.
    for name in ("example", "production"):
        api = named(way(name), "Deployment", "rota-api")
        assert environment(way(name), api)["ENABLE_JOB_RUNNER"] == "false"


@pytest.mark.parametrize("name", WAYS)
def test_selectors_select_the_pods_of_their_name_and_no_others(name: str) -> None:
    labels = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"]
        for one in way(name)
        if one["kind"] in ("Deployment", "StatefulSet")
    }
    for one in way(name):
        selector = one.get("spec", {}).get("selector")
        if selector and one["kind"] != "PodMonitor":
            chosen = selector.get("matchLabels", selector).items()
            meant = {pod_name for pod_name, has in labels.items() if chosen <= has.items()}
            assert meant == {one["metadata"]["name"]}, one["kind"]


def test_workers_and_the_api_are_spread_over_zones_and_machines() -> None:
    for name in ("rota-worker", "rota-worker-reports", "rota-api"):
        deployment = named(FULL, "Deployment", name)
        rules = pod(deployment)["topologySpreadConstraints"]
        keys = [rule["topologyKey"] for rule in rules]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        for rule in rules:
            assert rule["labelSelector"] == deployment["spec"]["selector"]


def test_every_service_leads_to_a_port_of_its_pods() -> None:
    for built in (FULL, way("example")):
        running = {
            one["metadata"]["name"]: container(one)
            for one in built
            if one["kind"] in ("Deployment", "StatefulSet")
        }
        services = [one for one in built if one["kind"] == "Service"]
        assert services
        for service in services:
            (leads,) = service["spec"]["ports"]
            (port,) = running[service["metadata"]["name"]]["ports"]
            assert (leads["targetPort"], leads["port"]) == (port["name"], port["containerPort"])
    (path,) = named(FULL, "Ingress", "rota-api")["spec"]["rules"][0]["http"]["paths"]
    backend = path["backend"]["service"]
    service = named(FULL, "Service", backend["name"])
    assert backend["port"]["name"] == service["spec"]["ports"][0]["name"]


def test_redis_of_the_example_keeps_its_jobs_as_that_of_compose_does() -> None:
    lines = (ROOT / "deploy" / "redis" / "redis.conf").read_text("utf-8").splitlines()
    conf = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    arguments = container(named(way("example"), "StatefulSet", "rota-redis"))["args"]
    given = {name.removeprefix("--"): value for name, value in zip(*[iter(arguments)] * 2, strict=True)}
    for name in ("appendonly", "appendfsync", "maxmemory-policy", "dir", "protected-mode"):
        assert given[name] == conf[name]
    assert given["save"] == conf["save"].strip('"') == ""


def versions_in(paths: list[Path]) -> dict[str, set[str]]:
    """Return which of the files say a version of the image, and which."""
    image = re.compile(r"(?:rota-worker:|newTag: \"?)(\d[\w.]*)")
    said = {str(path.relative_to(ROOT)): set(image.findall(path.read_text("utf-8"))) for path in paths}
    return {path: versions for path, versions in said.items() if versions}


def test_the_version_is_said_once() -> None:
    written = [path for path in FOLDER.rglob("*") if path.suffix in (".yaml", ".md", ".env")]
    said = versions_in([*written, *(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
    assert said == {"deploy/kubernetes/overlays/production/kustomization.yaml": {"1.0.0"}}
    images = {container(one)["image"] for one in of_rota(FULL).values()}
    assert images == {"registry.example.com/rota-worker:1.0.0"}
