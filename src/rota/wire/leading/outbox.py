"""The outbox as Redis sees it: rows of a database are sent as jobs, each once, and what tells that Redis was emptied.

The relay calls these. A row that was sent has a *mark* in Redis until the database knows that it was sent, so that a
relay which is killed between the two sends it again without effect. The *birth mark* is a text that is made once: where
it is missing, or another one, Redis has lost what the database believes to be there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from rota.errors import UnreadablePayload
from rota.names import new_id
from rota.wire.claims import decode_id, encode_id
from rota.wire.envelopes import outlined
from rota.wire.keys import (
    JOB,
    QueueKeys,
    events_key,
    leader_epoch_key,
    outbox_bell_key,
    outbox_birth_key,
    outbox_marks_key,
    queue_key,
    recording_key,
    records_key,
)
from rota.wire.leading.bells import hear, ring
from rota.wire.scripts import OUTBOX

#: The most rows of one call of the script: it keeps a call near 2 ms of Redis' time.
BATCH = 200
#: How long marks are kept where no relay removes them, in ms.
_MARKS_MS = 86_400_000

#: What became of a row: its job was put; a live job has its id or its unique key; it replaced one; its job is over.
Fate = Literal["put", "taken", "replaced", "over"]
_FATES: tuple[Fate, ...] = ("taken", "put", "replaced", "over")


class Reborn(Exception):
    """Raised where Redis is not the one that the caller knows: what was sent before is to be sent again."""


class NotRecorded(Exception):
    """Raised where nothing records what becomes of jobs, for now: a row would never learn of its job's end."""


class Superseded(Exception):
    """Raised where a later leader is at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A row on its way, as `outbox.lua` takes it.

    :param mark: the name of this sending of this row, unlike any other.
    :param made: when the row's job was made, in ms, where the row was sent before; empty the first time.
    """

    mark: str
    id: str
    name: str
    payload: bytes
    terms: str
    unique: str
    on_taken: str
    at_ms: int = -1
    delay_ms: int = 0
    made: str = ""

    def wire(self) -> tuple[Any, ...]:
        """Return the 9 values of the job that the script takes."""
        when = (self.at_ms, self.delay_ms, 0)
        return (encode_id(self.id), self.payload, *when, self.name, self.terms, self.unique, self.on_taken)


class Sent(NamedTuple):
    """The answer for a row: its fate, the id of the job that it is now, and when, in ms of the server's clock."""

    fate: Fate
    id: str
    at_ms: int


def made_at(payload: bytes) -> str:
    """Return when a job was made, in ms, as its payload says; "0" where it does not."""
    try:
        return str(outlined(payload).enqueued_ms)
    except UnreadablePayload:
        return "0"


class OutboxKeys:
    """The outbox of a deployment in Redis.

    :param namespace: the prefix of the deployment's own keys.
    :param events_maxlen: about how many entries the stream of events keeps.
    """

    def __init__(self, namespace: str, events_maxlen: int = 10_000) -> None:
        self.namespace = namespace
        self.records = records_key(namespace)
        self._maxlen = events_maxlen
        self._events = events_key(namespace)
        self._birth = outbox_birth_key(namespace)
        self._marks = outbox_marks_key(namespace)
        self._bell = outbox_bell_key(namespace)
        self._fences = (recording_key(namespace), leader_epoch_key(namespace))

    async def birth(self, redis: Any) -> str:
        """Return the birth mark, which is made where there is none. Raises what redis-py raises."""
        found = await redis.get(self._birth)
        if found is None:
            await redis.set(self._birth, new_id(), nx=True)
            found = await redis.get(self._birth)
        return (found or b"").decode("utf-8", "replace")

    async def send(
        self, redis: Any, queue: str, rows: Sequence[Sending], *, birth: str, epoch: int
    ) -> list[Sent]:
        """Put the jobs of rows, at most BATCH of them, on a queue; return what became of each.

        Raises Reborn, NotRecorded and Superseded, when nothing was put; and what redis-py raises.
        """
        keys = QueueKeys.of(queue_key(queue))
        named = (keys.queue, keys.wake, self._events, self._marks, self._birth, *self._fences)
        values = [value for row in rows for value in row.wire()]
        marks = [value for row in rows for value in (row.mark, row.made)]
        head = (queue, self._maxlen, birth, epoch, _MARKS_MS, len(rows))
        said, *answers = await OUTBOX(redis, named, (*head, *values, *marks))
        if said != b"sent":
            raise {b"reborn": Reborn, b"unrecorded": NotRecorded}.get(said, Superseded)
        return [
            _sent(row, answer, at) for row, answer, at in zip(rows, answers[::2], answers[1::2], strict=True)
        ]

    async def cut_events(self, redis: Any, left: int) -> bool:
        """Make room in a full Redis: leave `left` events; tell whether any went. Raises what redis-py raises."""
        return bool(await redis.xtrim(self._events, maxlen=left))

    async def marks(self, redis: Any) -> list[str]:
        """Return the marks of all rows that were sent and not forgotten. Raises what redis-py raises."""
        return [mark.decode("utf-8", "replace") for mark in await redis.hkeys(self._marks)]

    async def forget(self, redis: Any, marks: Sequence[str]) -> None:
        """Remove the marks of rows of which the database knows that they were sent. Raises what redis-py raises."""
        if marks:
            await redis.hdel(self._marks, *marks)

    async def ring(self, redis: Any) -> None:
        """Wake the relay: rows were committed. Raises what redis-py raises."""
        pipe = redis.pipeline(transaction=True)
        ring(pipe, self._bell)
        await pipe.execute()

    async def hear(self, redis: Any, seconds: float) -> None:
        """Wait until the bell is rung, for at most `seconds`. Raises what redis-py raises."""
        await hear(redis, self._bell, seconds)

    async def present(self, redis: Any, ids: Sequence[str]) -> list[bool]:
        """Tell of each id whether a live job has it. Raises what redis-py raises."""
        pipe = redis.pipeline(transaction=False)
        for one in ids:
            pipe.exists(JOB.encode() + encode_id(one))
        return [bool(found) for found in await pipe.execute()]

    async def last_record(self, redis: Any) -> str:
        """Return the id of the newest record, up to which the recorder has to have read; "0-0" where none is."""
        newest = await redis.xrevrange(self.records, count=1)
        last: str = newest[0][0].decode() if newest else "0-0"
        return last


def _sent(row: Sending, answer: Any, at: bytes | str) -> Sent:
    code, holder = (answer, row.id) if isinstance(answer, int) else (answer[0], decode_id(answer[1]))
    return Sent(_FATES[code], holder, int(at))
