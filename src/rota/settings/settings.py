"""What can be set, with its defaults: one frozen value for a process, checked as a whole; times in seconds.

A setting `max_attempts` is the variable MAX_ATTEMPTS; `.env.example` explains each.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from rota.errors import RotaError
from rota.model.policies.backoff import Backoff, BackoffKind
from rota.settings.advice import advice
from rota.settings.queues import QueueOptions, QueueSettings, by_variable, in_variables, variable_prefix
from rota.settings.redis import RedisVariables
from rota.settings.types import (
    Attempts,
    Concurrency,
    Duration,
    Factor,
    Fraction,
    LogLevel,
    Mode,
    Namespace,
    Package,
    Port,
    PositiveDuration,
    QueueName,
    QueueNames,
    Rate,
    Size,
)
from rota.wire.keys import check_queue


class ConfigError(RotaError):
    """Raised at boot for settings that cannot work: a line for each, saying what its variable may be."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(tuple(problems))
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


def _environment(data: dict[str, Any]) -> str:
    return str(data.get("app_env"))


def _log_format(data: dict[str, Any]) -> Literal["console", "json"]:
    return "json" if data.get("app_env") == "production" else "console"


def _metrics_host(data: dict[str, Any]) -> str:
    # In production it is scraped from outside of its container; elsewhere nobody else is to see it.
    return "0.0.0.0" if data.get("app_env") == "production" else "127.0.0.1"  # noqa: S104 - said in .env.example


class Settings(RedisVariables):
    """One process's settings. The class itself never looks at the environment: `rota.config.load` does."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    app_env: Literal["development", "test", "production"] = "development"
    mode: Mode = "worker"
    namespace: Namespace = "rota"
    jobs_package: Package = "jobs"
    secrets_dir: Path | None = None

    default_queue: QueueName = "default"
    worker_queues: QueueNames | None = None
    worker_concurrency: Concurrency | None = None
    queue_concurrency: Concurrency = 10
    queue_rate_limit: Rate | None = None
    queue_slo: PositiveDuration = 60.0
    queues: Annotated[dict[str, QueueOptions], BeforeValidator(by_variable)] = Field(default_factory=dict)

    max_attempts: Attempts = 4
    backoff: BackoffKind = "exponential"
    backoff_base: Duration = 1.0
    backoff_factor: Factor = 2.0
    backoff_max: Duration = 3600.0
    backoff_jitter: Fraction = 0.1
    job_timeout: PositiveDuration = 300.0
    keep_result: Duration = 3600.0
    dead_retention: Duration = 2_592_000.0
    max_lost: Annotated[int, Field(ge=0, le=10_000)] = 3
    unknown_grace: Duration = 86_400.0
    unknown_delay: Annotated[Duration, Field(ge=0.1)] = 5.0
    payload_limit: Annotated[int, Field(ge=1, le=512 * 1024 * 1024)] = 262_144
    result_limit: Annotated[int, Field(ge=1, le=512 * 1024 * 1024)] = 1_048_576
    events_maxlen: Annotated[int, Field(ge=1)] = 100_000

    lease: Annotated[Duration, Field(ge=1)] = 30.0
    drain_timeout: Duration = 30.0
    loop_block_limit: Annotated[Duration, Field(ge=1)] = 60.0
    loop_block_report: Annotated[Duration, Field(ge=0.1)] = 5.0
    recycle_after_jobs: Annotated[int, Field(ge=1)] | None = None
    recycle_after_memory: Annotated[Size, Field(ge=1)] | None = None
    autoscaler_policy: Literal["formula", "threshold"] = "formula"
    autoscaler_command: str | None = None
    autoscaler_url: str | None = None
    autoscaler_min: Annotated[int, Field(ge=0, le=10_000)] = 1
    autoscaler_max: Annotated[int, Field(ge=1, le=10_000)] = 10
    autoscaler_interval: Annotated[Duration, Field(ge=0.5)] = 5.0
    autoscaler_scale_in_after: Duration = 300.0
    autoscaler_cooldown: Duration = 30.0
    autoscaler_timeout: PositiveDuration = 600.0
    autoscaler_dry_run: bool = False

    boot_timeout: Duration = 10.0
    health_file: Path | None = None
    metrics_port: Port = 9464
    metrics_host: str = Field(default_factory=_metrics_host)
    log_level: LogLevel = "info"
    log_success_rate: Annotated[int, Field(ge=1)] = 100
    log_format: Literal["console", "json"] = Field(default_factory=_log_format)

    sentry_dsn: SecretStr | None = None
    sentry_environment: str = Field(default_factory=_environment)
    sentry_release: str | None = None
    sentry_traces_sample_rate: Fraction = 0.0
    sentry_report_retries: bool = False
    otel_exporter_otlp_endpoint: str | None = None
    otel_service_name: str = "rota"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed in: pydantic-settings' own sources pass over misspelt names in silence."""
        return (init_settings,)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        problems = []
        if self.app_env == "production" and self.redis is None:
            problems.append("REDIS_URL is not set; production needs it, or REDIS_HOST, or REDIS_SENTINELS")
        if self.autoscaler_min > self.autoscaler_max:
            both = f"AUTOSCALER_MIN is {self.autoscaler_min}, above AUTOSCALER_MAX, {self.autoscaler_max}"
            problems.append(f"{both}; it is at most as much")
        for queue in ("", *self.queues):
            factor = self._option(queue, "backoff_factor")
            if self._option(queue, "backoff") == "exponential" and factor < 1:
                name = f"{variable_prefix(queue)}BACKOFF_FACTOR"
                problems.append(f"{name} is {factor:g}; an exponential back-off needs 1 or more")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def queue(self, name: str) -> QueueSettings:
        """What holds for the queue `name`, whether or not a variable speaks of it; raises ConfigError."""
        _checked([name])
        key = in_variables(name)
        return QueueSettings(
            name=name,
            concurrency=self._option(key, "concurrency", "queue_concurrency"),
            max_attempts=self._option(key, "max_attempts"),
            backoff=Backoff(
                kind=self._option(key, "backoff"),
                base=self._option(key, "backoff_base"),
                factor=self._option(key, "backoff_factor"),
                ceiling=self._option(key, "backoff_max"),
                jitter=self._option(key, "backoff_jitter"),
            ),
            timeout=self._option(key, "timeout", "job_timeout"),
            keep_result=self._option(key, "keep_result"),
            rate_limit=self._option(key, "rate_limit", "queue_rate_limit"),
            weight=getattr(self.queues.get(key), "weight", None) or 1.0,
            slo=self._option(key, "slo", "queue_slo"),
        )

    def served_queues(self, declared: Iterable[str]) -> tuple[str, ...]:
        """The queues that this process works on, in alphabetical order.

        They are those that jobs declared (the default queue too, if a job named none) and those under
        QUEUES__, of which WORKER_QUEUES chooses. Raises ConfigError for a name that cannot be one, for two
        names that are one in variables, and for a choice that there is not.
        """
        spelt = {in_variables(name): name for name in _checked(sorted(set(declared)))}
        names = sorted({*spelt.values(), *(spelt.get(queue, queue) for queue in self.queues)})
        if self.worker_queues is None:
            return tuple(names)
        choices = ", ".join(names) or "none"
        strangers = [name for name in self.worker_queues if name not in names]
        if strangers:
            problem = f"WORKER_QUEUES: there is no queue {', '.join(strangers)}; choose from: {choices}"
            raise ConfigError([problem])
        return tuple(name for name in names if name in self.worker_queues)

    @property
    def recycles(self) -> bool:
        """Whether a process asks to be started anew once in a while."""
        return self.recycle_after_jobs is not None or self.recycle_after_memory is not None

    def warnings(self, timeouts: Mapping[str, float], queues: Iterable[str] = ()) -> list[str]:
        """What works but will surprise, given the timeout of each job by its name, and the queues served."""
        return list(advice(self, timeouts, [self.queue(name) for name in queues]))

    def _option(self, queue: str, name: str, fallback: str | None = None) -> Any:
        own = getattr(self.queues.get(queue), name, None)
        return getattr(self, fallback or name) if own is None else own


def _checked(names: list[str]) -> list[str]:
    spelt: dict[str, str] = {}
    problems = []
    for name in names:
        try:
            other = spelt.setdefault(in_variables(check_queue(name)), name)
        except ValueError as error:
            problems.append(str(error))
            continue
        if other != name:
            both = f"the queues {other!r} and {name!r} are one in variables"
            problems.append(f"{both}, {variable_prefix(in_variables(name))}…; rename one of them")
    if problems:
        raise ConfigError(problems)
    return names
