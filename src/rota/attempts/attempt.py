"""One attempt as a value: a claim on its way through the runner, with what each step has found out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from rota.engine.execution import Execution
from rota.model.flows.batch import Batch
from rota.model.job import Job
from rota.model.options import EnqueueOptions
from rota.model.outcome import Cause, Rules
from rota.wire.claims import Claim
from rota.wire.envelopes import FETCHED, HOME, Envelope


@dataclass(frozen=True, slots=True)
class Handler:
    """A job as this process runs it: the job, and the rules by which its attempts are judged.

    `is_limited` says whether a limit counts its jobs.
    """

    job: Job[Any, Any]
    rules: Rules
    is_limited: bool = field(init=False)

    def __post_init__(self) -> None:
        job = self.job
        object.__setattr__(self, "is_limited", job.limit is not None or job.concurrency is not None)


class Attempt:
    """One claim on its way through the runner.

    A *claim* is what the queue handed over. The *execution* is the engine's hold on it, by which it can be stopped. The
    *attempt* is both, and what the runner's steps add. The *run* is the part that the handler sees.

    `started` is by a monotonic clock, in seconds. `number` counts attempts from 1. `keep_result` is how long the record
    is kept, in seconds.
    """

    # Added by the steps: open, look up, fetch, call. Until then, the defaults of the class hold.

    #: The claim's payload, without its seal.
    payload: bytes = b""
    envelope: Envelope | None = None
    #: The job's name, also where it was enqueued under an old one.
    task: str = ""
    #: The envelope's. Most jobs have none.
    options: Mapping[str, Any] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})
    handler: Handler
    job: Job[Any, Any]
    #: The handler's, with what this enqueue asked for instead.
    rules: Rules
    given: bytes | None = None
    batch: Batch | None = None
    result: bytes = b""
    error: BaseException | None = None

    def __init__(
        self, execution: Execution, claim: Claim, started: float, number: int, keep_result: float
    ) -> None:
        self.execution = execution
        self.claim = claim
        self.started = started
        self.number = number
        self.keep_result = keep_result

    @property
    def home(self) -> str | None:
        """The job's own queue, where it was enqueued on another one than that."""
        home = self.options.get(HOME)
        return home if isinstance(home, str) else None

    @property
    def is_cancelled(self) -> bool:
        """Whether the job was cancelled before this moment."""
        return self.execution.cause is Cause.CANCEL

    @property
    def needs_input(self) -> bool:
        """Whether the job gets something from the flow that it is part of."""
        return not FETCHED.isdisjoint(self.options)

    @property
    def waited(self) -> float:
        """How long the job waited before it was claimed, in seconds. An attempt that was lost does not count."""
        claim = self.claim
        waited_ms = claim.started_ms - claim.due_ms
        if claim.taken_back_ms > claim.due_ms:
            waited_ms = claim.started_ms - claim.taken_back_ms
        return waited_ms / 1000 if waited_ms > 0 else 0.0


def override(rules: Rules, wire: Mapping[str, Any]) -> Rules:
    """Return `rules` with what an enqueue asked for instead (the options in its envelope). Raises UnreadablePayload."""
    own = EnqueueOptions.from_wire(wire)
    return replace(
        rules,
        max_attempts=rules.max_attempts if own.max_attempts is None else own.max_attempts,
        backoff=own.backoff or rules.backoff,
        timeout=own.timeout or rules.timeout,
        keep_result=rules.keep_result if own.keep_result is None else own.keep_result,
    )
