"""Reads the settings, once, at boot: from the environment, from files that it points to, from secrets, from `.env`.

No other module looks at the environment. Each mistake becomes a problem, one line that begins with the variable, and
all problems are told at once.

pydantic-settings turns the variables that were found into fields, but its own sources do not find them. They pass over
misspelt names and NAME_FILE in silence, stop at the first file that cannot be read, strip spaces from secrets, and
expand `$` in passwords in `.env`.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from rota.errors.secrets import SECRETS, login_of
from rota.settings.files import changed, misplaced, read_env_file
from rota.settings.problems import problems_of
from rota.settings.queues import QUEUES, misnamed
from rota.settings.settings import ConfigError, Settings
from rota.settings.spelling import FILE, as_written, is_service_variable, misspelt, own_first, quoted

__all__ = ["ENV_FILE", "SECRETS_DIR", "ConfigError", "Settings", "gather", "load"]

ENV_FILE = Path(".env")
SECRETS_DIR = Path("/run/secrets")

T = TypeVar("T")

_NAME = re.compile("[A-Z][A-Z0-9_]*")


def load(env: Mapping[str, str] | None = None, *, env_file: Path | None = None) -> Settings:
    """Return the settings of the environment, or of `env` in its place. Raises ConfigError with every problem.

    `.env` in the working directory and the secrets in `/run/secrets` count beside the real environment only; for others
    give `env_file`, or SECRETS_DIR in `env`.
    """
    real = env is None
    found = gather(
        os.environ if env is None else env,
        [name.upper() for name in Settings.model_fields if name != "queues"],
        env_file=env_file or (ENV_FILE if real else None),
        secrets_dir=SECRETS_DIR if real and SECRETS_DIR.is_dir() else None,
    )
    wrong_names = misnamed(name for name in found.values if name.startswith(QUEUES))
    named = {name: value for name, value in found.values.items() if name not in wrong_names}
    settings, wrong_values = _validated(_Found(named)())
    problems = [*found.problems, *wrong_names.values(), *wrong_values]
    if settings is None or problems:
        raise ConfigError([as_written(problem, found.prefixed) for problem in problems])
    _keep_secrets(settings)
    return settings.found_in(found)


def _keep_secrets(settings: Settings) -> None:
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr) and "://" not in value.get_secret_value():
            SECRETS.keep(value.get_secret_value())
    SECRETS.keep(*(settings.payload_keys.texts if settings.payload_keys else ()))
    for url in (settings.autoscaler_url, settings.sentry_dsn and settings.sentry_dsn.get_secret_value()):
        SECRETS.keep(*login_of(url or ""))


def not_as_written(fixed: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that has not arrived as an operator has written it.

    What starts a container puts `.env` into the folder of secrets too, as it is written. `fixed` are the variables that
    may stand neither in it nor in a secret, each with a hint.
    """
    folder = Path(os.environ.get("SECRETS_DIR") or SECRETS_DIR)
    problems: list[str] = []
    written = _read_env_file(folder / ENV_FILE.name, problems, shown=ENV_FILE.name)
    secrets = Gathered()
    _read_secrets(folder if folder.is_dir() else None, [], secrets)
    places = {ENV_FILE.name: written, "the folder of secrets": sorted(secrets.secrets)}
    return [*problems, *misplaced(places, fixed), *changed(written, os.environ)]


def is_without_colour() -> bool:
    """Tell whether the user wants no colours (NO_COLOR), or the terminal has none. Every program reads these two."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


class _Found(EnvSettingsSource):
    """The variables that were found, as fields of Settings; those under QUEUES__ by queue and option."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = {name.lower(): value for name, value in variables.items()}
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._variables

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Leave every value as text, which the types of the settings read. By default it would be read as JSON."""
        return value


def _validated(values: Mapping[str, Any]) -> tuple[Settings | None, list[str]]:
    try:
        return Settings(**values), []
    except ValidationError as error:
        problems = list(problems_of(error, Settings, values))
        wrong = {str(one["loc"][0]) for one in error.errors(include_input=False) if one["loc"]}
    # pydantic checks how settings fit together only if each is right, so one wrong value would hide other problems.
    if wrong and not any(name.startswith("redis_") for name in wrong):
        problems += _validated({name: value for name, value in values.items() if name not in wrong})[1]
    return None, problems


# Where variables are found


@dataclass(slots=True)
class Gathered:
    """Values by the name of their variable, and every problem met on the way to them.

    `prefixed` are the names that were written with ROTA_ before them; `places` is where each value stood, in words.
    `secrets` are all files in the folder of secrets, and `files` those that values were read from.
    """

    values: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    prefixed: frozenset[str] = frozenset()
    secrets: dict[str, Path] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def gather(
    env: Mapping[str, str], known: Collection[str], *, env_file: Path | None, secrets_dir: Path | None
) -> Gathered:
    """Return the values of the `known` variables and of those under QUEUES__; those in `env` win.

    A name with ROTA_ before it wins over the bare one, wherever each stands: others set a NAMESPACE or a MODE too.
    `env_file` is left unread in production. `secrets_dir` is the folder used when SECRETS_DIR names none.
    """
    found = Gathered()
    is_production = _is_production(env)
    reads_file = env_file is not None and not is_production
    file = _read_env_file(env_file, found.problems) if reads_file and env_file else {}
    (env, file), prefixed = own_first([env, file], known)
    real, local = _resolve(env, known, found.problems), _resolve(file, known, found.problems)
    real |= _unquoted(real, found.problems)
    named = real.get("SECRETS_DIR") or local.get("SECRETS_DIR")
    secrets = _read_secrets(Path(named) if named else secrets_dir, known, found)
    if not is_production and (local | secrets).get("APP_ENV") == "production":
        found.problems.append("APP_ENV is production in a file; only the environment itself can say so")
    found.prefixed = prefixed
    own = {name: local[name] for name in prefixed if name in local}
    for place, values in ((".env", local), ("secrets", secrets), (".env", own), ("environment", real)):
        found.values |= values
        found.places |= dict.fromkeys(values, place)
    for place, source in ((".env", file), ("environment", env)):
        for name in (name for name in found.values if found.places[name] == place and name not in source):
            found.places[name] = f"{place}, {name}{FILE}"
            found.files[name] = Path(source[name + FILE])
    found.files |= {name: found.secrets[name] for name in secrets if found.places[name] == "secrets"}
    return found


def _unquoted(values: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """Note which values stand in quotes, and return these without, so that what else is wrong with them is said too."""
    found = quoted(values)
    problems += (
        f"{name} stands in quotes, which are part of the value here; leave them out" for name in found
    )
    return found


def _is_production(env: Mapping[str, str]) -> bool:
    (own,), _ = own_first([env], ["APP_ENV"])
    about = {name: value for name, value in own.items() if name in ("APP_ENV", f"APP_ENV{FILE}")}
    return _resolve(about, ["APP_ENV"], []).get("APP_ENV") == "production"


def _resolve(source: Mapping[str, str], known: Collection[str], problems: list[str]) -> dict[str, str]:
    """Return the values of one source, with the files read that NAME_FILE points to."""
    ours = {name: value for name, value in source.items() if not is_service_variable(name, value)}
    problems += misspelt(ours, known)
    values = {name: value for name, value in ours.items() if name in known or name.startswith(QUEUES)}
    for name in known:
        pointer = name + FILE
        if pointer not in ours or pointer in known:
            continue
        if name in ours:
            problems.append(f"{name} and {pointer} are both set; keep one of them")
        elif not ours[pointer].strip():
            problems.append(f"{pointer} is set but empty; give it the path of a file or unset it")
        else:
            values |= _read(name, Path(ours[pointer]), pointer, problems)
    for name in [name for name, value in values.items() if not value.strip()]:
        problems.append(f"{name} is set but empty; give it a value or unset it")
        del values[name]
    return values


def _read_env_file(path: Path, problems: list[str], shown: str = "") -> dict[str, str]:
    read = _guarded(shown or str(path), problems, lambda: read_env_file(path, shown), "is")
    values, wrong = read or ({}, [])
    problems += wrong
    return values


def _read_secrets(folder: Path | None, known: Collection[str], found: Gathered) -> dict[str, str]:
    """Return the values in a folder of secrets, and note the names of all that is in it, for the jobs too."""
    if folder is None:
        return {}
    if not folder.is_dir():
        found.problems.append(
            "SECRETS_DIR names no folder; give the path of a folder with a file for each secret"
        )
        return {}
    files = _guarded("SECRETS_DIR", found.problems, lambda: sorted(folder.iterdir())) or []
    (named,), _ = own_first([{_as_variable(path): str(path) for path in files if path.is_file()}], known)
    found.secrets = {name: Path(path) for name, path in named.items() if _NAME.fullmatch(name)}
    found.problems += (f"the secret {problem}" for problem in misspelt(named, known))
    values: dict[str, str] = {}
    for name in (name for name in named if name in known or name.startswith(QUEUES)):
        path = Path(named[name])
        values |= _read(name, path, f"the secret {path.name}", found.problems)
    return values


def _as_variable(path: Path) -> str:
    return path.name.upper().replace("-", "_")


def _read(name: str, path: Path, pointer: str, problems: list[str]) -> dict[str, str]:
    text = _guarded(pointer, problems, lambda: path.read_text("utf-8"))
    if text is None:
        return {}
    value = text.rstrip("\r\n")
    if not value.strip():
        problems.append(f"{pointer} points to an empty file; write the value of {name} into it")
        return {}
    return {name: value}


def _guarded(
    pointer: str, problems: list[str], read: Callable[[], T], is_or_points: str = "points to"
) -> T | None:
    try:
        return read()
    except OSError as error:
        reason = error.strerror or "not readable"
        problems.append(f"{pointer} {is_or_points} a file that cannot be read: {reason}")
    except UnicodeDecodeError:
        problems.append(f"{pointer} {is_or_points} a file that is not UTF-8 text")
    return None
