"""Reads `.env`, of which no line is passed over: a setting that is lost in silence is found out too late.

python-dotenv skips a line that it cannot read with a warning, and reads nothing where the file is a folder. A worker
would then start with a server of its own, beside the Redis that the line names.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path

from dotenv.parser import Binding, parse_stream

# What shells, Docker and other programs take for a name; `REDIS_URL:` is none.
_NAME = re.compile(r"[\w.\-]+", re.ASCII)


def read_env_file(path: Path) -> tuple[dict[str, str], list[str]]:
    """Return the values in `path` by their names, and a problem for each line that is none; no line is quoted.

    A file that is not there has no values. Raises OSError, UnicodeDecodeError.
    """
    if not path.exists() and not path.is_symlink():
        return {}, []
    # Editors on Windows begin a file with a mark, which would become part of the first name.
    lines = list(parse_stream(io.StringIO(path.read_text("utf-8-sig"))))
    values = {line.key: line.value or "" for line in lines if line.key is not None and not _is_wrong(line)}
    return values, list(_problems(path, lines))


def _problems(path: Path, lines: list[Binding]) -> Iterator[str]:
    for line in filter(_is_wrong, lines):
        # The text of a binding begins behind the line before, with the empty lines between.
        text = line.original.string
        number = line.original.line + text[: len(text) - len(text.lstrip())].count("\n")
        yield f"{path}, line {number}, cannot be read; write NAME=value, or # before a comment"


def _is_wrong(line: Binding) -> bool:
    return line.error or (line.key is not None and not _NAME.fullmatch(line.key))
