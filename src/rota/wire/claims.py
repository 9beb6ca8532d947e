"""The two values between the engine and the runner of its jobs: a claim goes in, and a settlement comes out.

Times are milliseconds of the server's clock, as they are on the wire.
"""

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, NamedTuple

from pydantic_core import from_json


def decode_id(raw: bytes) -> str:
    """Return a queue's member as text. `encode_id` restores the same bytes, even those that are not UTF-8."""
    return raw.decode("utf-8", "surrogateescape")


def encode_id(job_id: str) -> bytes:
    """Return the member that `decode_id` read."""
    return job_id.encode("utf-8", "surrogateescape")


def ms_of(time: tuple[int, int]) -> int:
    """Return the server's answer to TIME, seconds and microseconds, in milliseconds."""
    seconds, micros = time
    return seconds * 1000 + micros // 1000


def sendable(text: str) -> str | bytes:
    """Return `text` as something that can be sent: half a surrogate pair has no bytes in UTF-8, and is escaped."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace")


def _time(text: str) -> int:
    """Return a text as a time; 0 for one that is not a time, as an infinity that another program wrote."""
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return 0


def progress_of(raw: bytes | None) -> tuple[float | None, str]:
    """Return how far a job is that runs, in percent, and its message, as it lies in Redis."""
    percent, _, message = (raw or b"").decode("utf-8", "replace").partition(" ")
    try:
        return float(percent), message
    except ValueError:
        return None, message


class Checkpoint(NamedTuple):
    """The latest state that a handler has saved, as JSON. `number` counts the saves of a job, over all its attempts."""

    number: int = 0
    state: bytes = b"null"

    @classmethod
    def read(cls, raw: bytes | None) -> "Checkpoint":
        """Read a checkpoint as it lies in Redis, `number state`. Without one the number is 0."""
        if raw is None:
            return _NOTHING  # Most jobs save nothing.
        number, _, state = raw.partition(b" ")
        return cls(int(number) if number.isdigit() else 0, state)

    def wire(self) -> bytes:
        """Return the bytes that `read` reads."""
        return b"%d %b" % self

    @property
    def value(self) -> Any:
        """The state as a value. Raises ValueError if it is not JSON."""
        return from_json(self.state, allow_inf_nan=False)


_NOTHING = Checkpoint()


class Claim(NamedTuple):
    """One job handed to this worker, under a token that no other claim has.

    `payload` is None if it has expired. `attempt` counts from 1. `due_ms` is the job's place in the queue, and
    `started_ms` the time of this claim. `lost` counts earlier claims whose leases ended with no word from their worker.
    `unknown_since_ms` is when a worker first had no such job, 0 if that has not happened. `aborted` says that the job's
    cancel was asked for. `terms` are what the scripts know of the job beside its payload. `checkpoint` is what an
    earlier attempt saved, as it lies in Redis. `snoozes` counts how often the handler put the job off. `recovered` says
    that the claim before this one was lost: of all claims after a loss, the first one says so; `lost_by` is the worker
    that had it, and `taken_back_ms` the time since which it waits again. `unreadable` names what Redis held of the job
    and nobody can read, "run entry" say; what it would have said counts as 0.
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
    lost_by: str = ""
    taken_back_ms: int = 0
    unreadable: str = ""

    @classmethod
    def read(cls, row: Sequence[Any]) -> "Claim":
        """Read a claim as step.lua returns it: id, run entry, payload, attempt.

        Of a job of which there is more to say, these follow: aborted, terms, checkpoint, snoozes, and, if the script
        could not read something of the job, the name of that.
        """
        raw_id, entry, payload, attempt, *more = row
        job_id = raw_id.decode("utf-8", "surrogateescape")
        try:
            token, due, rest = entry.decode().split(" ", 2)
            claim = _claim((job_id, token, payload, attempt, int(float(due)), *_since_then(rest)))
        except (ValueError, OverflowError):
            token, times, unreadable = _read_strange(entry)
            claim = _claim((job_id, token, payload, attempt, *times, *_PLAIN_CLAIM))
            claim = claim._replace(unreadable=unreadable)
        if "!" in token:
            lost_by, taken_back_ms = _read_mark(token)
            claim = claim._replace(recovered=True, lost_by=lost_by, taken_back_ms=taken_back_ms)
        return claim._with(*more) if more else claim

    def _with(
        self,
        aborted: int,
        terms: bytes,
        checkpoint: bytes | None,
        snoozes: bytes | None,
        strange: bytes = b"",
    ) -> "Claim":
        unreadable = self.unreadable or strange.decode()
        try:
            put_off = int(snoozes or 0)
        except ValueError:
            put_off, unreadable = 0, "snoozes"
        return self._replace(
            aborted=aborted == 1,
            terms=terms.decode("utf-8", "surrogateescape"),
            checkpoint=checkpoint,
            snoozes=put_off,
            unreadable=unreadable,
        )


# As `Claim._make`, which calls it through two functions more; and what stands in a plain job's claim after its times.
_claim = partial(tuple.__new__, Claim)
_PLAIN_CLAIM = tuple(Claim._field_defaults.values())[2:]


@lru_cache(256)
def _since_then(text: str) -> tuple[Any, ...]:
    """Return a plain job's claim from `started_ms` on: what its run entry ends with, and the defaults.

    Of most jobs of a step this is the same. Raises ValueError for anything but three numbers.
    """
    started, lost, unknown = text.split(" ")
    return int(started), int(lost), int(unknown), *_PLAIN_CLAIM


def _read_strange(entry: bytes) -> tuple[str, tuple[int, int, int, int], str]:
    """Read of a run entry what can be read: its token, its times, and what is unreadable."""
    token, _, rest = entry.decode("utf-8", "replace").partition(" ")
    due, _, rest = rest.partition(" ")
    try:
        started, lost, unknown = map(int, rest.split(" "))
    except ValueError:
        return token, (0, 0, 0, 0), "run entry"
    return token, (_time(due), started, lost, unknown), ""


def _read_mark(token: str) -> tuple[str, int]:
    """Return what the token of a job that was lost ends with: the worker that had it, and when it was taken back."""
    worker, _, at = token.partition("!")[2].rpartition("@")
    return worker, _time(at.removesuffix("~"))  # which says that the loss does not count


#: A running job's progress: its claim, its name, percent, message.
Report = tuple[Claim, str, float, str]


class SettlementKind(StrEnum):
    """The three ways in which a settlement ends a claim; the values are those that step.lua reads.

    FINISHED: the job leaves Redis, except for its record. DEAD: the same, and a dead letter keeps it. AGAIN: the job
    goes back to wait for its next claim.
    """

    FINISHED = "finished"
    DEAD = "dead"
    AGAIN = "again"


class Told(NamedTuple):
    """The part of a settlement that is the same for every kind: the fields of its event, and arq's final record.

    `event` is the event's type, empty for none; `task` the job's name; `attempt` its number; `detail` the result or the
    error, as JSON. `record` is empty for none; `record_ms` is how long it is kept, 0 for ever. `context` is not sent:
    the contract gets it back with the answer.
    """

    event: str = ""
    task: str = ""
    attempt: int = 0
    detail: bytes = b""
    record: bytes = b""
    record_ms: int = 0
    context: Any = None


_NOTHING_TOLD = Told()


class Settlement(NamedTuple):
    """The end of one claim, as the step script gets it. `finished`, `dead`, `again` and `hand_back` make one.

    `event` to `context` are those of `Told`.

    FINISHED and DEAD: `reason` says why the job died or was cancelled. `mirror_ms` is how long arq's in-progress key
    stays after a cron job.

    AGAIN: `delay_ms` is the time until the job is due, None for its old place in the queue. `unspent` gives the attempt
    back. `unknown` says that this worker has no such job, so that other workers go first. `terms` are those that a
    limited job was enqueued without.

    AGAIN and DEAD: `checkpoint` is what the attempt saved last, if that is not written yet.

    AGAIN: `failure` is the error of an attempt that will be repeated, as JSON.

    `log` is what the handler has logged and is not written yet, as `rota.wire.log.pieces` says; empty for a job of
    which nothing was logged.
    """

    id: str
    token: str
    kind: SettlementKind
    event: str = ""
    task: str = ""
    attempt: int = 0
    detail: bytes = b""
    record: bytes = b""
    record_ms: int = 0
    context: Any = None
    reason: str = ""
    mirror_ms: int = 0
    delay_ms: int | None = None
    unspent: bool = False
    unknown: bool = False
    terms: str = ""
    checkpoint: bytes = b""
    failure: bytes = b""
    log: bytes = b""

    @classmethod
    def finished(
        cls, claim: Claim, told: Told = _NOTHING_TOLD, *, reason: str = "", mirror_ms: int = 0
    ) -> "Settlement":
        """End the job: it was completed, or cancelled for `reason`."""
        return _settlement((claim.id, claim.token, _FINISHED, *told, reason, mirror_ms, *_LAST_EXTRAS))

    @classmethod
    def dead(cls, claim: Claim, reason: str, told: Told = _NOTHING_TOLD) -> "Settlement":
        """End the job, and keep it as a dead letter."""
        return cls(claim.id, claim.token, SettlementKind.DEAD, *told, reason)

    @classmethod
    def again(
        cls,
        claim: Claim,
        delay: float | None,
        told: Told = _NOTHING_TOLD,
        *,
        unspent: bool = False,
        unknown: bool = False,
        terms: str = "",
    ) -> "Settlement":
        """Put the job back: due in `delay` seconds, or at its old place in the queue (None)."""
        delay_ms = None if delay is None else round(delay * 1000)
        kind, no_reason, no_mirror = SettlementKind.AGAIN, "", 0
        return cls(
            claim.id, claim.token, kind, *told, no_reason, no_mirror, delay_ms, unspent, unknown, terms
        )

    def extras(self) -> Sequence[tuple[str, Any]]:
        """Return what only some settlements have, by the names that step.lua has for it."""
        extras = (
            ("reason", sendable(self.reason)),
            ("mirror_ms", self.mirror_ms),
            ("unspent", int(self.unspent)),
            ("unknown", int(self.unknown)),
            ("terms", sendable(self.terms)),
            ("checkpoint", self.checkpoint),
            ("failure", self.failure),
            ("log", self.log),
        )
        given = [(name, value) for name, value in extras if value]
        return given if self.delay_ms is None else [*given, ("delay_ms", self.delay_ms)]


# As `Settlement._make`, which calls it through two functions more. To read a member off its enum takes Python 3.11 as
# long as to make the tuple.
_settlement = partial(tuple.__new__, Settlement)
_FINISHED = SettlementKind.FINISHED
_FIRST_EXTRA = Settlement._fields.index("reason")
_NO_EXTRAS = tuple(Settlement._field_defaults.values())[-len(Settlement._fields) + _FIRST_EXTRA :]
#: Those after `reason` and `mirror_ms`.
_LAST_EXTRAS = _NO_EXTRAS[2:]
# What many settlements of a step have in common.
_shape = itemgetter(*map(Settlement._fields.index, ("kind", "event", "task", "attempt", "record_ms")))


def written(settlements: Sequence[Settlement]) -> list[Any]:
    """Return settlements as step.lua reads them: shapes, which many have in common; all of them; and their extras."""
    shapes: dict[tuple[SettlementKind, str, str, int, int], int] = {}
    values: list[Any] = []
    extras: list[Any] = []
    for place, settlement in enumerate(settlements, 1):
        shape = shapes.setdefault(_shape(settlement), len(shapes) + 1)
        job_id = settlement.id.encode("utf-8", "surrogateescape")
        values += job_id, settlement.token, shape, settlement.detail, settlement.record
        if settlement[_FIRST_EXTRA:] != _NO_EXTRAS:
            for name, value in settlement.extras():
                extras += place, name, value
    words: list[Any] = [len(shapes), len(settlements)]
    for kind, event, task, attempt, record_ms in shapes:
        words += kind, event, sendable(task), attempt, record_ms
    return words + values + extras


def hand_back(claim: Claim, delay: float | None = None, *, unspent: bool = True) -> Settlement:
    """Put a claim back as if it had not been made: at the job's old place, or due in `delay` seconds.

    One that is not `unspent` has spent its attempt.
    """
    return Settlement.again(claim, delay, Told(attempt=claim.attempt), unspent=unspent)
