"""Where the samples' variables are read, as the engine reads its own: the first place that has one counts.

These are the environment, the folder of secrets (a file of the variable's name in SECRETS_DIR, or in /run/secrets), and
outside production `.env`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

_ENV_FILE, _SECRETS_DIR = ".env", "/run/secrets"


class _Local(EnvSettingsSource):
    """The variables in `.env`, as they are written: pydantic's own source puts others in the place of `${…}`."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        in_production = os.environ.get("APP_ENV") == "production"
        found = {} if in_production else dotenv_values(_ENV_FILE, interpolate=False)
        return {name.lower(): value for name, value in found.items()}


class Variables(BaseSettings):
    """The base of the variables of a sample: a field for each."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, hide_input_in_errors=True, str_strip_whitespace=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values are looked for; what a test gives goes before all."""
        return init_settings, env_settings, file_secret_settings, _Local(settings_cls)


def sources() -> dict[str, Any]:
    """Return what `Variables` are made with, so that the folder of secrets is read."""
    secrets = os.environ.get("SECRETS_DIR", _SECRETS_DIR)
    return {"_secrets_dir": secrets if Path(secrets).is_dir() else None}
