"""Every variable that can be set, with its default, its unit and its meaning; `.env.example` has an example of each.

A field `max_attempts` is the variable MAX_ATTEMPTS. Times are in seconds; text may carry a unit (500ms, 30s, 5m, 2h,
30d). Sizes are in bytes. A name with ROTA_ before it wins over the bare one. The variables for Redis are in
`rota.settings.redis`, for the database in `rota.settings.database`, for the API in `rota.settings.api`, for signing in
`rota.settings.sealing`, for one queue in `rota.settings.queues`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from rota.model.policies.backoff import BackoffKind
from rota.settings.api import ApiVariables
from rota.settings.database import DatabaseVariables
from rota.settings.queues import QueueOptions, by_variable
from rota.settings.redis import RedisVariables
from rota.settings.sealing import SealingVariables
from rota.settings.types import (
    Attempts,
    Concurrency,
    Destinations,
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
    ValueSize,
    Version,
)


def _environment(values: dict[str, Any]) -> str:
    return str(values.get("app_env"))


def _release(values: dict[str, Any]) -> str | None:
    release: str | None = values.get("app_version")
    return release


def _log_format(values: dict[str, Any]) -> Literal["console", "json"]:
    return "json" if values.get("app_env") == "production" else "console"


def _metrics_host(values: dict[str, Any]) -> str:
    # In production a scraper comes from outside of the container; elsewhere no other machine should see the metrics.
    return "0.0.0.0" if values.get("app_env") == "production" else "127.0.0.1"  # noqa: S104 - said in .env.example


def _in_development(values: dict[str, Any]) -> bool:
    return values.get("app_env") == "development"


class Variables(RedisVariables, DatabaseVariables, ApiVariables, SealingVariables):
    """The variables of one process, each valid by itself."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, env_nested_delimiter="__"
    )

    # -- The process --

    app_env: Literal["development", "test", "production"] = "development"
    """Where the process runs. Production needs a Redis of its own; in a test environment, clients record enqueues."""

    mode: Mode = "worker"
    """What the process is: `worker`, `api`, `all` (both), `exporter` of the fleet's metrics, or `autoscaler`."""

    enable_job_runner: bool = Field(default_factory=_in_development)
    """Whether MODE=api runs workers too, as MODE=all always does: unless set, in development alone."""

    namespace: Namespace = "rota"
    """The prefix of rota's own keys in Redis; arq's keys have fixed names."""

    jobs_package: Package = "jobs"
    """The Python package of the jobs; all its modules are imported."""

    app_version: Version | None = None
    """The version of the code that the process runs, as it is deployed; None: SENTRY_RELEASE, or unknown."""

    secrets_dir: Path | None = None
    """A folder with a file for each secret, named after its variable; None: /run/secrets, where that exists."""

    boot_timeout: Duration = 10.0
    """Seconds for which a booting process tries to reach Redis."""

    durability: Literal["redis", "wait"] = "redis"
    """When an enqueue is acknowledged: once the primary has it (redis), or once replicas have it too (wait)."""

    durability_replicas: Annotated[int, Field(ge=1, le=10)] = 1
    """How many replicas must have it, with DURABILITY=wait."""

    durability_timeout: Annotated[PositiveDuration, Field(le=4)] = 2.0
    """Seconds that an enqueue waits for them, and then fails; the job is there none the less."""

    # -- Queues --

    default_queue: QueueName = "default"
    """The queue of jobs that name none."""

    worker_queues: QueueNames | None = None
    """The queues that the process works on; None: all queues."""

    worker_concurrency: Concurrency | None = None
    """Jobs that run at once in the process, over all its queues, which share by weight; None: no such limit."""

    queue_concurrency: Concurrency = 10
    """Jobs of each queue that run at once in the process."""

    queue_rate_limit: Rate | None = None
    """How many jobs of each queue may start in a time, over all processes; None: no limit."""

    queue_slo: PositiveDuration = 60.0
    """The longest acceptable wait of a job, in seconds; workers are scaled to keep it."""

    queues: Annotated[dict[str, QueueOptions], BeforeValidator(by_variable)] = Field(default_factory=dict)
    """The options of single queues, QUEUES__<QUEUE>__<OPTION>, which go before the general ones."""

    # -- Jobs --

    max_attempts: Attempts = 4
    """Attempts, the first included, before a job is a dead letter."""

    backoff: BackoffKind = "exponential"
    """How the delay between attempts grows."""

    backoff_base: Duration = 1.0
    """The first delay, in seconds."""

    backoff_factor: Factor = 2.0
    """What multiplies each delay (exponential, 1 or more), or what is added to it, in seconds (linear)."""

    backoff_max: Duration = 3600.0
    """The longest delay, in seconds."""

    backoff_jitter: Fraction = 0.1
    """The part of a delay by which chance makes it shorter or longer, from 0 to 1."""

    job_timeout: PositiveDuration = 300.0
    """Seconds that an attempt may take."""

    keep_result: Duration = 3600.0
    """Seconds that the result of a finished job is kept."""

    keep_log: bool = True
    """Whether what handlers log is kept with their jobs; it stays for as long as the result, or the dead letter."""

    dead_retention: Duration = 2_592_000.0
    """Seconds that a dead letter is kept."""

    max_lost: Annotated[int, Field(ge=0, le=10_000)] = 3
    """How often a job may be lost, its process killed, before it is a dead letter."""

    unknown_grace: Duration = 86_400.0
    """Seconds that a job waits for a worker that knows it before it is a dead letter."""

    unknown_delay: Annotated[Duration, Field(ge=0.1)] = 5.0
    """Seconds between two tries to find such a worker."""

    payload_limit: ValueSize = 262_144
    """The largest payload, in bytes; an enqueue of a larger one is refused."""

    result_limit: ValueSize = 1_048_576
    """The largest result, in bytes; a job that returns a larger one is a dead letter."""

    events_maxlen: Annotated[int, Field(ge=1)] = 10_000
    """Events that the stream in Redis keeps."""

    # -- Requests to other machines --

    webhook_allow: Destinations | None = None
    """Networks and hosts beside public addresses that webhooks and `rota.fetch` may go to; None: no others."""

    webhook_queue: QueueName | None = None
    """The queue on which webhooks are delivered; None: the default queue, or where no worker has it, any other."""

    # -- Life of a worker --

    lease: Annotated[Duration, Field(ge=1)] = 30.0
    """Seconds after which the jobs of a process that went silent run elsewhere; a third of it between renewals."""

    leader: bool = True
    """Whether the process may be elected to lead: to do, beside its jobs, what is to be done once for all workers."""

    leader_lease: Annotated[Duration, Field(ge=1, le=3600)] = 30.0
    """Seconds after which another process leads in place of one that went silent; half of it between renewals."""

    drain_timeout: Duration = 30.0
    """Seconds that running jobs get to finish when the process is told to stop."""

    stop_grace_period: PositiveDuration | None = None
    """Seconds after which what told the process to stop kills it, as the orchestrator knows; None: not known."""

    loop_block_limit: Annotated[Duration, Field(ge=1)] = 60.0
    """Seconds that a job may block the event loop before the process counts as hung and is ended."""

    loop_block_report: Annotated[Duration, Field(ge=0.1)] = 5.0
    """Seconds of a blocked event loop after which the log shows the stack, and the process is not healthy."""

    recycle_after_jobs: Annotated[int, Field(ge=1)] | None = None
    """Jobs, or up to a tenth fewer, after which the process drains and exits with status 75; None: never."""

    recycle_after_memory: Annotated[Size, Field(ge=1)] | None = None
    """Resident bytes, or up to a tenth fewer, at which the process drains and exits with status 75; None: never."""

    # -- Health, metrics and logs --

    health_file: Path | None = None
    """A file that is touched while the worker is well; None: no file."""

    metrics_port: Port = 9464
    """The port of /metrics, /healthz and /readyz: 0 is any free one, `off` none."""

    metrics_host: str = Field(default_factory=_metrics_host)
    """The address to listen on; unless set, all addresses in production and this machine's own elsewhere."""

    log_level: LogLevel = "info"
    """The least severe level that is logged."""

    log_success_rate: Annotated[int, Field(ge=1)] = 100
    """Jobs a second that are logged one by one while all goes well; above it, a sample of them is."""

    log_format: Literal["console", "json"] = Field(default_factory=_log_format)
    """How log lines look; unless set, json in production."""

    # -- Sentry and OpenTelemetry --

    sentry_dsn: SecretStr | None = None
    """Where errors and traces are sent; None: nowhere."""

    sentry_environment: str = Field(default_factory=_environment)
    """Sentry's name for this environment; unless set, APP_ENV."""

    sentry_release: str | None = Field(default_factory=_release)
    """Sentry's name for this version of the code; unless set, APP_VERSION, else what its package finds out."""

    sentry_traces_sample_rate: Fraction = 0.0
    """The part of the traces that begin here that is recorded, from 0 to 1."""

    sentry_report_retries: bool = False
    """Whether an error whose job will be tried again is reported too, as a warning."""

    otel_exporter_otlp_endpoint: str | None = None
    """The collector that spans are sent to, as OTLP over HTTP; None: no collector."""

    otel_service_name: str = "rota"
    """The name of this process in traces."""

    # -- The autoscaler --

    autoscaler_policy: Literal["formula", "threshold"] = "formula"
    """How the number of workers is found."""

    autoscaler_command: str | None = None
    """The command that sets the number of workers to {n}; it runs without a shell."""

    autoscaler_url: str | None = None
    """The exporter to ask what the queues need; None: Redis is asked."""

    autoscaler_min: Annotated[int, Field(ge=0, le=10_000)] = 1
    """The fewest workers."""

    autoscaler_max: Annotated[int, Field(ge=1, le=10_000)] = 10
    """The most workers."""

    autoscaler_interval: Annotated[Duration, Field(ge=0.5)] = 5.0
    """Seconds from one look at the queues to the next."""

    autoscaler_scale_in_after: Duration = 300.0
    """Seconds in which no more workers may have been wanted before one is stopped."""

    autoscaler_cooldown: Duration = 30.0
    """Seconds from a change until workers are stopped; by threshold, also until the next one is started."""

    autoscaler_timeout: PositiveDuration = 600.0
    """Seconds that the command may take; a worker that is stopped drains first."""

    autoscaler_dry_run: bool = False
    """Whether to log the changes without making them."""
