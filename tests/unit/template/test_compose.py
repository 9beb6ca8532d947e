"""The Compose files: what they promise of safety and shutdown is written in them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rota.settings.settings import Settings
from rota.units import parse_duration

ROOT = Path(__file__).parents[3]
REDIS = ROOT / "deploy" / "redis"
PRODUCTION: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.prod.worker.yml").read_text("utf-8"))
DEVELOPMENT: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = PRODUCTION["services"]
WORKER, SERVER = SERVICES["worker"], SERVICES["redis"]
BOX = (
    "Dockerfile.worker",
    ".dockerignore",
    "docker-compose.prod.worker.yml",
    "docker-compose.yml",
    *sorted(f"deploy/redis/{file.name}" for file in REDIS.iterdir()),
)


def bytes_of(text: str) -> int:
    units = {"m": 1024**2, "g": 1024**3}
    number = text.lower().removesuffix("b")
    return int(number[:-1]) * units[number[-1]]


# Production


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"privileged", "cap_add", "pid", "devices"}.isdisjoint(service)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert "docker.sock" not in json.dumps(service)


@pytest.mark.parametrize("name", [name for name in SERVICES if "build" in SERVICES[name]])
def test_an_image_is_built_with_the_version_of_the_code(name: str) -> None:
    assert SERVICES[name]["build"]["args"] == {"VERSION": "${APP_VERSION:-unreleased}"}


@pytest.mark.parametrize("name", [name for name in SERVICES if "build" not in SERVICES[name]])
def test_every_image_has_a_version(name: str) -> None:
    assert re.fullmatch(r"[a-z/-]+:v?\d[\w.-]*", SERVICES[name]["image"])


@pytest.mark.parametrize("name", [name for name in SERVICES if not name.endswith("-password")])
def test_what_serves_comes_back_and_has_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert {"memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()


def test_the_worker_scales() -> None:
    assert {"container_name", "hostname", "ports"}.isdisjoint(WORKER)
    assert "replicas" not in WORKER["deploy"]


def test_a_worker_may_finish_its_jobs_before_it_is_killed() -> None:
    drain, grace = WORKER["environment"]["DRAIN_TIMEOUT"], parse_duration(WORKER["stop_grace_period"])
    assert Settings().job_timeout < drain
    assert drain + 10 <= grace


def test_a_worker_can_be_stopped_while_it_boots() -> None:
    assert WORKER["init"] is True


@pytest.mark.parametrize("name", ["worker", "exporter"])
def test_every_variable_of_ours_is_one_that_it_knows(name: str) -> None:
    known = {name.upper() for name in Settings.model_fields}
    assert {name.removesuffix("_FILE") for name in SERVICES[name]["environment"]} <= known


def test_who_wants_no_monitoring_has_none() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    monitoring = {name for name, needed in profiles.items() if needed == ["monitoring"]}
    assert monitoring == {"exporter", "prometheus", "grafana"}


def test_who_wants_no_database_has_none() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert {name for name, needed in profiles.items() if needed == ["postgres"]} == {
        "postgres",
        "postgres-password",
    }
    assert "postgres" not in WORKER["depends_on"]


def test_the_database_is_on_a_network_without_a_way_out_and_its_password_in_a_file() -> None:
    database = SERVICES["postgres"]
    assert database["networks"] == ["postgres"]
    assert PRODUCTION["networks"]["postgres"] == {"internal": True}
    made = (ROOT / "deploy" / "postgres" / "make-password").read_text("utf-8")
    assert f"password={database['environment']['POSTGRES_PASSWORD_FILE']}\n" in made
    for service in (WORKER, database):
        assert "postgres-password:/run/postgres:ro" in service["volumes"]
    assert "POSTGRES_PASSWORD" not in database["environment"]
    user = database["environment"]["POSTGRES_USER"]
    assert f"postgresql://{user}:%s@postgres:5432/{database['environment']['POSTGRES_DB']}" in made


def test_the_exporter_is_the_worker_in_another_mode() -> None:
    exporter = SERVICES["exporter"]
    for same in ("build", "env_file", "depends_on", "networks", "init", "volumes"):
        assert exporter[same] == WORKER[same]
    differs = {"MODE": "exporter"}
    shared = {name: value for name, value in WORKER["environment"].items() if name != "DRAIN_TIMEOUT"}
    assert exporter["environment"] == shared | differs


def test_what_monitors_does_not_reach_redis() -> None:
    for name in ("prometheus", "grafana"):
        assert SERVICES[name]["networks"] == ["default"]


def test_grafana_shows_dashboards_and_has_no_login() -> None:
    grafana = SERVICES["grafana"]
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert grafana["environment"]["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    mounted = {volume["target"]: ROOT / volume["source"] for volume in grafana["volumes"]}
    provider = yaml.safe_load(
        (mounted["/etc/grafana/provisioning"] / "dashboards" / "rota.yml").read_text("utf-8")
    )
    folder = provider["providers"][0]["options"]["path"]
    assert len(list(mounted[folder].glob("*.json"))) == 4
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (mounted[str(home.parent)] / home.name).is_file()


def test_the_worker_is_started_after_redis_and_outlives_its_restart() -> None:
    assert WORKER["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_a_development_env_file_cannot_make_the_worker_anything_else() -> None:
    assert WORKER["env_file"] == [{"path": ".env", "required": False}]
    assert {"APP_ENV": "production", "MODE": "worker"}.items() <= WORKER["environment"].items()


def test_redis_is_on_a_network_without_a_way_out() -> None:
    (network,) = SERVER["networks"]
    assert PRODUCTION["networks"][network] == {"internal": True}
    assert network in WORKER["networks"]


def test_the_password_of_redis_is_in_a_file_that_workers_cannot_write() -> None:
    file = WORKER["environment"]["REDIS_PASSWORD_FILE"]
    folder = str(Path(file).parent)
    for script in ("make-password", "start", "ping"):
        assert file in (REDIS / script).read_text("utf-8")
    for service in (WORKER, SERVER):
        assert f"redis-password:{folder}:ro" in service["volumes"]
    assert "PASSWORD" not in json.dumps(SERVER.get("environment", {}))
    assert "REDIS_PASSWORD" not in WORKER["environment"]


def test_redis_keeps_every_job_and_refuses_when_it_is_full() -> None:
    lines = (REDIS / "redis.conf").read_text("utf-8").splitlines()
    stated = dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))
    assert stated["appendonly"] == "yes"
    assert stated["appendfsync"] == "everysec"
    assert stated["maxmemory-policy"] == "noeviction"
    assert 2 * bytes_of(stated["maxmemory"]) <= bytes_of(SERVER["deploy"]["resources"]["limits"]["memory"])
    assert "redis-data:/data" in SERVER["volumes"]
    assert stated["dir"] == "/data"


def test_the_worker_has_a_user_of_its_own_with_no_dangerous_commands() -> None:
    users = re.findall(r"^user (\S+) (.*)$", (REDIS / "start").read_text("utf-8"), re.MULTILINE)
    rules = {name: rule.split() for name, rule in users}
    worker = rules[WORKER["environment"]["REDIS_USERNAME"]]
    assert worker.index("+@all") < worker.index("-@dangerous")
    assert rules["default"][0] == "off"
    # Without rights, the default user cannot read back the append-only file: Redis starts empty.
    assert {"~*", "+@all"} <= set(rules["default"])


@pytest.mark.parametrize("script", ["make-password", "start", "ping"])
def test_the_scripts_are_shell(script: str) -> None:
    assert subprocess.run(["/bin/sh", "-n", REDIS / script], check=False).returncode == 0


# Development, and all of it


def test_development_is_open_to_this_machine_alone() -> None:
    for service in DEVELOPMENT["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_jobs_of_development_outlive_a_restart() -> None:
    server = DEVELOPMENT["services"]["redis"]
    assert {"--appendonly yes", "--maxmemory-policy noeviction"} <= set(server["command"])
    assert "redis-data:/data" in server["volumes"]


def test_the_two_stacks_do_not_mix() -> None:
    assert PRODUCTION["name"] != DEVELOPMENT["name"]


@pytest.mark.parametrize("name", BOX)
def test_no_machine_index_or_proxy_is_named(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert not re.findall(
        r"https?://|index-url|find-links|trusted-host|_proxy\b|\bproxy\b", text, re.IGNORECASE
    )
