"""The list of what was enqueued in a test environment, in this process, and the warning that nothing runs it."""

import logging
import warnings
from typing import Any, NamedTuple

from rota.model.job import Job
from rota.names import full_name
from rota.settings.settings import Settings

logger = logging.getLogger("rota.client")


class RecordedWarning(UserWarning):
    """Says that a job was recorded and will not run, once for each name: `ignore::rota.RecordedWarning` hushes it."""


class Recorded(NamedTuple):
    """A job as it would have gone to Redis; `due_ms` is when it would have been due. `job` is None if unknown."""

    queue: str
    task: str
    id: str
    payload: bytes
    due_ms: int
    job: Job[Any, Any] | None = None


#: What was recorded since the process began, or since a test has cleared it.
RECORDED: list[Recorded] = []
_warned: set[str] = set()


def record(one: Recorded) -> None:
    """Add a job to the list, and warn of the first of each name."""
    RECORDED.append(one)
    name = full_name(one.queue, one.task)
    if name not in _warned:
        _warned.add(name)
        found = "nothing runs it, and rota.testing.recorded() has it"
        _warn(f"APP_ENV=test: {name} was recorded and not enqueued; {found}")


def unsealed(settings: Settings) -> Settings:
    """Return settings with which nothing is signed or encrypted: what is recorded is read by the test itself."""
    return settings.model_copy(
        update={"payload_keys": None, "payload_signing": "off", "payload_encryption": False}
    )


def _warn(sentence: str) -> None:
    try:
        warnings.warn(sentence, RecordedWarning, stacklevel=2)
    except RecordedWarning:
        # Where every warning is made an error, an enqueue must still be none.
        logger.warning("job.recorded", extra={"warning": sentence})
