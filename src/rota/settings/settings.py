"""The settings of one process: one frozen value, checked as a whole, which also answers for each queue."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import PrivateAttr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from rota.errors import RotaError
from rota.model.policies.backoff import Backoff
from rota.settings.advice import advice
from rota.settings.queues import QueueSettings, in_variables, variable_prefix
from rota.settings.sealing import misfits
from rota.settings.spelling import misspelt_queues, near_miss
from rota.settings.variables import Variables
from rota.wire.keys import check_queue

#: Seconds that a process takes, after its drain, to hand back what it still holds.
HANDING_BACK = 10.0
#: The general settings that an option of a queue stands in place of, where they have another name.
_GENERAL = {
    "concurrency": "queue_concurrency",
    "timeout": "job_timeout",
    "rate_limit": "queue_rate_limit",
    "slo": "queue_slo",
}


class ConfigError(RotaError):
    """Raised at boot for settings that cannot work: a line for each, saying what its variable may be."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(tuple(problems))
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class Found(Protocol):
    """Where values stood in words, the files that they were read from, and all files in the folder of secrets."""

    @property
    def places(self) -> dict[str, str]: ...
    @property
    def files(self) -> dict[str, Path]: ...
    @property
    def secrets(self) -> dict[str, Path]: ...


class Settings(Variables):
    """The settings of one process. The class itself never reads the environment: `rota.settings.load.load` does."""

    _places: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _secrets: tuple[str, ...] = PrivateAttr(default=())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the arguments alone, so that `Settings(…)` is the same in every environment."""
        return (init_settings,)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        problems = []
        if self.app_env == "production" and self.redis is None:
            problems.append("REDIS_URL is not set; production needs it, or REDIS_HOST, or REDIS_SENTINELS")
        if self.app_env == "production" and self.database and self.database.is_sqlite:
            problems.append(
                "DATABASE_URL names a file of SQLite, which one machine alone can use; production needs postgresql://"
            )
        if self.stop_grace_period is not None and self.stop_grace_period < self.drain_timeout + HANDING_BACK:
            problems.append(
                f"DRAIN_TIMEOUT is {self.drain_timeout:g} s, and the process is killed after STOP_GRACE_PERIOD, "
                f"{self.stop_grace_period:g} s; it is to be {HANDING_BACK:g} s longer"
            )
        if self.autoscaler_min > self.autoscaler_max:
            both = f"AUTOSCALER_MIN is {self.autoscaler_min}, above AUTOSCALER_MAX, {self.autoscaler_max}"
            problems.append(f"{both}; it is at most as much")
        for queue in ("", *self.queues):
            factor = self._option(queue, "backoff_factor")
            if self._option(queue, "backoff") == "exponential" and factor < 1:
                name = f"{variable_prefix(queue)}BACKOFF_FACTOR"
                problems.append(f"{name} is {factor:g}; an exponential back-off needs 1 or more")
        problems += misfits(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def found_in(self, found: Found) -> Self:
        """Return these settings, which know where each value stood, and which files the folder of secrets has."""
        self._places, self._files, self._secrets = found.places, found.files, tuple(sorted(found.secrets))
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the files in the folder of secrets, as variables have them, those of the jobs too."""
        return self._secrets

    def place_of(self, variable: str) -> str:
        """Return where the value of a variable stood; "default" where it was not set."""
        is_set = variable.lower() in self.model_fields_set
        return self._places.get(variable, "code" if is_set else "default")

    def queue(self, name: str) -> QueueSettings:
        """Return the settings of the queue `name`, also where no variable names that queue. Raises ConfigError."""
        _checked([name])
        key = in_variables(name)
        return QueueSettings(
            name=name,
            concurrency=self._option(key, "concurrency"),
            max_attempts=self._option(key, "max_attempts"),
            backoff=Backoff(
                kind=self._option(key, "backoff"),
                base=self._option(key, "backoff_base"),
                factor=self._option(key, "backoff_factor"),
                ceiling=self._option(key, "backoff_max"),
                jitter=self._option(key, "backoff_jitter"),
            ),
            timeout=self._option(key, "timeout"),
            keep_result=self._option(key, "keep_result"),
            keep_log=self._option(key, "keep_log"),
            rate_limit=self._option(key, "rate_limit"),
            fleet_concurrency=getattr(self.queues.get(key), "fleet_concurrency", None),
            weight=getattr(self.queues.get(key), "weight", None) or 1.0,
            slo=self._option(key, "slo"),
        )

    def origin(self, name: str, option: str) -> str:
        """Return the variable from which the queue `name` has an option; "" where it has the default."""
        key, general = in_variables(name), _GENERAL.get(option, option)
        if getattr(self.queues.get(key), option, None) is not None:
            return f"{variable_prefix(key)}{option.upper()}"
        return general.upper() if general in self.model_fields_set else ""

    def served_queues(self, declared: Iterable[str]) -> tuple[str, ...]:
        """Return the queues that this process works on, in alphabetical order.

        These are the queues that `known_queues` returns, of which WORKER_QUEUES chooses. Raises ConfigError as that
        does, and for a choice that does not exist.
        """
        names = self.known_queues(declared)
        if self.worker_queues is None:
            return names
        unknown = list(dict.fromkeys(name for name in self.worker_queues if name not in names))
        if unknown:
            meant = near_miss(unknown[0].upper(), [name.upper() for name in names], sure=True)
            hint = f"did you mean {meant.lower()}? " if meant else ""
            choices = ", ".join(names) or "none"
            raise ConfigError(
                [f"WORKER_QUEUES: there is no queue {', '.join(unknown)}; {hint}choose from: {choices}"]
            )
        return tuple(name for name in names if name in self.worker_queues)

    def known_queues(self, declared: Iterable[str]) -> tuple[str, ...]:
        """Return all queues, in alphabetical order: those that jobs declared, those under QUEUES__, WEBHOOK_QUEUE.

        The default queue is one if a job named none. Raises ConfigError for a name that cannot be a queue's, for two
        names that are the same in variables, and for a queue under QUEUES__ that is a slip of one that jobs declared,
        unless WORKER_QUEUES names it.
        """
        spelt = {in_variables(name): name for name in _checked(sorted(set(declared)))}
        problems = [
            self._slip(queue, meant) for queue, meant in misspelt_queues(self._undeclared(spelt), spelt)
        ]
        if problems:
            raise ConfigError(problems)
        own = () if self.webhook_queue is None else (self.webhook_queue,)
        return tuple(sorted({*spelt.values(), *(spelt.get(queue, queue) for queue in self.queues), *own}))

    def _undeclared(self, declared: Iterable[str]) -> list[str]:
        """Return the queues that have settings and no job, unless WORKER_QUEUES says that they are meant."""
        meant = {in_variables(name) for name in (*declared, *(self.worker_queues or ()), self.default_queue)}
        return [queue for queue in self.queues if queue not in meant]

    def _slip(self, queue: str, meant: str) -> str:
        wrong = self._variable(queue)
        right = wrong.replace(variable_prefix(queue), variable_prefix(meant))
        return (
            f"{wrong} names the queue {queue}, which no job has; did you mean {right}? "
            "If not, name the queue in WORKER_QUEUES"
        )

    def _variable(self, queue: str) -> str:
        """Return a variable that names the queue."""
        return f"{variable_prefix(queue)}{min(self.queues[queue].model_fields_set, default='concurrency').upper()}"

    @property
    def version(self) -> str:
        """The version of the code, without spaces: APP_VERSION, or what Sentry calls it; "" where neither is set."""
        return self.app_version or "-".join((self.sentry_release or "").split())[:100]

    @property
    def records(self) -> bool:
        """True if clients record what is enqueued and connect to nothing: APP_ENV=test, unless MODE=worker is set."""
        return self.app_env == "test" and not (self.mode == "worker" and "mode" in self.model_fields_set)

    @property
    def replicas(self) -> int:
        """How many replicas must have what is enqueued before that is acknowledged: none, unless DURABILITY is wait."""
        return self.durability_replicas if self.durability == "wait" else 0

    @property
    def recycles(self) -> bool:
        """True if the process ends after some jobs or above some memory, to be started again."""
        return self.recycle_after_jobs is not None or self.recycle_after_memory is not None

    def warnings(
        self, timeouts: Mapping[str, float], queues: Iterable[str] = (), declared: Iterable[str] | None = None
    ) -> list[str]:
        """Return a sentence for each setting that is allowed but will surprise.

        `timeouts` are those of the jobs by name, in seconds; `queues` are served, and `declared` by jobs, where that is
        known.
        """
        unsaid = [] if declared is None or self.worker_queues else self._undeclared(declared)
        return [
            *advice(self, timeouts, [self.queue(name) for name in queues]),
            *(
                f"no job declares the queue {queue}, which {self._variable(queue)} names: it is served; "
                "WORKER_QUEUES says that this is meant"
                for queue in unsaid
            ),
        ]

    def _option(self, queue: str, name: str) -> Any:
        own = getattr(self.queues.get(queue), name, None)
        return getattr(self, _GENERAL.get(name, name)) if own is None else own


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
