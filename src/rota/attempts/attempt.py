"""An attempt on its way through the runner: what was claimed, what was read of it, and what its queue allows."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from rota.model.flows.batch import Batch
from rota.wire import envelopes
from rota.wire.claims import Claim
from rota.wire.envelopes import FETCHED


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """What one queue allows of jobs that never run, and the queue's names.

    `unknown_grace`: seconds a job waits for a worker that knows it; `unknown_delay`: seconds between two tries.
    `payload_limit`: bytes that a job may save as its checkpoint; `result_limit`: bytes of its result.
    """

    queue: str
    queue_key: str
    max_lost: int = 3
    unknown_grace: float = 86400.0
    unknown_delay: float = 5.0
    keep_result: float = 3600.0
    namespace: str = "rota"
    payload_limit: int = 262_144
    result_limit: int = 1_048_576


@dataclass(slots=True)
class Attempt:
    """One claim, and what is known of it so far: `given` is what its flow gives it, `batch` what calls it back."""

    claim: Claim
    envelope: envelopes.Envelope | None = None
    started: float = 0.0
    number: int = 1
    given: bytes | None = None
    batch: Batch | None = None

    @property
    def task(self) -> str:
        """Its job's name; "" while nothing is read."""
        return self.envelope.name if self.envelope else ""

    @property
    def is_told(self) -> bool:
        """Whether it gets something from the flow that it is part of."""
        return self.envelope is not None and not FETCHED.isdisjoint(self.envelope.options)

    @property
    def headers(self) -> Mapping[str, str]:
        """What travelled with it."""
        return self.envelope.headers if self.envelope else {}

    @property
    def waited(self) -> float:
        """From due to started, seconds."""
        return max(0.0, (self.claim.started_ms - self.claim.due_ms) / 1000)

    @property
    def duration(self) -> float:
        """How long it has been at work, seconds."""
        return time.monotonic() - self.started
