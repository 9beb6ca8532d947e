"""Every variable of `.env` beside the production compose file: it arrives as it is written, or is refused by name."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from dotenv import dotenv_values

from rota.settings.files import changed, misplaced
from rota.settings.load import load
from tests.container.engine import CommandFailed, Engine
from tests.container.stack import Stack, wait_until
from tests.files import ROOT

#: What `.env.example` shows of every variable; and of the sample jobs, a value that people have.
TEXT = (ROOT / ".env.example").read_text("utf-8")
SHOWN, OF_COMPOSE_ALONE = (
    dict(re.findall(r"^# ([A-Z][A-Z0-9_]*)=(.*)$", part, re.M))
    for part in (
        TEXT[: TEXT.index("# -- docker-compose.prod")],
        TEXT[TEXT.index("# -- docker-compose.prod") :],
    )
)
SHOWN["SMTP_PASSWORD"] = "pass word"
#: The services of the application, each with what it has of its own: in `.env` the API's port is the host's.
SERVICES = {
    "worker": set[str](),
    "exporter": {"MODE", "DRAIN_TIMEOUT"},
    "api": {"MODE", "API_PORT", "DRAIN_TIMEOUT"},
}
#: What Compose reads itself, with its own complaint of a wrong value.
OF_COMPOSE = {"API_PORT", "STOP_GRACE_PERIOD"}


@dataclass(frozen=True)
class Configured:
    """An `.env` as `docker compose config` takes it, and the sentences of `check` by variable."""

    services: Mapping[str, Any]
    refused: Mapping[str, str]

    def given(self, service: str) -> dict[str, str]:
        """Return the environment of a service."""
        return _environment(self.services[service])


def _environment(service: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value).replace("$$", "$") for name, value in service["environment"].items()}


@pytest.fixture(scope="module")
def configured(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that asks compose what it makes of an `.env`; equal ones once."""

    @cache
    def configure(text: str, *overlays: str) -> Configured:
        folder = tmp_path_factory.mktemp("env")
        file = folder / "docker-compose.prod.worker.yml"
        file.write_text((ROOT / file.name).read_text("utf-8"))
        (folder / ".env").write_text(text)
        files = [part for one in overlays for part in ("--file", str(ROOT / "deploy" / "compose" / one))]
        command = ("compose", "--file", file.name, *files, "--profile", "*", "config", "--format", "json")
        services = json.loads(engine.with_usual_ports().docker(*command, cwd=folder))["services"]
        written = {
            name: value or ""
            for name, value in dotenv_values(file.with_name(".env"), interpolate=False).items()
        }
        fixed: dict[str, str] = {}
        for argument in services["check"]["command"]:
            if argument.startswith("--fixed="):
                names, _, hint = argument.removeprefix("--fixed=").partition(":")
                fixed |= dict.fromkeys(names.split(","), hint.strip())
        said = [*misplaced({".env": written}, fixed), *changed(written, _environment(services["check"]))]
        return Configured(services, {sentence.split()[0]: sentence for sentence in reversed(said)})

    return configure


def written(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_a_variable_arrives_at_every_service_as_it_is_written_or_is_refused(
    configured: Any, name: str
) -> None:
    found: Configured = configured(written(SHOWN))
    for service, own in SERVICES.items():
        if name not in own and name not in found.refused:
            assert found.given(service)[name] == SHOWN[name], service
    if name == "API_PORT":
        (port,) = found.services["api"]["ports"]
        assert port["published"] == SHOWN[name]
    if name == "STOP_GRACE_PERIOD":
        assert found.services["worker"]["stop_grace_period"] == "5m45s"


def test_what_is_for_compose_alone_is_refused_nowhere_and_reaches_no_service(configured: Any) -> None:
    found: Configured = configured(written(OF_COMPOSE_ALONE))
    assert found.refused == {}
    for service in SERVICES:
        assert {found.given(service)[name] for name in OF_COMPOSE_ALONE} == {""}


def test_what_is_refused_has_a_place_in_the_compose_file(configured: Any) -> None:
    refused = set(configured(written(SHOWN)).refused)
    elsewhere = {
        name
        for name in SHOWN
        if name.startswith("REDIS_") and not name.startswith(("REDIS_DB", "REDIS_SSL_"))
    }
    # As `.env.example` shows them: for development, or with the ports of this machine.
    assert refused == elsewhere | {"APP_ENV", "METRICS_HOST", "API_HOST", "API_KEYS", "ENABLE_JOB_RUNNER"}
    assert set(configured("MODE=api\nMETRICS_PORT=9\nSECRETS_DIR=/x\n").refused) == {
        "MODE",
        "METRICS_PORT",
        "SECRETS_DIR",
    }


@pytest.mark.parametrize("name", sorted(SHOWN.keys() - OF_COMPOSE))
def test_a_dollar_is_refused_by_name_and_arrives_in_single_quotes(configured: Any, name: str) -> None:
    names = SHOWN.keys() - OF_COMPOSE
    assert name in configured(written(dict.fromkeys(names, "1ab$cd"))).refused
    quoted = configured(written(dict.fromkeys(names, "'1ab$cd'")))
    assert name in quoted.refused or quoted.given("worker")[name] == "1ab$cd"


#: What may say where a Redis elsewhere is, as the head of its overlay lists it, and what is then known of the address.
ELSEWHERE = {
    "REDIS_URL=rediss://shop:secret@redis.example:6390/2\n": "rediss://shop:***@redis.example:6390/2",
    "REDIS_HOST=redis.example\nREDIS_SSL=true\nREDIS_PASSWORD=secret\n": "rediss://:***@redis.example:6379/0",
    "REDIS_SENTINELS=a:26379,b:26379\nREDIS_SENTINEL_MASTER=mymaster\nREDIS_PASSWORD=secret\n"
    "REDIS_SENTINEL_PASSWORD=another\n": "redis+sentinel://:***@a:26379,b:26379/mymaster/0",
}


@pytest.mark.parametrize("text", ELSEWHERE)
def test_a_redis_elsewhere_is_said_by_a_url_by_parts_or_by_sentinels(configured: Any, text: str) -> None:
    found: Configured = configured(text, "redis-elsewhere.yml")
    assert found.refused == {}
    for service in SERVICES:
        given = found.given(service).items()
        where = load({name: value for name, value in given if name.startswith("REDIS_")}).redis
        assert where is not None
        assert where.safe_url == ELSEWHERE[text]
    assert found.services.keys().isdisjoint({"redis", "redis-password"})
    assert "postgres" in found.services


def test_both_servers_may_be_elsewhere_and_what_is_left_is_the_same(configured: Any) -> None:
    here: Configured = configured("")
    found: Configured = configured("", "redis-elsewhere.yml", "postgres-elsewhere.yml")
    gone = {"redis", "redis-password", "postgres", "postgres-password"}
    assert here.services.keys() - found.services.keys() == gone
    for service in SERVICES:
        was, now = here.services[service], found.services[service]
        assert now["extra_hosts"] == ["host.docker.internal=host-gateway"]
        assert set(was["depends_on"]) - set(now["depends_on"]) == {"redis"}
        kinds = {mount["target"]: mount["type"] for mount in now["volumes"]}
        assert kinds.items() >= {
            ("/run/redis", "tmpfs"),
            ("/run/postgres", "tmpfs"),
            ("/run/secrets", "volume"),
        }
        for same in ("read_only", "cap_drop", "networks", "env_file", "deploy", "stop_grace_period"):
            assert now.get(same) == was.get(same)
        of_redis = {"REDIS_HOST", "REDIS_USERNAME", "REDIS_PASSWORD_FILE"}
        assert was["environment"].keys() - now["environment"].keys() == of_redis


@pytest.fixture
def site(stack: Stack) -> Iterator[Stack]:
    """Yield the stack, for an `.env` of the test's own."""
    file = stack.folder / ".env"
    before = file.read_text()
    yield stack
    file.write_text(before)


def test_what_an_operator_may_set_is_in_force_in_the_containers(site: Stack) -> None:
    (site.folder / ".env").write_text(
        "HEALTH_FILE=/tmp/rota-healthy\nDRAIN_TIMEOUT=40\nSTOP_GRACE_PERIOD=60s\nMETRICS_PORT=9464\n"
        "SMTP_PASSWORD='ab$cd'\nSMTP_USERNAME=\"a b\" # us\nLEASE=5\n"
    )
    site.up(1)
    (worker,) = site.ids("worker")
    wait_until(lambda: site.health(worker) == "healthy", "the worker is well by its own file")
    assert site.inspect(worker)["Config"]["StopTimeout"] == 60
    read = "import os; print(os.environ['SMTP_USERNAME'], os.environ['SMTP_PASSWORD'])"
    assert site.compose("exec", "-T", "worker", "python", "-c", read) == "a b ab$cd"
    said = site.compose("exec", "-T", "worker", "rota", "doctor", "--json")
    assert not [
        one for one in json.loads(said) if one["about"] in (".env", "settings") and one["level"] == "error"
    ]


def test_what_cannot_work_fails_the_start_and_is_said(site: Stack) -> None:
    (site.folder / ".env").write_text(
        "REDIS_URL=redis://localhost:6379/0\nSMTP_PASSWORD=ab$cd\nDRAIN_TIMEOUT=600\nQUEUE_CONCURRENCY=many\n"
    )
    with pytest.raises(CommandFailed, match='service "check" didn\'t complete successfully: exit 1'):
        site.up(1)
    said = site.compose("logs", "--no-log-prefix", "check")
    for sentence in (
        "REDIS_URL is in .env, and what starts this process sets it: this stack brings its own Redis",
        "SMTP_PASSWORD has a $ in .env, which Docker Compose takes for another variable",
        "QUEUE_CONCURRENCY is 'many'; it must be a whole number",
    ):
        assert sentence in said
