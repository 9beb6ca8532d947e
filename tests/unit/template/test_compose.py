"""The Compose files: what they promise of safety and shutdown is written in them."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rota.api.process import DRAIN
from rota.fleet.heartbeat import DRAINING
from rota.model.access.keys import AccessKey, Scope, parts_of
from rota.settings.load import load
from rota.settings.settings import Settings
from rota.units import parse_duration
from tests.processes import environment
from tests.yaml_files import filled, read_yaml

ROOT = Path(__file__).parents[3]
REDIS = ROOT / "deploy" / "redis"
PRODUCTION: dict[str, Any] = read_yaml(ROOT / "docker-compose.prod.worker.yml")
DEVELOPMENT: dict[str, Any] = read_yaml(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = PRODUCTION["services"]
WORKER, SERVER, API = SERVICES["worker"], SERVICES["redis"], SERVICES["api"]
IMAGE = "${IMAGE:-${COMPOSE_PROJECT_NAME}-worker}:${TAG:-latest}"
WITH_A_PROFILE = {name for name, service in SERVICES.items() if "profiles" in service}
#: What runs our code.
OURS = ("worker", "api", "exporter")
OF_ITS_IMAGE = ("secrets", "check", "api-key", "postgres-password", "monitoring-files")
TEXT = (ROOT / "docker-compose.prod.worker.yml").read_text("utf-8")
#: What `.env` may say to Compose, and the defaults of what has one.
SAID_TO_COMPOSE = set(re.findall(r"\$\{([A-Z_]+)", TEXT)) | {"COMPOSE_FILE", "COMPOSE_PROFILES"}
DEFAULTS = dict(re.findall(r"\$\{([A-Z_]+):-([^${}]+)\}", TEXT))
#: What runs to its end at each `up`. All but the check read files of this folder, with whatever rights.
READERS = {name for name, service in SERVICES.items() if "restart" not in service}
BOX = (
    "Dockerfile.worker",
    ".dockerignore",
    "docker-compose.prod.worker.yml",
    "docker-compose.yml",
    *sorted(f"deploy/redis/{file.name}" for file in REDIS.iterdir()),
    "deploy/api/make-key",
    "deploy/secrets/hand-over",
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
    assert {"privileged", "pid", "devices"}.isdisjoint(service)
    # What hands files of this folder over reads those that only their owner may read.
    assert service.get("cap_add", []) == (["DAC_READ_SEARCH"] if name in READERS - {"check"} else [])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert "docker.sock" not in json.dumps(service)


def test_one_image_is_built_once_with_the_version_of_the_code() -> None:
    """Builds of several services would make images of several ids, and the next `up` would replace containers."""
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["secrets"]
    assert SERVICES["secrets"]["build"]["args"] == {
        "VERSION": "${APP_VERSION:-unreleased}",
        "REVISION": "${REVISION:-unknown}",
        **{name: f"${{{name}:-}}" for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")},
    }
    assert {name for name in SERVICES if SERVICES[name]["image"] == IMAGE} == {*OURS, *OF_ITS_IMAGE}


@pytest.mark.parametrize("name", [*OURS, *OF_ITS_IMAGE])
def test_an_image_of_that_name_is_not_fetched_from_a_registry_unless_that_is_said(name: str) -> None:
    assert SERVICES[name]["pull_policy"] == "${PULL_POLICY:-never}"


@pytest.mark.parametrize("name", [name for name in SERVICES if SERVICES[name]["image"] != IMAGE])
def test_every_other_image_has_a_version(name: str) -> None:
    assert re.fullmatch(r"[a-z/-]+:v?\d[\w.-]*", SERVICES[name]["image"])


def test_nothing_has_one_name_in_every_checkout() -> None:
    assert "name" not in PRODUCTION
    assert not [name for name, volume in PRODUCTION["volumes"].items() if volume]
    assert not [name for name, network in PRODUCTION["networks"].items() if network and "name" in network]
    assert not [name for name, service in SERVICES.items() if "container_name" in service]


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in READERS])
def test_what_serves_comes_back_and_has_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    limits = service["deploy"]["resources"]["limits"]
    assert {"memory", "pids"} <= limits.keys()
    # Or it could have as much again of the host's swap.
    assert service["memswap_limit"] == limits["memory"]
    # Or `up --wait` ends before it can be used.
    assert "healthcheck" in service or name == "worker"


def test_the_worker_scales() -> None:
    assert {"container_name", "hostname", "ports"}.isdisjoint(WORKER)
    assert WORKER["deploy"]["replicas"] == "${WORKERS:-1}"


@pytest.mark.parametrize("name", [*OURS, "check"])
def test_what_is_said_to_compose_alone_changes_no_container_of_ours(name: str) -> None:
    """A change of WORKERS in `.env` would replace all workers, if it were theirs, or the check's before them."""
    emptied = {name for name, value in SERVICES[name]["environment"].items() if value == ""}
    assert emptied == SAID_TO_COMPOSE - {name.upper() for name in Settings.model_fields}
    # None of them is taken for a slip of ours, which would stop the boot.
    assert load({}).redis == load(dict.fromkeys(emptied, "")).redis


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_what_may_be_said_to_compose_is_in_the_example_with_its_default(name: str) -> None:
    shown = re.search(rf"^# {name}=(.*)$", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
    assert shown
    if name not in {field.upper() for field in Settings.model_fields}:
        assert shown[1] == DEFAULTS[name]


def test_no_port_of_this_host_is_one_of_development() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    defaults = [DEFAULTS[name] for name in re.findall(r"\{([A-Z_]+):-(?=\d)", " ".join(published))]
    assert len(defaults) == len(published) == len(set(defaults))
    development = [
        port.split(":")[1] for one in DEVELOPMENT["services"].values() for port in one.get("ports", [])
    ]
    ours = {str(Settings().metrics_port), str(Settings().api_port), *development}
    assert not ours & set(defaults)


def test_a_worker_may_finish_its_jobs_before_it_is_killed() -> None:
    given = WORKER["environment"]
    drain, grace = (parse_duration(filled(given[name])) for name in ("DRAIN_TIMEOUT", "STOP_GRACE_PERIOD"))
    assert given["STOP_GRACE_PERIOD"] == WORKER["stop_grace_period"]
    assert Settings().job_timeout < drain
    assert drain + 10 <= grace


def test_redis_outlasts_the_workers_and_systemd_both() -> None:
    start, grace = (REDIS / "start").read_text("utf-8"), parse_duration(SERVER["stop_grace_period"])
    waits, writes = (int(seconds) for seconds in re.findall(r"^(?:waits|writes)=(\d+)", start, re.MULTILINE))
    drains = parse_duration(filled(WORKER["stop_grace_period"]))
    assert 10 * drains < waits < waits + writes < grace
    patience = (ROOT / "deploy/systemd/docker.service.d/patience.conf").read_text("utf-8")
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", patience, re.MULTILINE)[0]) > drains + writes
    assert f" name={DRAINING} " in start


def test_a_worker_can_be_stopped_while_it_boots() -> None:
    assert WORKER["init"] is True


@pytest.mark.parametrize("name", ["worker", "exporter", "api"])
def test_every_variable_of_ours_is_one_that_it_knows(name: str) -> None:
    known = {name.upper() for name in Settings.model_fields}
    told = [name for name, value in SERVICES[name]["environment"].items() if value != ""]
    assert {name.removesuffix("_FILE") for name in told} <= known


def test_who_wants_no_monitoring_has_none() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    monitoring = {name for name, needed in profiles.items() if needed == ["monitoring"]}
    assert monitoring == {"prometheus", "grafana", "monitoring-files"}


def test_who_wants_no_database_has_none() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert {name for name, needed in profiles.items() if needed == ["postgres"]} == {"postgres"}
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
    for same in ("image", "env_file", "depends_on", "networks", "init", "volumes"):
        assert exporter[same] == WORKER[same]
    differs = {"MODE": "exporter"}
    ends = {"DRAIN_TIMEOUT", "STOP_GRACE_PERIOD"}
    shared = {name: value for name, value in WORKER["environment"].items() if name not in ends}
    assert exporter["environment"] == shared | differs


def test_without_a_profile_there_is_all_that_a_deployment_needs() -> None:
    needed = {*OURS, *OF_ITS_IMAGE, "redis", "redis-password"} - WITH_A_PROFILE
    assert SERVICES.keys() - WITH_A_PROFILE == needed


def test_the_api_is_the_worker_in_another_mode() -> None:
    for same in ("image", "env_file", "networks", "init"):
        assert API[same] == WORKER[same]
    own = {"MODE", "API_HOST", "API_PORT", "API_KEYS_FILE", "ENABLE_JOB_RUNNER"}
    shared = {name: value for name, value in API["environment"].items() if name not in own}
    others = {"MODE", "METRICS_HOST", "METRICS_PORT", "DRAIN_TIMEOUT", "STOP_GRACE_PERIOD"}
    assert shared == {name: value for name, value in WORKER["environment"].items() if name not in others}
    assert set(WORKER["volumes"]) < set(API["volumes"])
    assert API["environment"]["ENABLE_JOB_RUNNER"] == "false"


def test_the_api_listens_where_its_check_and_its_port_lead() -> None:
    port = API["environment"]["API_PORT"]
    assert API["environment"]["API_HOST"] == "0.0.0.0"
    assert API["ports"] == [f"127.0.0.1:${{API_PORTS:-${{API_PORT:-18000}}}}:{port}"]
    assert f'"localhost", {port}' in API["healthcheck"]["test"][-1]
    assert "/healthz" in API["healthcheck"]["test"][-1]


def test_the_api_may_end_its_requests_before_it_is_killed() -> None:
    assert parse_duration(API["stop_grace_period"]) >= DRAIN + 2


def test_the_api_scales_over_a_range_of_ports() -> None:
    assert {"container_name", "hostname"}.isdisjoint(API)
    assert API["deploy"]["replicas"] == "${API_REPLICAS:-1}"


def test_the_key_of_the_api_is_made_before_its_start_and_comes_to_it_in_a_file() -> None:
    made, kept = SERVICES["api-key"], Path(API["environment"]["API_KEYS_FILE"])
    assert API["depends_on"]["api-key"] == {"condition": "service_completed_successfully"}
    assert made["entrypoint"][-2:] == [str(kept.parent), "/run/secrets/API_KEYS"]
    assert f"api-keys:{kept.parent}" in made["volumes"]
    assert f"api-keys:{kept.parent}:ro" in API["volumes"]
    assert made["network_mode"] == "none"
    # The API runs as another user, who cannot read the text of the key.
    assert (made["user"], API.get("user")) == ("root", None)


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """Make the command `rota`, in a folder of its own, as the image has it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "rota"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m rota "$@"\n')
    program.chmod(0o755)
    return program


def make_key(command: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script that makes a key in `folder`, by this command."""
    folder.mkdir(exist_ok=True)
    path = f"{command.parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", ROOT / "deploy" / "api" / "make-key", folder, folder.parent / "API_KEYS"],
        env=environment() | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_key_is_made_with_its_text_for_its_owner_alone_and_nothing_is_printed(
    command: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    ran = make_key(command, folder)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    text, kept = folder / "admin-key", folder / "keys"
    assert (text.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o600, 0o644)
    assert sorted(folder.iterdir()) == [text, folder / "all-keys", kept]
    parts = parts_of(text.read_text().strip())
    assert parts is not None
    key = AccessKey.of_stored(kept.read_text().strip())
    assert (key.id, key.scopes) == (parts[0], frozenset({Scope.ADMIN}))
    assert key.fits(parts[1], datetime.now(UTC))


def test_a_key_is_made_once_also_where_its_text_was_taken_away(command: Path, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    make_key(command, folder)
    before = (folder / "keys").read_text()
    (folder / "admin-key").unlink()
    assert make_key(command, folder).returncode == 0
    assert sorted(file.name for file in folder.iterdir()) == ["all-keys", "keys"]
    assert (folder / "keys").read_text() == before


def test_keys_of_the_operator_s_own_are_given_beside_the_one_that_is_made(
    command: Path, tmp_path: Path
) -> None:
    own = f"k3Xw9QpT:{'4f' * 32}:read+enqueue"
    (tmp_path / "API_KEYS").write_text(f"{own}\n")
    folder = tmp_path / "keys"
    make_key(command, folder)
    made = (folder / "keys").read_text()
    assert (folder / "all-keys").read_text() == f"{made}{own}\n"
    (tmp_path / "API_KEYS").unlink()
    make_key(command, folder)
    assert (folder / "all-keys").read_text() == made


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("echo 'rota: no room' >&2; exit 1", "rota: no room"),
        ("echo rota_the_text", "api: `rota keys make --stored` did not say what is kept of the key it made"),
    ],
)
def test_a_key_that_cannot_be_made_is_said_and_makes_no_half_of_one(
    command: Path, tmp_path: Path, program: str, reason: str
) -> None:
    command.write_text(f"#!/bin/sh\n{program}\n")
    ran = make_key(command, tmp_path / "keys")
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", f"{reason}\n")
    assert not {"keys", "admin-key"} & {file.name for file in (tmp_path / "keys").iterdir()}


def test_what_monitors_does_not_reach_redis() -> None:
    for name in ("prometheus", "grafana"):
        assert SERVICES[name]["networks"] == ["default"]


def test_grafana_shows_dashboards_and_has_no_login() -> None:
    grafana = SERVICES["grafana"]
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert grafana["environment"]["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert grafana["volumes"] == ["monitoring-files:/etc/rota:ro"]

    def handed_over(path: str) -> Path:
        return ROOT / "deploy" / Path(path).relative_to("/etc/rota")

    provider = read_yaml(
        handed_over(grafana["environment"]["GF_PATHS_PROVISIONING"]) / "dashboards" / "rota.yml"
    )
    folder = handed_over(provider["providers"][0]["options"]["path"])
    assert len(list(folder.glob("*.json"))) == 4
    assert handed_over(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).parent == folder


def test_the_worker_is_started_after_redis_and_outlives_its_restart() -> None:
    assert WORKER["depends_on"] == {
        "redis": {"condition": "service_healthy"},
        "check": {"condition": "service_completed_successfully"},
    }
    assert SERVICES["check"]["environment"] == WORKER["environment"]
    # Compose replaces what depends on a service that it replaces, so a profile changes nothing here.
    assert SERVICES["check"]["depends_on"].keys().isdisjoint(WITH_A_PROFILE)


def test_a_development_env_file_cannot_make_the_worker_anything_else() -> None:
    assert WORKER["env_file"] == [{"path": ".env", "required": False}]
    assert {"APP_ENV": "production", "MODE": "worker"}.items() <= WORKER["environment"].items()


def test_redis_is_on_a_network_without_a_way_out() -> None:
    (network,) = SERVER["networks"]
    assert PRODUCTION["networks"][network] == {"internal": True}
    assert network in WORKER["networks"]


def test_the_password_of_redis_is_in_a_file_that_workers_cannot_write() -> None:
    file = WORKER["environment"]["REDIS_PASSWORD_FILE"]
    for script in ("make-password", "start", "ping"):
        assert file in (REDIS / script).read_text("utf-8")


def test_redis_runs_what_was_handed_to_it_and_mounts_nothing_of_the_host() -> None:
    volumes = dict(volume.split(":", 1) for volume in SERVER["volumes"])
    assert volumes["redis-scripts"] == "/etc/redis:ro"
    assert volumes.keys() == {"redis-data", "redis-password", "redis-scripts"}


def test_the_password_of_redis_is_shown_nowhere() -> None:
    folder = str(Path(WORKER["environment"]["REDIS_PASSWORD_FILE"]).parent)
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


@pytest.mark.parametrize("script", ["make-password", "start", "ping", "admin"])
def test_the_scripts_are_shell(script: str) -> None:
    assert subprocess.run(["/bin/sh", "-n", REDIS / script], check=False).returncode == 0


# Development, and all of it


def test_development_is_open_to_this_machine_alone() -> None:
    for service in DEVELOPMENT["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_a_worker_of_development_is_built_as_in_production_and_takes_changes_of_jobs() -> None:
    worker = DEVELOPMENT["services"]["worker"]
    assert worker["profiles"] == ["app"]
    assert worker["build"]["dockerfile"] == SERVICES["secrets"]["build"]["dockerfile"]
    watched = {one["path"]: one for one in worker["develop"]["watch"]}
    assert watched["./src/jobs"]["action"] == "sync+restart"
    assert "/app/src" in (ROOT / "Dockerfile.worker").read_text("utf-8")
    assert all((ROOT / path).exists() for path in watched)


def test_jobs_of_development_outlive_a_restart() -> None:
    server = DEVELOPMENT["services"]["redis"]
    assert {"--appendonly yes", "--maxmemory-policy noeviction"} <= set(server["command"])
    assert "redis-data:/data" in server["volumes"]


def test_the_two_stacks_do_not_mix() -> None:
    """The production stack is the project of the folder's name, and that of development is not."""
    assert "name" in DEVELOPMENT
    assert "name" not in PRODUCTION


@pytest.mark.parametrize("name", BOX)
def test_no_machine_index_or_proxy_is_named(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert not re.findall(
        r"https?://|index-url|find-links|trusted-host|_proxy\b|\bproxy\b", text, re.IGNORECASE
    )
