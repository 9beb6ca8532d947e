"""Settings are read once and checked as a whole, and each problem is one line."""

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from rota.server.target import RedisTarget
from rota.settings import load as load_module
from rota.settings.load import ConfigError, Settings, load
from rota.settings.types import MODES

#: What a container has of a shell, Kubernetes, a platform, a CI runner and of other applications.
FOREIGN_TEXT = """
# shell and Python
HOME=/root PATH=/bin PWD=/ SHLVL=1 _=/usr/bin/env TERM=xterm LANG=C.UTF-8 LC_ALL=C TZ=UTC USER=rota
LOGNAME=rota SHELL=/bin/sh EDITOR=vi PAGER=less MAIL=/var/mail HOSTNAME=web-1 DISPLAY=:0 OLDPWD=/
PYTHONPATH=src PYTHONUNBUFFERED=1 VIRTUAL_ENV=/venv PIP_NO_CACHE_DIR=1 GPG_KEY=A0 PYTHON_VERSION=3.13
UV_CACHE_DIR=/c SSL_CERT_FILE=/ca SSL_CERT_DIR=/ http_proxy=http://p HTTPS_PROXY=http://p
no_proxy=localhost REQUESTS_CA_BUNDLE=/ca
# Kubernetes, with neighbours named redis, redis-master, redis-sentinel, queue, log, postgres and worker
KUBERNETES_SERVICE_HOST=10.0.0.1 KUBERNETES_SERVICE_PORT_HTTPS=443 POD_NAMESPACE=prod
REDIS_PORT=tcp://10.0.0.2:6379 REDIS_SERVICE_HOST=10.0.0.2 REDIS_SERVICE_PORT=6379
REDIS_PORT_6379_TCP=tcp://10.0.0.2:6379 REDIS_PORT_6379_TCP_ADDR=10.0.0.2 REDIS_PORT_6379_TCP_PROTO=tcp
REDIS_PORT_6379_TCP_PORT=6379 REDIS_SERVICE_PORT_REDIS=6379 REDIS_MASTER_PORT=tcp://10.0.0.3:6379
REDIS_MASTER_SERVICE_HOST=10.0.0.3 REDIS_SENTINEL_PORT=tcp://10.0.0.4:26379
REDIS_SENTINEL_SERVICE_HOST=10.0.0.4 QUEUE_PORT=tcp://10.0.0.5:80 QUEUE_SERVICE_HOST=10.0.0.5
LOG_PORT=udp://10.0.0.6:514 LOG_SERVICE_PORT_LEVEL=1 POSTGRES_PORT=tcp://10.0.0.7:5432
WORKER_PORT=tcp://10.0.0.8:80
# Kubernetes, with neighbours named rota, rota-redis, rota-metrics and rota-worker
ROTA_PORT=tcp://10.0.0.9:9464 ROTA_SERVICE_HOST=10.0.0.9 ROTA_SERVICE_PORT=9464 ROTA_SERVICE_PORT_METRICS=9464
ROTA_PORT_9464_TCP=tcp://10.0.0.9:9464 ROTA_REDIS_PORT=tcp://10.0.0.9:6379 ROTA_REDIS_SERVICE_HOST=10.0.0.9
ROTA_METRICS_PORT=tcp://10.0.0.9:9464 ROTA_METRICS_SERVICE_HOST=10.0.0.9 ROTA_WORKER_PORT=tcp://10.0.0.9:80
ROTA_IMAGE=x ROTA_VERSION=1 ROTA_HOME=/x
# docker links and hosting platforms
REDIS_NAME=/web/redis REDIS_ENV_REDIS_VERSION=7 REDIS_TLS_URL=rediss://x DYNO=web.1 REDISHOST=r
REDISPORT=1 REDISUSER=u REDISPASSWORD=p REDIS_PUBLIC_URL=redis://x REDISCLOUD_URL=redis://x
REDISTOGO_URL=redis://x PORT=8000 WEB_CONCURRENCY=2 RENDER_SERVICE_NAME=w FLY_APP_NAME=w FLY_REGION=ams
RAILWAY_ENVIRONMENT=prod
# CI runners and npm
CI=true GITHUB_ACTIONS=true GITHUB_JOB=test RUNNER_OS=Linux GITHUB_ENV=/e CI_JOB_TIMEOUT=3600
CI_JOB_NAME=test CI_ENVIRONMENT_NAME=prod JOB_NAME=x JOB_BASE_NAME=x JOB_URL=http://x BUILD_TIMEOUT=9
NODE_NAME=agent EXECUTOR_NUMBER=1 npm_config_loglevel=warn npm_package_name=x npm_lifecycle_event=test
NODE_ENV=production
# other applications
NODE=/bin/node MODEL=x APP_NAME=x APP_KEY=x APP_DEBUG=1 APP_URL=http://x DATABASE_NAME=x DATABASE_HOST=x
DB_HOST=x DB_PORT=1 LOGLEVEL=INFO LOG_FILE=x MAX_CONNECTIONS=5 MAX_RETRIES=3 MAX_POST=1 MAX_HOST=1
TRAIN_TIMEOUT=1 CELERY_BROKER_URL=redis://x CELERY_RESULT_BACKEND=x QUEUE_CONNECTION=redis RELEASE=1
AIRFLOW__CORE__EXECUTOR=x REDIS_CLIENT=phpredis REDIS_PREFIX=x REDIS_URL_CACHE=x
SENTRY_DEBUG=1 SENTRY_PROFILES_SAMPLE_RATE=1 OTEL_RESOURCE_ATTRIBUTES=x AWS_REGION=x SMTP_HOST=x COMPOSE_PROJECT_NAME=x
DOCKER_HOST=unix:///x HEALTH_URL=x SECRETS_PATH=x
"""
FOREIGN = dict(
    item.split("=", 1)
    for line in FOREIGN_TEXT.splitlines()
    if not line.startswith("#")
    for item in line.split()
)


def wrong(**env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(env)
    assert str(caught.value).splitlines() == list(caught.value.problems)
    return list(caught.value.problems)


def one_wrong(**env: str) -> str:
    (problem,) = wrong(**env)
    return problem


# Reading


def test_without_any_variable_the_defaults_hold_and_redis_is_embedded() -> None:
    settings = load({})
    assert settings.redis is None
    assert (settings.app_env, settings.mode, settings.log_format) == ("development", "worker", "console")
    assert (settings.max_attempts, settings.queue_concurrency, settings.lease) == (4, 10, 30.0)
    assert (settings.job_timeout, settings.keep_result, settings.dead_retention) == (
        300.0,
        3600.0,
        2_592_000.0,
    )


def test_a_variable_sets_the_field_of_its_name() -> None:
    settings = load(
        {
            **{"APP_ENV": "test", "MODE": "worker", "NAMESPACE": "shop", "JOBS_PACKAGE": "shop.jobs"},
            **{"QUEUE_CONCURRENCY": "20", "BACKOFF": "linear", "BACKOFF_FACTOR": "0.5", "LEASE": "10s"},
            **{"DEAD_RETENTION": "7d", "WORKER_QUEUES": "email, reports", "HEALTH_FILE": "/tmp/up"},
            **{"LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json", "UNKNOWN_DELAY": "500ms"},
        }
    )
    assert (settings.namespace, settings.jobs_package, settings.queue_concurrency) == (
        "shop",
        "shop.jobs",
        20,
    )
    assert (settings.backoff, settings.backoff_factor, settings.lease) == ("linear", 0.5, 10.0)
    assert (settings.dead_retention, settings.worker_queues) == (604_800.0, ("email", "reports"))
    assert (settings.health_file, settings.log_level) == (Path("/tmp/up"), "debug")
    assert (settings.log_format, settings.unknown_delay) == ("json", 0.5)


def test_every_size_may_carry_a_unit() -> None:
    settings = load({"PAYLOAD_LIMIT": "256KB", "RESULT_LIMIT": "2 MB", "RECYCLE_AFTER_MEMORY": "1g"})
    assert (settings.payload_limit, settings.result_limit) == (262_144, 2_097_152)
    assert settings.recycle_after_memory == 1_073_741_824


def test_a_line_of_the_env_file_that_cannot_be_read_stops_the_boot(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# ours\nREDIS_URL: redis://:s3cr3t@cache\n")
    with pytest.raises(ConfigError) as caught:
        load({}, env_file=path)
    assert caught.value.problems == (
        f"{path}, line 2, cannot be read; write NAME=value, or # before a comment",
    )


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load({}).max_attempts = 5  # type: ignore[misc] # that is the point


def test_settings_can_be_made_by_hand_and_then_look_at_no_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAX_ATTEMPTS", "9")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    settings = Settings(lease=5, queues={"video-x": {"concurrency": 2}})
    assert (settings.lease, settings.max_attempts, settings.redis) == (5.0, 4, None)
    assert settings.queue("video-x").concurrency == 2


def test_the_environment_of_the_process_is_read_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load_module, "SECRETS_DIR", tmp_path / "secrets")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "redis_password").write_text("of secrets")
    (tmp_path / ".env").write_text("MAX_ATTEMPTS=7\nLEASE=1m\n")
    for name, value in {"REDIS_HOST": "cache", "LEASE": "10"}.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert (settings.max_attempts, settings.lease) == (7, 10.0)
    assert settings.redis == RedisTarget("cache", password="of secrets")


def test_an_environment_handed_in_is_all_there_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load_module, "SECRETS_DIR", tmp_path)
    (tmp_path / ".env").write_text("MAX_ATTEMPTS=7\n")
    (tmp_path / "lease").write_text("7")
    assert load({}) == Settings()
    assert load({}, env_file=tmp_path / ".env").max_attempts == 7


def test_logs_are_json_in_production_unless_set() -> None:
    production = {"APP_ENV": "production", "REDIS_URL": "redis://cache"}
    assert load(production).log_format == "json"
    assert load({**production, "LOG_FORMAT": "console"}).log_format == "console"


# Problems


def test_the_variables_of_other_programs_are_left_alone() -> None:
    assert len(FOREIGN) > 100
    assert load(FOREIGN) == load({})


def test_an_unknown_mode_names_the_choices() -> None:
    assert one_wrong(MODE="wrker") == f"MODE: there is no mode 'wrker'; choose one of: {', '.join(MODES)}"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("MAX_ATTEMPTS", "0", "a whole number from 1 to 10000"),
        ("MAX_ATTEMPTS", "-1", "a whole number from 1 to 10000"),
        ("MAX_ATTEMPTS", "2.5", "a whole number from 1 to 10000"),
        ("MAX_ATTEMPTS", "many", "a whole number from 1 to 10000"),
        ("QUEUE_CONCURRENCY", "10001", "a whole number from 1 to 10000"),
        ("MAX_LOST", "-1", "a whole number from 0 to 10000"),
        ("EVENTS_MAXLEN", "0", "a whole number of 1 or more"),
        ("BACKOFF", "quadratic", "one of: exponential, linear, fixed, none"),
        ("BACKOFF_FACTOR", "nan", "a number from 0 to 1000000"),
        ("BACKOFF_JITTER", "1.1", "a number from 0 to 1"),
        ("BACKOFF_JITTER", "inf", "a number from 0 to 1"),
        ("LEASE", "0.5", "a time of 1 or more seconds, written"),
        ("LEASE", "soon", "a time of 1 or more seconds, written"),
        ("JOB_TIMEOUT", "0", "a time of 0.001 or more seconds, written"),
        ("JOB_TIMEOUT", "nan", "a time of 0.001 or more seconds, written"),
        ("KEEP_RESULT", "-5s", "a time of 0 or more seconds, written 0.5, 30, 500ms, 30s, 5m, 2h or 30d"),
        ("DRAIN_TIMEOUT", "11y", "a time of 0 or more seconds, written"),
        ("LOG_LEVEL", "loud", "one of: debug, info, warning, error, critical"),
        ("LOG_FORMAT", "xml", "one of: console, json"),
        ("APP_ENV", "prod", "one of: development, test, production"),
        ("QUEUES__EMAIL__CONCURRENCY", "0", "a whole number from 1 to 10000"),
        ("QUEUES__EMAIL__BACKOFF", "x", "one of: exponential, linear, fixed, none"),
        ("QUEUES__EMAIL__TIMEOUT", "-1", "a time of 0.001 or more seconds, written"),
        ("METRICS_PORT", "abc", "a whole number from 0 to 65535, or off"),
        ("METRICS_PORT", "70000", "a whole number from 0 to 65535, or off"),
        ("QUEUE_RATE_LIMIT", "foo", "a number of jobs and a time, as 10/1s, 100/m or 100/m,burst=20"),
        ("QUEUES__EMAIL__RATE_LIMIT", "10", "a number of jobs and a time, as 10/1s"),
        ("PAYLOAD_LIMIT", "1GB", "an amount of memory, at most 512 MB, written 512MB, 1.5GB or in bytes"),
        ("RESULT_LIMIT", "big", "an amount of memory, at most 512 MB, written 512MB"),
        ("RECYCLE_AFTER_MEMORY", "much", "an amount of memory, written 512MB, 1.5GB or in bytes"),
        ("SENTRY_REPORT_RETRIES", "maybe", "true or false"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(name: str, value: str, allowed: str) -> None:
    assert one_wrong(**{name: value}).startswith(f"{name} is {value!r}; it must be {allowed}")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("NAMESPACE", "Shop", "namespace name 'Shop' is not allowed"),
        ("NAMESPACE", "a:b", "namespace name 'a:b' is not allowed"),
        ("JOBS_PACKAGE", "my jobs", "'my jobs' is not the name of a Python package"),
        ("JOBS_PACKAGE", "jobs.", "'jobs.' is not the name of a Python package"),
        ("DEFAULT_QUEUE", "Email", "queue name 'Email' is not allowed"),
        ("DEFAULT_QUEUE", "dead", "queue name 'dead' is reserved"),
        (
            "API_ALLOWED_ORIGINS",
            "https://a.test, b.test",
            "'b.test' is no site; a site is https://shop.example",
        ),
        ("API_ALLOWED_ORIGINS", "https://a.test/x", "'https://a.test/x' is no site"),
        ("WORKER_QUEUES", "email,,reports", "queue name '' is not allowed"),
        ("WORKER_QUEUES", "email reports", "queue name 'email reports' is not allowed"),
    ],
)
def test_a_name_that_is_not_allowed_says_why(name: str, value: str, reason: str) -> None:
    assert one_wrong(**{name: value}).startswith(f"{name}: {reason}")


@pytest.mark.parametrize("name", sorted(name.upper() for name in Settings.model_fields if name != "queues"))
def test_no_variable_may_be_empty(name: str) -> None:
    assert f"{name} is set but empty; give it a value or unset it" in wrong(**{name: ""})


def test_every_problem_is_told_at_once() -> None:
    problems = wrong(
        **{"MODE": "x", "MAX_ATTEMPTS": "0", "QUEUE_CONCURENCY": "1", "QUEUES__EMAIL__SPEED": "1"},
        **{"QUEUES__EMAIL__TIMEOUT": "x", "LEASE": "", "APP_ENV": "production", "BACKOFF_FACTOR": "0.5"},
    )
    assert sorted(problem.split()[0].rstrip(":") for problem in problems) == [
        *(
            "BACKOFF_FACTOR",
            "LEASE",
            "MAX_ATTEMPTS",
            "MODE",
            "QUEUES__EMAIL__SPEED",
            "QUEUES__EMAIL__TIMEOUT",
        ),
        *("QUEUE_CONCURENCY", "REDIS_URL"),
    ]


def test_a_misspelt_variable_stops_the_boot() -> None:
    assert one_wrong(QUEUE_CONCURENCY="1") == "QUEUE_CONCURENCY is not known; did you mean QUEUE_CONCURRENCY?"
    assert "QUEUES__<QUEUE>__<OPTION>" in one_wrong(QUEUE__EMAIL__CONCURRENCY="1")


OPTIONS = (
    "CONCURRENCY, FLEET_CONCURRENCY, MAX_ATTEMPTS, BACKOFF, BACKOFF_BASE, BACKOFF_FACTOR, BACKOFF_MAX, BACKOFF_JITTER, "
    "TIMEOUT, KEEP_RESULT, KEEP_LOG, RATE_LIMIT, WEIGHT"
)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "QUEUES__EMAIL__CONCURENCY",
            f"names an option that no queue has; did you mean CONCURRENCY? the options are: {OPTIONS}",
        ),
        ("QUEUES__EMAIL__PRIORITY", f"names an option that no queue has; the options are: {OPTIONS}"),
        ("QUEUES__EMAIL", f"names no option; write QUEUES__<QUEUE>__<OPTION> with one of: {OPTIONS}"),
        ("QUEUES____TIMEOUT", f"names no option; write QUEUES__<QUEUE>__<OPTION> with one of: {OPTIONS}"),
        ("QUEUES__EMAIL__RETRY__TIMEOUT", "has a part too many; write QUEUES__<QUEUE>__<OPTION>"),
        ("QUEUES__email__timeout", "is not written as variables are; write QUEUES__EMAIL__TIMEOUT"),
        ("QUEUES__VIDEO-X__TIMEOUT", "is not written as variables are; write QUEUES__VIDEO_X__TIMEOUT"),
        ("QUEUES__1ST__TIMEOUT", "names no queue: queue name '1st' is not allowed"),
        ("QUEUES__DEAD__TIMEOUT", "names no queue: queue name 'dead' is reserved"),
    ],
)
def test_under_queues_every_name_must_be_right(name: str, reason: str) -> None:
    assert one_wrong(**{name: "1"}).startswith(f"{name} {reason}")


def test_an_exponential_backoff_that_shrinks_is_refused_wherever_it_comes_together() -> None:
    assert one_wrong(BACKOFF_FACTOR="0.5") == "BACKOFF_FACTOR is 0.5; an exponential back-off needs 1 or more"
    assert one_wrong(BACKOFF="linear", BACKOFF_FACTOR="0.5", QUEUES__EMAIL__BACKOFF="exponential") == (
        "QUEUES__EMAIL__BACKOFF_FACTOR is 0.5; an exponential back-off needs 1 or more"
    )


def test_a_config_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(ConfigError(["A is wrong", "B is wrong"])))
    assert (str(error), error.problems) == ("A is wrong\nB is wrong", ("A is wrong", "B is wrong"))


def test_a_problem_names_the_variable_as_it_was_written() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"ROTA_MODE": "wroker", "MAX_ATTEMPTS": "0", "ROTA_QUEUES__EMAIL__WEIGHT": "x"})
    first, second, third = sorted(caught.value.problems)
    assert first.startswith("MAX_ATTEMPTS is '0'")
    assert second.startswith("ROTA_MODE: there is no mode 'wroker'")
    assert third.startswith("ROTA_QUEUES__EMAIL__WEIGHT is 'x'")
