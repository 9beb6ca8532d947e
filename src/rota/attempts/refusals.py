"""Jobs whose seals do not fit: what the log says of them."""

import logging
import math
from collections.abc import Callable

from rota.errors import RefusedPayload
from rota.names import printable
from rota.wire.claims import Claim

logger = logging.getLogger("rota.worker")

#: A key that is missing is logged this often at most, in seconds.
_TOLD = 60.0
_MOST_KEYS = 100


class Refusals:
    """The jobs of one queue that a worker does not open.

    :param now: a monotonic clock, in seconds.
    """

    def __init__(self, queue: str, now: Callable[[], float]) -> None:
        self._queue = queue
        self._now = now
        self._told: dict[str, float] = {}

    def tell_refused(self, claim: Claim, error: RefusedPayload) -> None:
        """Log that a job is dead before it was read."""
        logger.error("job.refused", extra=self._fields(claim, error))

    def tell_sealed(self, claim: Claim, error: RefusedPayload) -> None:
        """Log that a job is left to workers with more keys; of one key once a minute."""
        now = self._now()
        if now - self._told.get(error.key, -math.inf) < _TOLD:
            return
        if len(self._told) >= _MOST_KEYS:
            self._told.clear()
        self._told[error.key] = now
        logger.warning("job.sealed", extra=self._fields(claim, error))

    def _fields(self, claim: Claim, error: RefusedPayload) -> dict[str, object]:
        return {
            "job_id": printable(claim.id),
            "queue": self._queue,
            "reason": error.reason,
            "bytes": len(claim.payload or b""),
            "error": str(error),
        }
