"""What a handler holds while it runs: who it is, what it may use, and how to say how far it is."""

import logging
import math
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

_LOGGER = logging.getLogger("jobs")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_MESSAGE_LIMIT = 500


class Run:
    """One attempt of a job, as its handler sees it.

    `id` is the job's id; `job` the job's short name; `attempt` counts from 1 to `max_attempts`; `deps` is
    what the jobs package's lifespan yielded. `cancelled` turns true when the attempt is to end early: a plain
    function in a thread should look at it now and then, since a thread cannot be stopped from outside.
    """

    __slots__ = (
        "_enqueued_ms",
        "_report",
        "attempt",
        "cancelled",
        "deps",
        "headers",
        "id",
        "job",
        "max_attempts",
        "queue",
    )

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 (the field's word)
        job: str,
        queue: str,
        attempt: int = 1,
        max_attempts: int = 1,
        enqueued_ms: int = 0,
        deps: Any = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        report: Callable[[float, str], None] | None = None,
    ) -> None:
        self.id = id
        self.job = job
        self.queue = queue
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.deps = deps
        self.headers = headers
        self.cancelled = False
        self._enqueued_ms = enqueued_ms
        self._report = report

    @property
    def enqueued_at(self) -> datetime:
        """When the job was enqueued, in UTC, by the enqueuer's clock."""
        return datetime.fromtimestamp(self._enqueued_ms / 1000, UTC)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry the job's id, name, queue and attempt."""
        fields = {"job_id": self.id, "job": self.job, "queue": self.queue, "attempt": self.attempt}
        return _JobLog(_LOGGER, fields)

    def progress(self, percent: float, message: str = "") -> None:
        """Say how far the job is, from 0 to 100 (what is beyond counts as the end), and a word on it.

        Cheap, and the same in a coroutine, a thread and a process: reports are gathered and sent in turn.
        Raises ValueError for a percentage that is not a number, TypeError for a message that is not text.
        """
        if isinstance(percent, bool) or not isinstance(percent, int | float) or math.isnan(percent):
            raise ValueError(f"progress is {type(percent).__name__}; it is a number from 0 to 100")
        if not isinstance(message, str):
            raise TypeError(f"a progress message is text, not {type(message).__name__}")
        if self._report is not None:
            self._report(min(max(float(percent), 0.0), 100.0), message[:_MESSAGE_LIMIT])

    def __repr__(self) -> str:
        return f"<Run {self.queue}:{self.job} {self.id} attempt {self.attempt} of {self.max_attempts}>"


class _JobLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the job's fields to those that the call itself passes in `extra`."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The record's arguments, with the job's fields."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs
