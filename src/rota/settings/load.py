"""Reads the settings, once, at boot: the one place of the project that looks at the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rota.settings.environment import gather
from rota.settings.problems import problems_of
from rota.settings.queues import QUEUES, QueueSettings, split_queues
from rota.settings.settings import ConfigError, Settings
from rota.settings.types import MODES

__all__ = ["ENV_FILE", "MODES", "SECRETS_DIR", "ConfigError", "QueueSettings", "Settings", "load"]

ENV_FILE = Path(".env")
SECRETS_DIR = Path("/run/secrets")


def load(env: Mapping[str, str] | None = None, *, env_file: Path | None = None) -> Settings:
    """The settings that the environment says, or that `env` says in its place.

    `.env` in the working directory and the secrets in `/run/secrets` count beside the real environment only;
    give `env_file`, or SECRETS_DIR in `env`, for others. Raises ConfigError with every problem there is.
    """
    real = env is None
    variables = gather(
        os.environ if env is None else env,
        [name.upper() for name in Settings.model_fields if name != "queues"],
        env_file=env_file or (ENV_FILE if real else None),
        secrets_dir=SECRETS_DIR if real and SECRETS_DIR.is_dir() else None,
    )
    plain = {name.lower(): text for name, text in variables.values.items() if not name.startswith(QUEUES)}
    nested = {name: text for name, text in variables.values.items() if name.startswith(QUEUES)}
    queues, wrong_names = split_queues(nested)
    settings, wrong_values = _validated({**plain, "queues": queues})
    problems = [*variables.problems, *wrong_names, *wrong_values]
    if settings is None or problems:
        raise ConfigError(problems)
    return settings


def _validated(values: Mapping[str, Any]) -> tuple[Settings | None, list[str]]:
    try:
        return Settings(**values), []
    except ValidationError as error:
        problems = list(problems_of(error, Settings, values))
        wrong = {str(one["loc"][0]) for one in error.errors(include_input=False) if one["loc"]}
    # What must fit together is looked at when each value is right, and one wrong value must not hide that.
    if wrong and not any(name.startswith("redis_") for name in wrong):
        problems += _validated({name: value for name, value in values.items() if name not in wrong})[1]
    return None, problems
