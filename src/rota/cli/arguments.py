"""What is written on the command line, read: times, moments and payloads, each refused by the name of its option."""

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_core import from_json

from rota.errors import RotaError
from rota.units import InvalidDuration, parse_duration

#: How times are shown in the help of an option.
TIME = "TIME"

AsJson = Annotated[bool, typer.Option("--json", help="as JSON, for programs")]


def confirmed(question: str) -> bool:
    """Ask a person for a yes. Raises RotaError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise RotaError(f"{question} Nobody is there to say so: --yes says it")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def duration(option: str, least: float = 0.0) -> Callable[[str | float], float]:
    """Return a reader of the times that `option` takes, written as in settings: `90`, `500ms`, `30s`, `5m`, `1h`.

    Its default, a number of seconds, is read too.
    """

    def read(text: str | float) -> float:
        try:
            seconds = parse_duration(text)
        except InvalidDuration:
            seconds = -1.0
        if seconds < least:
            bounds = f"{least:g} or more seconds"
            raise RotaError(
                f"{option} is {text!r}; it is a time of {bounds}, written 0.5, 30, 500ms, 30s, 5m, 2h or 30d"
            )
        return seconds

    return read


def whole(option: str, least: int, most: int) -> Callable[[str | int], int]:
    """Return a reader of the whole numbers that `option` takes; its default is read too."""

    def read(given: str | int) -> int:
        text = str(given)
        number = int(text) if text.removeprefix("-").isdecimal() else least - 1
        if not least <= number <= most:
            raise RotaError(
                f"{option} is {text!r}; it is a whole number from {least} to {most}, as {max(20, least)}"
            )
        return number

    return read


def moment(text: str) -> datetime:
    """Read the moment that `--at` takes: a date and a time with its zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        raise RotaError(f"--at is {text!r}; it is a time with its zone, as 2027-01-31T09:00:00+01:00, or …Z")
    return at


def payload(text: str) -> dict[str, Any]:
    """Read the arguments of a job, a JSON object: as it stands, from stdin (`-`) or from a file (`@file`)."""
    try:
        value = from_json(_source(text))
    except ValueError as error:
        raise RotaError(
            f'the payload is not JSON ({error}); write an object such as \'{{"to": "ann"}}\''
        ) from None
    if not isinstance(value, dict):
        raise RotaError(f"the payload is a JSON {type(value).__name__}; write an object of named arguments")
    return value


def _source(text: str) -> str | bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise RotaError(
            f"the payload's file {text[1:]!r} cannot be read: {error.strerror or error}"
        ) from None
