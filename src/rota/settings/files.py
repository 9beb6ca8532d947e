"""Reads `.env`, of which no line is passed over: a setting that is lost in silence is found out too late.

python-dotenv skips a line that it cannot read with a warning, and reads nothing where the file is a folder. A worker
would then start with a server of its own, beside the Redis that the line names.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

from dotenv.parser import Binding, parse_stream
from pydantic import PrivateAttr, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from rota.settings.spelling import FILE, OWN

# What shells, Docker and other programs take for a name; `REDIS_URL:` is none.
_NAME = re.compile(r"[\w.\-]+", re.ASCII)


class FromFiles(BaseSettings):
    """Settings that know the files which their secrets were read from, and can read those again."""

    model_config = SettingsConfigDict(defer_build=True)

    _files: Mapping[str, Path] = PrivateAttr(default_factory=dict)

    def _read_again(self, *names: str) -> Self:
        """Return the settings with the secrets `names` as their files hold them now. Raises OSError, ValueError."""
        read = {
            name: self._files[name].read_text("utf-8").rstrip("\r\n") for name in names if name in self._files
        }
        if not all(read.values()):
            raise ValueError("the file of a secret is empty")
        return self.model_copy(update={name.lower(): SecretStr(value) for name, value in read.items()})


def read_env_file(path: Path, shown: str = "") -> tuple[dict[str, str], list[str]]:
    """Return the values in `path` by their names, and a problem for each line that is none; no line is quoted.

    `shown` is what problems call the file. A file that is not there has no values. Raises OSError, UnicodeDecodeError.
    """
    if not path.exists() and not path.is_symlink():
        return {}, []
    # Editors on Windows begin a file with a mark, which would become part of the first name.
    lines = list(parse_stream(io.StringIO(path.read_text("utf-8-sig"))))
    values = {line.key: line.value or "" for line in lines if line.key is not None and not _is_wrong(line)}
    return values, list(_problems(shown or str(path), lines))


def changed(written: Mapping[str, str], env: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each variable of `.env` that `env` does not have as it is `written` there, without a value.

    Docker Compose reads the file in its own way, and what a compose file sets itself wins over it.
    """
    for name, value in written.items():
        if env.get(name) == value:
            continue
        if "$" in value:
            quoted = "write it in single quotes, or into a file of the folder of secrets"
            yield f"{name} has a $ in .env, which Docker Compose takes for another variable: {quoted}"
        elif env.get(name) == "":
            continue  # taken out on purpose: it is for Compose alone
        elif name in env:
            other = "this process was started with another value, as a compose file sets it"
            yield f"{name} does not arrive as .env has it, for {other}: take it out of .env"
        else:
            yield f"{name} is in .env, but this process did not get it: start it again with the .env of now"


def misplaced(places: Mapping[str, Iterable[str]], fixed: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each `fixed` variable that stands in a place, with what is said of it there.

    `places` are the names that stand in each place; with ROTA_ before them, or _FILE behind, they count too.
    """
    for place, names in places.items():
        for name in names:
            bare = name.removeprefix(OWN)
            about = fixed.get(bare, fixed.get(bare.removesuffix(FILE)))
            if about is not None:
                yield f"{name} is in {place}, and what starts this process sets it: {about or 'take it out'}"


def _problems(path: str, lines: list[Binding]) -> Iterator[str]:
    for line in filter(_is_wrong, lines):
        # The text of a binding begins behind the line before, with the empty lines between.
        text = line.original.string
        number = line.original.line + text[: len(text) - len(text.lstrip())].count("\n")
        yield f"{path}, line {number}, cannot be read; write NAME=value, or # before a comment"


def _is_wrong(line: Binding) -> bool:
    return line.error or (line.key is not None and not _NAME.fullmatch(line.key))
