"""Gathers what was set: in the environment, in files it points to, in a folder of secrets, in `.env`.

What a person wrote wrong becomes a problem, one line that begins with the variable; values are never quoted.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dotenv import dotenv_values

from rota.settings.queues import OPTIONS, QUEUES
from rota.settings.spelling import distance, is_service_variable, near_miss

T = TypeVar("T")

_FILE = "_FILE"


@dataclass(slots=True)
class Variables:
    """Values by the name of their variable, and every problem met on the way to them."""

    values: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def gather(
    env: Mapping[str, str], known: Collection[str], *, env_file: Path | None, secrets_dir: Path | None
) -> Variables:
    """All that is set of the `known` variables and of those under QUEUES__; the environment wins.

    `env_file` is left unread in production. `secrets_dir` is the folder used when SECRETS_DIR names none.
    """
    found = Variables()
    real = _resolve(env, known, found.problems)
    local: dict[str, str] = {}
    if env_file is not None and real.get("APP_ENV") != "production":
        local = _resolve(_read_env_file(env_file, found.problems), known, found.problems)
    named = real.get("SECRETS_DIR") or local.get("SECRETS_DIR")
    secrets = _read_secrets(Path(named) if named else secrets_dir, known, found.problems)
    if real.get("APP_ENV") != "production" and (local | secrets).get("APP_ENV") == "production":
        found.problems.append("APP_ENV is production in a file; only the environment itself can say so")
    found.values = local | secrets | real
    return found


def _resolve(source: Mapping[str, str], known: Collection[str], problems: list[str]) -> dict[str, str]:
    """The values of one source, with those of NAME_FILE read; in one source a name has one value."""
    ours = {name: value for name, value in source.items() if not is_service_variable(name, value)}
    problems += _strays(ours, known)
    values = {name: value for name, value in ours.items() if name in known or name.startswith(QUEUES)}
    for name in known:
        pointer = name + _FILE
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


def _strays(names: Iterable[str], known: Collection[str]) -> list[str]:
    spellings = {*known, *(name + _FILE for name in known)}
    problems = []
    for name in names:
        if name in spellings or name.startswith(QUEUES):
            continue
        if _means_a_queue(name):
            problems.append(f"{name} is not known; write QUEUES__<QUEUE>__<OPTION> for one queue's option")
        elif meant := near_miss(name, spellings):
            problems.append(f"{name} is not known; did you mean {meant}?")
    return problems


def _means_a_queue(name: str) -> bool:
    head, separator, _ = name.upper().partition("__")
    first = head.partition("_")[0]
    if first == "QUEUES" and name.endswith(tuple(f"_{option}" for option in OPTIONS)):
        return True
    return bool(separator) and first[:1] == "Q" and distance(first, "QUEUES") <= 1


def _read_env_file(path: Path, problems: list[str]) -> dict[str, str]:
    if not path.is_file():
        return {}
    # Interpolation would look into the environment behind our back, and mangle passwords with a $ in them.
    lines = _guarded(str(path), problems, lambda: dotenv_values(path, interpolate=False)) or {}
    return {name: value or "" for name, value in lines.items()}


def _read_secrets(folder: Path | None, known: Collection[str], problems: list[str]) -> dict[str, str]:
    if folder is None:
        return {}
    if not folder.is_dir():
        problems.append("SECRETS_DIR names no folder; give the path of a folder with a file for each secret")
        return {}
    values: dict[str, str] = {}
    for path in _guarded("SECRETS_DIR", problems, lambda: sorted(folder.iterdir())) or []:
        name = path.name.upper().replace("-", "_")
        if name in known and path.is_file():
            values |= _read(name, path, f"the secret {path.name}", problems)
    return values


def _read(name: str, path: Path, pointer: str, problems: list[str]) -> dict[str, str]:
    text = _guarded(pointer, problems, lambda: path.read_text("utf-8"))
    if text is None:
        return {}
    value = text.rstrip("\r\n")
    if not value.strip():
        problems.append(f"{pointer} points to an empty file; write the value of {name} into it")
        return {}
    return {name: value}


def _guarded(pointer: str, problems: list[str], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except OSError as error:
        problems.append(f"{pointer} points to a file that cannot be read: {error.strerror or 'not readable'}")
    except UnicodeDecodeError:
        problems.append(f"{pointer} points to a file that is not UTF-8 text")
    return None
