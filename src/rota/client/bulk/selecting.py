"""Which jobs of Redis a filter chooses for an action: found portion by portion, so that no call takes Redis long."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rota.client import view
from rota.client.bulk.sets import Place, Scores, after
from rota.client.looking.live import look
from rota.errors import UnreadablePayload
from rota.errors.causes import cause_of
from rota.model.bulk.filters import BulkAction, Facts, Filter
from rota.model.info import JobInfo
from rota.model.policies.terms import tenant_in
from rota.model.state import State
from rota.names import id_of_tenant, ids_of
from rota.wire import envelopes
from rota.wire.claims import decode_id, encode_id, ms_of
from rota.wire.keys import ABORT, JOB, QueueKeys, queue_key
from rota.wire.results import error_of
from rota.wire.sealing.seals import Sealer

#: The most jobs that are looked at, and changed, in one portion; and the most that are looked at to be counted.
PORTION, COUNTED = 200, 1000
_FLOW = re.compile(r"(?:^| )w=[^\s:|]+:flow:([^\s|]+)")


class At(NamedTuple):
    """A place among all jobs that may be chosen: which queue, and behind which job of it."""

    queue: int = 0
    place: Place | None = None

    def write(self) -> list[Any]:
        """Return the place as a list that JSON can carry."""
        return [self.queue, *((self.place.score, decode_id(self.place.member)) if self.place else ())]

    @classmethod
    def read(cls, raw: Sequence[Any]) -> "At":
        """Return the place that `write` has written."""
        return cls(raw[0], Place(float(raw[1]), encode_id(raw[2])) if len(raw) > 1 else None)


class Chosen(NamedTuple):
    """The jobs that are chosen of one portion, and where the next one begins; None behind the last."""

    queue: str
    members: list[bytes]
    next: At | None


@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs that a filter chooses for an action.

    :param queues: the queues that are looked at, in this order.
    :param until_ms: the moment of the choice, in ms of the server's clock: what died later is not chosen.
    :param sealer: opens what is sealed, to be shown.
    """

    redis: Any
    action: BulkAction
    wanted: Filter
    queues: tuple[str, ...]
    until_ms: int
    sealer: Sealer | None = None

    @property
    def is_of_letters(self) -> bool:
        """Whether dead letters are chosen, and not live jobs."""
        return self.wanted.states(self.action) == (State.DEAD,)

    async def portion(self, at: At, most: int | None = None) -> Chosen:
        """Return what is chosen of the next jobs behind a place. Raises what redis-py raises."""
        if at.queue >= len(self.queues):
            return Chosen("", [], None)
        queue = self.queues[at.queue]
        keys = QueueKeys.of(queue_key(queue))
        found, behind = await self._candidates(keys, at.place, most or PORTION)
        following = At(at.queue + 1) if behind is None else At(at.queue, behind)
        members = (
            await self._of_letters(keys, found) if self.is_of_letters else await self._of_live(keys, found)
        )
        return Chosen(queue, members, following if following.queue < len(self.queues) else None)

    async def count(self, seconds: float) -> tuple[int, bool]:
        """Return how many jobs are chosen, and whether that are all: counting ends after `seconds`."""
        end = time.monotonic() + seconds
        if not self.wanted.named and not self.wanted.looks_at_jobs(dead=self.is_of_letters):
            return await (self._count_letters() if self.is_of_letters else self._count_live()), True
        counted, at = 0, At()
        while True:
            chosen = await self.portion(at, COUNTED)
            counted += len(chosen.members)
            if chosen.next is None:
                return counted, True
            if time.monotonic() > end:
                return counted, False
            at = chosen.next

    async def sample(self, most: int, seconds: float) -> list[JobInfo]:
        """Return the first jobs that are chosen, at most `most`, and those that are found within `seconds`."""
        end = time.monotonic() + seconds
        sample: list[JobInfo] = []
        at: At | None = At()
        while at is not None and len(sample) < most and time.monotonic() < end:
            chosen = await self.portion(at)
            ids = [decode_id(member) for member in chosen.members[: most - len(sample)]]
            if ids:
                keys = QueueKeys.of(queue_key(chosen.queue))
                found = await view.find(
                    self.redis, chosen.queue, keys, ids, letters=self.is_of_letters, sealer=self.sealer
                )
                sample += [info for info in found if info is not None]
            at = chosen.next
        return sample

    async def _count_letters(self) -> int:
        pipe = self.redis.pipeline(transaction=False)
        low, high = self._times
        for queue in self.queues:
            pipe.zcount(QueueKeys.of(queue_key(queue)).dead, repr(low), repr(high))
        return sum(await pipe.execute()) if self.queues else 0

    async def _count_live(self) -> int:
        """Return how many jobs of the queues are in one of the states; in one round trip, however many there are."""
        counts = (await look(self.redis, self.queues, None)).counts.values()
        return sum(of_queue[state] for of_queue in counts for state in self.wanted.states(self.action))

    @property
    def _times(self) -> Scores:
        """The first and the last ms of the deaths that are looked at; all scores where the jobs live."""
        if not self.is_of_letters:
            return Scores()
        since, until = self.wanted.since, self.wanted.until
        low = float("-inf") if since is None else since.timestamp() * 1000
        # Times in Redis are whole, and `until` itself is not in it.
        high = float(self.until_ms) if until is None else min(self.until_ms, until.timestamp() * 1000 - 1)
        return Scores(low, high)

    async def _candidates(
        self, keys: QueueKeys, place: Place | None, most: int
    ) -> tuple[list[Place], Place | None]:
        """Return the next members of the set that may be chosen, and the place behind them, if there are others."""
        key = keys.dead if self.is_of_letters else keys.queue
        scores = self._times
        if self.wanted.named:
            return await self._named(key, keys.queue, place, most)
        if self.action is BulkAction.RUN_NOW:
            scores = Scores(float(self.until_ms))
        return await after(self.redis, key, scores, place, most)

    async def _named(
        self, key: str, queue: str, place: Place | None, most: int
    ) -> tuple[list[Place], Place | None]:
        """Return the members of a set that the filter names, a portion of its ids at a time."""
        name, (low, high) = queue.rpartition(":")[2], self._times
        begin = 0 if place is None else int(place.score)
        # Each id may be of four members.
        end = begin + most // 4
        given = [each for one in self.wanted.named[begin:end] for each in self._meanings(one)]
        members = [encode_id(one) for job_id in given for one in ids_of(name, job_id)]
        scores = await self.redis.zmscore(key, members) if members else []
        found = [
            Place(score, member)
            for member, score in dict(zip(members, scores, strict=True)).items()
            if score is not None and low <= score <= high
        ]
        return found, Place(end, b"") if end < len(self.wanted.named) else None

    def _meanings(self, job_id: str) -> tuple[str, ...]:
        tenant = self.wanted.tenant
        return (job_id,) if tenant is None else (job_id, id_of_tenant(tenant, job_id))

    async def _of_letters(self, keys: QueueKeys, found: Sequence[Place]) -> list[bytes]:
        """Return those letters that are still kept and meet the conditions."""
        if not self.wanted.looks_at_jobs(dead=True):
            return [one.member for one in found]
        pipe = self.redis.pipeline(transaction=False)
        for one in found:
            pipe.hmget(f"{keys.dead}:".encode() + one.member, "task", "reason", "cause", "error", "terms")
        letters = await pipe.execute(raise_on_error=False) if found else []
        return [
            one.member
            for one, raw in zip(found, letters, strict=True)
            # The key may be of another type, and then it holds no letter.
            if isinstance(raw, list) and raw[1] is not None and self.wanted.includes(_letter(raw, one.score))
        ]

    async def _of_live(self, keys: QueueKeys, found: Sequence[Place]) -> list[bytes]:
        """Return those live jobs that are in one of the states and meet the conditions."""
        if not found:
            return []
        members = [one.member for one in found]
        pipe = self.redis.pipeline(transaction=False)
        pipe.time()
        for key in (keys.active, keys.parked, ABORT):
            pipe.zmscore(key, members)
        pipe.hmget(keys.attempts, members)
        clock, active, parked, aborted, failures = await pipe.execute()
        now, states = ms_of(clock), self.wanted.states(self.action)
        chosen = []
        for one, *scores, failed in zip(found, active, parked, aborted, failures, strict=True):
            is_done = scores[2] is not None if self._cancels else self._ran_since(failed)
            if _state(one.score, scores, now) in states and not is_done:
                chosen.append(one.member)
        if not chosen or not self.wanted.looks_at_jobs(dead=False):
            return chosen
        return [
            member
            for member, facts in zip(chosen, await self._facts(keys, chosen), strict=True)
            if facts is not None and self.wanted.includes(facts)
        ]

    def _ran_since(self, failures: bytes | None) -> bool:
        """Tell whether a job has failed since the choice began, as one does that was run now before."""
        last = (failures or b"").rpartition(b"\n")[2].split(maxsplit=2)[1:2]
        return bool(last) and last[0].isdigit() and int(last[0]) > self.until_ms

    @property
    def _cancels(self) -> bool:
        return self.action is BulkAction.CANCEL

    async def _facts(self, keys: QueueKeys, members: Sequence[bytes]) -> list[Facts | None]:
        pipe = self.redis.pipeline(transaction=False)
        pipe.mget([JOB.encode() + member for member in members])
        pipe.hmget(keys.terms, members)
        payloads, terms = await pipe.execute()
        return [_live(*pair) for pair in zip(payloads, terms, strict=True)]


def _state(score: float, scores: Sequence[float | None], now: int) -> State:
    active, parked, _ = scores
    if active is not None:
        return State.ACTIVE
    return State.WAITING if score <= now or parked is not None else State.DELAYED


def _letter(raw: Sequence[bytes | None], score: float) -> Facts:
    task, reason, cause, error, terms = raw
    found = error_of(error or b"")
    return Facts(
        name=_text(task),
        error=found,
        # A letter of before causes were recorded has its error all the same.
        cause=_text(cause) or (cause_of(found, found.type) or ""),
        reason=_text(reason),
        flow=_flow(terms),
        tenant=tenant_in(_text(terms)),
        at_ms=score,
    )


def _live(payload: bytes | None, terms: bytes | None) -> Facts | None:
    try:
        envelope = envelopes.outlined(payload or b"")
    except UnreadablePayload:
        return None
    return Facts(
        name=envelope.name, flow=_flow(terms), tenant=tenant_in(_text(terms)), at_ms=envelope.enqueued_ms
    )


def _flow(terms: bytes | None) -> str:
    found = _FLOW.search(_text(terms))
    return found[1] if found else ""


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")
