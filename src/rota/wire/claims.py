"""What goes between the engine and whoever runs its jobs: a claim in, a settlement out. Both are values.

Times are milliseconds here, as they are on the wire.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json


def decode_id(raw: bytes) -> str:
    """A queue member as text; bytes that are no UTF-8 survive the way there and back."""
    return raw.decode("utf-8", "surrogateescape")


def encode_id(job_id: str) -> bytes:
    """The member that `decode_id` read."""
    return job_id.encode("utf-8", "surrogateescape")


def sendable(text: str) -> str | bytes:
    """Text that may hold what UTF-8 has no bytes for (half a surrogate pair), as something that can be sent."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace")


def _time(text: str) -> int:
    """A score as a time; somebody else may have written one that is none (an infinity)."""
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return 0


class Checkpoint(NamedTuple):
    """What a run has saved last. `number` counts the saves of a job, over all its attempts; `state` is JSON."""

    number: int = 0
    state: bytes = b"null"

    @classmethod
    def read(cls, raw: bytes | None) -> "Checkpoint":
        """A checkpoint as it lies in Redis, `number state`; one with the number 0 where there is none."""
        if raw is None:
            return _NOTHING  # of most jobs: made once
        number, _, state = raw.partition(b" ")
        return cls(int(number) if number.isdigit() else 0, state)

    def wire(self) -> bytes:
        """What `read` reads."""
        return b"%d %b" % self

    @property
    def value(self) -> Any:
        """The state; raises ValueError for one that is no JSON."""
        return from_json(self.state, allow_inf_nan=False)


_NOTHING = Checkpoint()


class Claim(NamedTuple):
    """One job handed to this worker, under a token that no other claim has.

    `payload` is None where it has expired. `attempt` counts from 1. Times are server milliseconds; `unknown_since_ms`
    is 0 unless workers before could not run it. `lost` counts executions that ended with no word from their worker,
    `snoozes` those that the handler put off. `terms` are those that it was enqueued with, as the scripts know them.
    `checkpoint` is what an attempt before this one saved, as it lies in Redis. `recovered` says that the claim before
    this one was lost: of all claims after a loss, one says so.
    """

    id: str
    token: str
    payload: bytes | None
    attempt: int
    due_ms: int
    started_ms: int
    lost: int = 0
    unknown_since_ms: int = 0
    aborted: bool = False
    terms: str = ""
    checkpoint: bytes | None = None
    snoozes: int = 0
    recovered: bool = False

    @classmethod
    def read(cls, row: Sequence[Any]) -> "Claim":
        """A claim as step.lua returns it: id, run entry, payload, attempt, aborted, terms, checkpoint, snoozes."""
        raw_id, entry, payload, attempt, aborted, terms, checkpoint, snoozes = row
        token, due, started, lost, unknown = entry.decode().split(" ")
        return cls(
            decode_id(raw_id),
            token,
            payload,
            attempt,
            _time(due),
            int(started),
            int(lost),
            int(unknown),
            aborted == 1,
            terms.decode("utf-8", "surrogateescape"),
            checkpoint,
            int(snoozes or 0),
            token.endswith("!"),
        )


#: A running job's progress: its claim, its name, percent, message.
Report = tuple[Claim, str, float, str]


class Settlement(NamedTuple):
    """What one claim came to, as the step script is told.

    `kind` is F (finished: leaves Redis but for its record), D (finished as a dead letter) or A (again, after
    `delay_ms`; -1 puts it back at its old place). `note` is the reason of a death, or "1" where no function was known.
    `checkpoint` is what the attempt saved last, if that is not written yet and the job is not over (A) or dead (D).
    `context` stays here: the contract gets it back with the answer.
    """

    id: str
    token: str
    kind: str
    delay_ms: int = 0
    unspent: bool = False
    note: str = ""
    record: bytes = b""
    record_ms: int = 0
    event: str = ""
    task: str = ""
    attempt: int = 0
    detail: bytes = b""
    context: Any = None
    checkpoint: bytes = b""

    def args(self) -> tuple[Any, ...]:
        """The twelve values of step.lua."""
        job_id, token, kind, delay_ms, unspent, note, record, record_ms, event, task, attempt, detail, *_ = (
            self
        )
        return (
            encode_id(job_id),
            token,
            kind,
            delay_ms,
            1 if unspent else 0,
            sendable(note),
            record,
            record_ms,
            event,
            sendable(task),
            attempt,
            detail,
        )


def hand_back(claim: Claim, delay: float | None = None) -> Settlement:
    """Put a claim back as if it had not been made: at its old place, or due in `delay` seconds."""
    return Settlement(claim.id, claim.token, "A", -1 if delay is None else round(delay * 1000), unspent=True)
