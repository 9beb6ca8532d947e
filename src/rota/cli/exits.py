"""The exit status of each command: one table, which docs/command-line.md shows, and the errors that it stands for."""

from rota.app.respawn import EXIT_AWAY, EXIT_WRONG
from rota.errors import (
    JobCancelled,
    JobExists,
    JobFailed,
    JobNotFound,
    LifespanFailed,
    MoreThanExpected,
    NoDeadLetter,
    NotReplayed,
    NotRunning,
    ResultTimeout,
    RotaError,
    UnknownOperation,
    WorkerSilent,
)
from rota.server.embedded import EmbeddedServerError
from rota.server.faults import ServerError
from rota.store.faults import SchemaBehind, StoreError

#: What was asked did not happen, and nothing is wrong with how it was asked.
FAILED = 1
NOT_FOUND = 3
NO_RESULT = 4
CANCELLED = 5

_STATUS: tuple[tuple[type[RotaError] | tuple[type[RotaError], ...], int], ...] = (
    (
        (
            JobFailed,
            JobExists,
            MoreThanExpected,
            LifespanFailed,
            NoDeadLetter,
            NotReplayed,
            NotRunning,
            SchemaBehind,
        ),
        FAILED,
    ),
    ((JobNotFound, UnknownOperation), NOT_FOUND),
    ((ResultTimeout, WorkerSilent), NO_RESULT),
    (JobCancelled, CANCELLED),
    ((ServerError, EmbeddedServerError, StoreError), EXIT_AWAY),
)


def status_of(error: RotaError) -> int:
    """Return the exit status that stands for `error`; what the table does not name is wrong usage or settings."""
    return next((status for kinds, status in _STATUS if isinstance(error, kinds)), EXIT_WRONG)
