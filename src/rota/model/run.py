"""What a handler holds while it runs: who it is, what it may use, and how to say how far it is."""

import logging
import math
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from rota.model.checkpoint import encode
from rota.model.flows.batch import Batch
from rota.model.trace import log_fields

_LOGGER = logging.getLogger("jobs")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_MESSAGE_LIMIT = 500
_CHECKPOINT_LIMIT = 262_144


class Run:
    """One attempt of a job, as its handler sees it.

    `id` is the job's id; `job` the job's short name; `attempt` counts from 1 to `max_attempts`; `snoozes` is how often
    this job has put itself off; `deps` is what the jobs package's lifespan yielded. `last_checkpoint` is what an
    attempt before this one saved last, None if there is nothing; `checkpoint_limit` how many bytes of JSON may be
    saved. `batch` is the batch that called this job back, if one did. `headers` came with the job; `payload` is the
    job as it lay in Redis (empty in a child process); `waited` is how long it was due before this attempt began,
    seconds. `cancelled` turns true when the attempt is to end early: a plain function in a thread should look at it
    now and then, since a thread cannot be stopped from outside.
    """

    __slots__ = (
        "_enqueued_ms",
        "_keep",
        "_report",
        "_stopped_by",
        "attempt",
        "batch",
        "cancelled",
        "checkpoint_limit",
        "deps",
        "headers",
        "id",
        "job",
        "last_checkpoint",
        "max_attempts",
        "payload",
        "queue",
        "snoozes",
        "waited",
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
        snoozes: int = 0,
        report: Callable[[float, str], None] | None = None,
        last_checkpoint: Any = None,
        checkpoint_limit: int = _CHECKPOINT_LIMIT,
        keep: Callable[[bytes], None] | None = None,
        batch: Batch | None = None,
        payload: bytes = b"",
        waited: float = 0.0,
        stopped_by: Callable[[], str | None] | None = None,
    ) -> None:
        self.id = id
        self.job = job
        self.queue = queue
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.deps = deps
        self.headers = headers
        self.batch = batch
        self.snoozes = snoozes
        self.cancelled = False
        self._enqueued_ms = enqueued_ms
        self._report = report
        self.last_checkpoint = last_checkpoint
        self.checkpoint_limit = checkpoint_limit
        self._keep = keep
        self.payload = payload
        self.waited = waited
        self._stopped_by = stopped_by

    @property
    def enqueued_at(self) -> datetime:
        """When the job was enqueued, in UTC, by the enqueuer's clock."""
        return datetime.fromtimestamp(self._enqueued_ms / 1000, UTC)

    @property
    def stopped_by(self) -> str:
        """Why the attempt was told to end: timeout, cancel, shutdown or lease_lost. Empty while it was not."""
        return (self._stopped_by() if self._stopped_by else None) or ""

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry the job's id, name, queue and attempt, and its trace and tenant."""
        fields: dict[str, Any] = {
            "job_id": self.id,
            "job": self.job,
            "queue": self.queue,
            "attempt": self.attempt,
            **log_fields(self.headers),
        }
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

    def checkpoint(self, state: Any) -> None:
        """Save how far the job is: if this attempt does not complete it, the next has `state` as `last_checkpoint`.

        `state` is any JSON value, a dataclass or a pydantic model, and comes back as the JSON value that it was at this
        call. The latest wins; None begins anew. Cheap, and the same in a coroutine, a thread and a process: the state
        is written every half second, and when the attempt ends. Only a process that dies without a word, as by
        kill -9, loses what it saved since the last write.

        Raises TypeError for what JSON cannot carry, CheckpointTooLarge.
        """
        raw = encode(state, self.checkpoint_limit)
        if self._keep is not None:
            self._keep(raw)

    def __repr__(self) -> str:
        return f"<Run {self.queue}:{self.job} {self.id} attempt {self.attempt} of {self.max_attempts}>"


class _JobLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the job's fields to those that the call itself passes in `extra`."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The record's arguments, with the job's fields: what a call names like one of them stands beside it."""
        own, given = self.extra or {}, kwargs.get("extra") or {}
        kwargs["extra"] = {f"{name}_" if name in own else name: value for name, value in given.items()} | {
            **own
        }
        return msg, kwargs
