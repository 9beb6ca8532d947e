"""One portion of rows, sent to Redis: what each becomes, and how that is written down."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from redis.exceptions import OutOfMemoryError, ResponseError
from sqlalchemy.ext.asyncio import AsyncConnection

from rota.model.audit.columns import place_of
from rota.server.outage import FAULTS
from rota.services.leadership import Leadership
from rota.store.outbox import waiting
from rota.store.schema import Row
from rota.store.values import stored
from rota.wire.keys import check_queue
from rota.wire.leading.outbox import (
    BATCH,
    NotRecorded,
    OutboxKeys,
    Reborn,
    Sending,
    Sent,
    Superseded,
    made_at,
)

logger = logging.getLogger("rota.outbox")

#: How long rows wait whose queue Redis refuses, in seconds: a key of another type is in its place.
_PUT_OFF = 60.0
#: How many events are left where a full Redis needs their room.
_EVENTS_IF_FULL = 1000
#: What keeps every further row from being sent.
_STOPPING: tuple[type[BaseException], ...] = (Reborn, NotRecorded, Superseded, *FAULTS)
#: Beginnings of what Redis answers where something is wrong with one queue's keys, and not with the server.
_OF_A_QUEUE = ("WRONGTYPE", "ERR ")


@dataclass(slots=True)
class Fates:
    """The fates of a portion of rows, by their keys.

    :param sent: by the time at which they were sent, in ms of Redis' clock.
    :param moved: rows that took the place of another job, with that one's id.
    :param newest: by an id that may have come before, the last row that was sent under it; the others are useless.
    :param over: rows that are of no more use.
    :param refused: rows that will not be sent, and why.
    :param later: rows that have to wait.
    :param stopped_by: what kept the rest from being sent; what became of that is not known.
    """

    sent: dict[int, list[str]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)
    over: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    later: list[str] = field(default_factory=list)
    stopped_by: BaseException | None = None

    @property
    def known(self) -> set[str]:
        """The rows of which it is known that they need not be sent."""
        return {*chain(*self.sent.values()), *self.over, *self.refused}


def mark_of(key: str, sends: int) -> str:
    """Return the name of one sending of a row."""
    return f"{key}:{sends}"


def key_of(mark: str) -> tuple[str, int]:
    """Return the row of a mark, and how often it had been sent before."""
    key, _, sends = mark.rpartition(":")
    return key, int(sends) if sends.isdecimal() else -1


@dataclass(frozen=True, slots=True)
class Way:
    """The way of rows into one Redis, in one term.

    :param keys: the outbox in that Redis.
    :param birth: its birth mark.
    :param leadership: the term.
    """

    redis: Any
    keys: OutboxKeys
    birth: str
    leadership: Leadership

    async def send(self, rows: Sequence[Row]) -> Fates:
        """Send rows, those of one queue together, until Redis cannot be used."""
        fates = Fates(refused={row["key"]: why for row in rows if (why := _what_is_wrong(row))})
        try:
            await self._send_all([row for row in rows if row["key"] not in fates.refused], fates)
        except _STOPPING as error:
            # What was sent before is written down: where Redis was emptied since, its jobs may be over already.
            fates.stopped_by = error
        return fates

    async def _send_all(self, rows: Sequence[Row], fates: Fates) -> None:
        for queue, of_queue in _by_queue(rows):
            for batch in _batches(of_queue):
                await self._send_some(queue, batch, fates)

    async def _send_some(self, queue: str, rows: Sequence[Row], fates: Fates) -> None:
        self.leadership.check()
        try:
            answers = await self._with_room(queue, [_sending(row) for row in rows])
        except ResponseError as error:
            if isinstance(error, OutOfMemoryError) or not str(error).startswith(_OF_A_QUEUE):
                raise
            logger.error(
                "outbox.queue_refused", extra={"queue": queue, "rows": len(rows), "error": str(error)}
            )
            fates.later += [row["key"] for row in rows]
            return
        for row, answer in zip(rows, answers, strict=True):
            _judge(row, answer, fates)

    async def _with_room(self, queue: str, rows: Sequence[Sending]) -> list[Sent]:
        try:
            return await self._put(queue, rows)
        except OutOfMemoryError:
            # Nothing was written. Of all that is ours only events may go before their time.
            if not await self.keys.cut_events(self.redis, _EVENTS_IF_FULL):
                raise
        return await self._put(queue, rows)

    async def _put(self, queue: str, rows: Sequence[Sending]) -> list[Sent]:
        epoch = self.leadership.epoch
        return await self.keys.send(self.redis, queue, rows, birth=self.birth, epoch=epoch)


def _what_is_wrong(row: Row) -> str | None:
    """Return why a row can never be sent, as another program may have written it; None where it can."""
    try:
        check_queue(row["queue"])
    except ValueError as error:
        return str(error)
    if stored("id", row["id"]) != row["id"]:
        # The end of its job would not be found in the audit table, and the job be sent again and again.
        return "its id has more than 900 bytes, or is not text"
    return None


def _sending(row: Row) -> Sending:
    is_again = row["sends"] > 0
    left = round(row["delay_ms"] - row["age"] * 1000) if row["delay_ms"] else 0
    return Sending(
        mark=mark_of(row["key"], row["sends"]),
        id=row["id"],
        name=row["name"],
        payload=bytes(row["payload"]),
        terms=row["terms"],
        unique=row["unique_key"],
        # What was sent before replaces nothing: a job that is there is its own, or a newer one.
        on_taken="existing" if is_again else row["on_taken"],
        at_ms=-1 if row["due_ms"] is None else row["due_ms"],
        # A delay that has passed meanwhile still says that the job is to be moved.
        delay_ms=max(left, 1) if row["delay_ms"] else 0,
        made=made_at(bytes(row["payload"])) if is_again else "",
    )


def _judge(row: Row, answer: Sent, fates: Fates) -> None:
    key, is_own_id = row["key"], row["id"] != row["key"]
    if answer.fate == "over":
        fates.over.append(key)
    elif answer.fate != "taken":
        fates.sent.setdefault(answer.at_ms, []).append(key)
        if answer.fate == "replaced":
            fates.moved[key] = answer.id
        if answer.fate == "replaced" or is_own_id:
            fates.newest[answer.id] = key
    elif answer.id == row["id"] and (row["sends"] > 0 or not is_own_id):
        # No job but its own can have this id.
        fates.sent.setdefault(answer.at_ms, []).append(key)
    elif row["on_taken"] == "existing" or (row["sends"] > 0 and row["on_taken"] != "refuse"):
        fates.over.append(key)
    else:
        fates.refused[key] = f"the job {answer.id} has its id or its unique key"


async def write_down(
    connection: AsyncConnection, fates: Fates, *, namespace: str, birth: str, now: datetime
) -> None:
    """Write down what became of rows of a namespace, in the transaction that holds them."""
    for at_ms, keys in fates.sent.items():
        await waiting.note_sent(connection, keys, birth=birth, place=place_of(f"{at_ms}-0.0"), now=now)
    for key, job_id in fates.moved.items():
        await waiting.note_moved(connection, key, job_id)
    for job_id, key in fates.newest.items():
        await waiting.drop_former(connection, namespace, key, job_id)
    for key, why in fates.refused.items():
        await waiting.note_refused(connection, key, why)
    await waiting.drop(connection, fates.over)
    await waiting.put_off(connection, fates.later, now + timedelta(seconds=_PUT_OFF))


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield rows in batches of which no two have an id or a unique key in common: the later may replace the earlier."""
    batch: list[Row] = []
    taken: set[str] = set()
    for row in rows:
        names = {row["id"], row["unique_key"]} - {""}
        if batch and (len(batch) == BATCH or names & taken):
            yield batch
            batch, taken = [], set()
        batch.append(row)
        taken |= names
    yield batch


def _by_queue(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    queue_of = itemgetter("queue")
    for queue, of_queue in groupby(sorted(rows, key=queue_of), key=queue_of):
        yield queue, list(of_queue)
