"""A row of the outbox as it is inserted, and the statement for that. It needs none of the extra `database`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

TABLE = "_outbox"
#: The most rows of one statement: with SQLite's older limit of parameters in mind.
MOST = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRow:
    """A job to be enqueued once the transaction that inserts it is committed, by the columns of `_outbox`."""

    key: str
    id: str
    namespace: str
    queue: str
    name: str
    payload: bytes
    terms: str
    unique_key: str
    on_taken: str
    due_ms: int | None
    delay_ms: int
    tenant: str | None


COLUMNS = tuple(field.name for field in fields(NewRow))
_values = attrgetter(*COLUMNS)

#: How drivers write the place of a parameter, by its number from 0.
Placeholder = Callable[[int], str]


def dollars(number: int) -> str:
    """Return `$1` for the first parameter, as PostgreSQL itself has it."""
    return f"${number + 1}"


def percents(_: int) -> str:
    """Return `%s`, as psycopg and Django have it."""
    return "%s"


def statement(rows: Sequence[NewRow], placeholder: Placeholder) -> tuple[str, list[object]]:
    """Return the INSERT of these rows, and its parameters."""
    values = [value for row in rows for value in _values(row)]
    width = len(COLUMNS)
    places = (
        f"({', '.join(placeholder(first + column) for column in range(width))})"
        for first in range(0, len(values), width)
    )
    return f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES {', '.join(places)}", values  # noqa: S608 - no values


def portions(rows: Sequence[NewRow]) -> list[Sequence[NewRow]]:
    """Return the rows in the portions that one statement takes."""
    return [rows[first : first + MOST] for first in range(0, len(rows), MOST)]
