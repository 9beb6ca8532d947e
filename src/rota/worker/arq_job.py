"""One job of arq's while it runs: its claim, what could be read of its payload, and its record."""

import logging
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from arq.jobs import Deserializer, SerializationError, Serializer, deserialize_job_raw, serialize_result
from arq.utils import args_to_string, ms_to_datetime

from rota.errors import UnreadablePayload
from rota.names import printable
from rota.wire.claims import Claim

logger = logging.getLogger("arq.worker")

#: A start that is later than this is logged with its delay, as arq does, in milliseconds.
LATE = 1200


@dataclass
class ArqJob:
    """A claimed job. Until `read`, its name and arguments are placeholders; `ref` is what arq calls it in logs."""

    claim: Claim
    ref: str
    attempt: int
    started: float = field(default_factory=time.monotonic)
    name: str = "<unknown>"
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    enqueued_ms: int = 0
    enqueued_at: datetime | None = None

    def read(self, deserializer: Deserializer | None) -> int:
        """Read the payload; return how often the job had been tried when it was enqueued.

        Raises SerializationError for a payload that cannot be read, which is logged.
        """
        try:
            name, args, kwargs, tries, enqueued_ms = deserialize_job_raw(
                self.claim.payload or b"", deserializer=deserializer
            )
            # arq uses these as they come, and its worker ends when they have another type.
            self.name, self.args, self.kwargs = str(name), tuple(args), dict(kwargs)
            self.enqueued_at = ms_to_datetime(int(enqueued_ms))
            self.enqueued_ms = int(enqueued_ms)
            return int(tries or 0)
        except SerializationError as error:
            logger.exception("deserializing job %s failed", printable(self.claim.id))
            if isinstance(error.__cause__, UnreadablePayload):
                raise SerializationError(f"unable to deserialize job: {error.__cause__}") from error
            raise
        except BaseException as error:
            logger.exception("deserializing job %s failed", printable(self.claim.id))
            raise SerializationError("unable to deserialize job") from error

    @property
    def seconds(self) -> float:
        """Seconds since it started."""
        return time.monotonic() - self.started

    def age(self) -> float:
        """Return the seconds from its enqueue to its claim, by the server's clock."""
        return (self.claim.started_ms - self.enqueued_ms) / 1000

    def log_start(self) -> None:
        """Log that it starts, in arq's words."""
        if not logger.isEnabledFor(logging.INFO):
            return
        extra = f" try={self.attempt}" if self.attempt > 1 else ""
        late = self.claim.started_ms - self.claim.due_ms
        if late > LATE:
            extra += f" delayed={late / 1000:0.2f}s"
        logger.info("%6.2fs → %s(%s)%s", self.age(), self.ref, args_to_string(self.args, self.kwargs), extra)

    def record(
        self, success: bool, result: Any, queue_name: str, serializer: Serializer | None
    ) -> bytes | None:
        """Return arq's record of its end, now; None if neither the result nor arq's message in its place serializes."""
        started_ms = self.claim.started_ms
        return serialize_result(
            self.name,
            self.args,
            self.kwargs,
            self.attempt,
            self.enqueued_ms,
            success,
            result,
            started_ms,
            started_ms + round(self.seconds * 1000),
            self.ref,
            queue_name,
            job_id=self.claim.id,
            serializer=serializer,
        )
