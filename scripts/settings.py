"""Write docs/settings.md: every variable with its default, its bounds and its meaning, as they are in the code."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rota.settings.api import ApiVariables
from rota.settings.database import DatabaseVariables
from rota.settings.queues import QueueOptions
from rota.settings.redis import RedisVariables
from rota.settings.sealing import SealingVariables
from rota.settings.types import allowed, unit_of
from rota.settings.variables import Variables

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "settings.md"
#: The title of each class that is not divided into parts, and the class behind whose part it comes.
_GROUPS: dict[str, type[BaseModel]] = {
    "Redis": RedisVariables,
    "The database": DatabaseVariables,
    "The API and the dashboard": ApiVariables,
    "Signing and encryption": SealingVariables,
}
_OPENING = """\
# Settings

Everything is set by environment variables. This page is written from the code, by `make settings`.
[`.env.example`](../.env.example) has each variable with an example, to be copied to `.env` and changed there. A wrong
or misspelt one stops the boot in one sentence, and `rota doctor` says from where each value came.

* **Times** are in seconds, or carry a unit: `500ms`, `30s`, `5m`, `2h`, `30d`. **Sizes** are in bytes, or carry one:
  `256KB`, `1.5GB`; a KB is 1024 bytes. **Rates** are a number of jobs and a time: `10/1s`, `100/m,burst=20`.
* **Set or not**: an empty variable is an error.
* **From a file**: `REDIS_PASSWORD_FILE=/run/secrets/redis_password` reads the value from that file, and a file of the
  variable's name in `SECRETS_DIR` needs no variable. Both hold for all variables but those of single queues.
* **With `ROTA_` before it**, as `ROTA_NAMESPACE`, a variable wins over the bare one, which a chart or a platform may
  have set for another program.
* **`.env`** is read in the working directory, outside production. The real environment wins over it, and a variable
  wins over the folder of secrets.
"""
_OF_QUEUES = """\
## Single queues

Each of these stands in place of a general setting for one queue: `QUEUES__EMAIL__CONCURRENCY=20`. In the
queue's name, `-` is written `_`. What a [job](jobs.md#options) or one enqueue says wins over it.
"""
_OF_COMPOSE = """\
## What Compose reads

Lines of `.env` for `docker-compose.prod.worker.yml` alone: no process gets them, and a change of them replaces only the
containers that it is about.

| variable | default | |
|---|---|---|
"""
#: One of them in `.env.example`: what it means, its name, and a value, which is the default unless it says otherwise.
_LINE_OF_COMPOSE = re.compile(r"((?:^# .*\n)+?)^# ([A-Z_]+)=(.*)\n", re.MULTILINE)
#: Variables that a sentence names, with their value or without one.
_NAMED = re.compile(r"(?<![`\w])([A-Z]+_[A-Z_]+[A-Z]|MODE=\w+)(?![`\w])")
_HEAD = "\n| variable | default | may be | |\n|---|---|---|---|\n"
_UNITS = {
    "seconds": ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")),
    "bytes": ((1024**3, "GB"), (1024**2, "MB"), (1024, "KB"), (1, "")),
    "": (),
}


def page() -> str:
    """Return the text of the page, as it is to be written."""
    parts = [_OPENING]
    for title, names in groups().items():
        rows = (_row(name.upper(), field, meaning) for name, field, meaning in names)
        parts.append(f"## {title}\n{_HEAD}" + "".join(rows))
    rows = (
        _row(f"QUEUES__EMAIL__{name.upper()}", field, meaning)
        for name, field, meaning in _described(QueueOptions)
    )
    parts.append(_OF_QUEUES + _HEAD + "".join(rows))
    parts.append(_OF_COMPOSE + "".join(_rows_of_compose()))
    return "\n".join(parts)


def groups() -> dict[str, list[tuple[str, FieldInfo, str]]]:
    """Return the general settings by the title of their part, those for Redis second, as most readers look for them."""
    described = {name: (name, field, meaning) for name, field, meaning in _described(Variables)}
    (first, names), *others = _parts().items()
    found = {first: [described[name] for name in names]}
    found |= {title: list(_described(kind)) for title, kind in _GROUPS.items()}
    return found | {title: [described[name] for name in names] for title, names in others}


def _parts() -> dict[str, list[str]]:
    """Return the names of the fields of Variables by the comments that divide them: `# -- Queues --`."""
    found: dict[str, list[str]] = {}
    for line in inspect.getsource(Variables).splitlines():
        if title := re.fullmatch(r" {4}# -- (.+) --", line):
            found[title[1]] = []
        elif (name := re.match(r" {4}(\w+): ", line)) and name[1] != "queues":
            found[next(reversed(found))].append(name[1])
    return found


def _described(kind: type[BaseModel]) -> Iterator[tuple[str, FieldInfo, str]]:
    """Yield the name of each field of a class of settings, the field, and the sentence below it."""
    body = cast(ast.ClassDef, ast.parse(inspect.getsource(kind)).body[0])
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            name = ast.unparse(field.target)
            yield name, kind.model_fields[name], str(text.value.value)


def _row(name: str, field: FieldInfo, meaning: str) -> str:
    kind = re.sub(r",? written .*", "", allowed(field)).replace("|", r"\|")
    sentence = re.sub(r"\bNone\b", "not set", meaning).replace("|", r"\|")
    sentence = _NAMED.sub(r"`\1`", sentence)
    return f"| `{name}` | {_default(field)} | {kind} | {sentence} |\n"


def _rows_of_compose() -> Iterator[str]:
    example = (ROOT / ".env.example").read_text("utf-8")
    for comment, name, value in _LINE_OF_COMPOSE.findall(example.partition("\n# -- docker-compose.prod")[2]):
        said = " ".join(line.removeprefix("# ") for line in comment.splitlines())
        meaning, unset, default = said.partition(" Not set by default: ")
        first, _, rest = f"{default} ".partition(". ")
        shown = f"not set: {first}" if unset else f"`{value}`"
        sentence = _NAMED.sub(r"`\1`", f"{meaning} {rest}".strip())
        yield f"| `{name}` | {shown} | {sentence} |\n"


def _default(field: FieldInfo) -> str:
    unit = unit_of(field)
    if field.default_factory is None:
        return _shown(field.default, unit)
    here, there = (
        _shown(field.default_factory({"app_env": env}), unit)  # type: ignore[call-arg]
        for env in ("development", "production")
    )
    return here if here == there else f"{here}, in production {there}"


def _shown(value: Any, unit: str) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    for size, name in _UNITS[unit]:
        if value and value % size == 0:
            return f"`{value / size:.0f}{name}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
