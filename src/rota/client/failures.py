"""Dead letters grouped by the cause of death: one bug makes thousands of letters, and is one line here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rota.errors.causes import cause_of
from rota.model.info import FailureGroup
from rota.server.faults import explained
from rota.wire.claims import decode_id
from rota.wire.keys import QueueKeys, queue_key
from rota.wire.results import error_of

#: How many letters one round trip reads.
_CHUNK = 1000
_HOUR, _DAY, _WEEK = 3600.0, 86_400.0, 604_800.0
#: How many ids a group shows, and how many names and reasons.
_SHOWN = 5


@dataclass(slots=True)
class _Group:
    """The letters of one cause that were read so far, the newest first."""

    queue: str
    cause: str
    newest: bytes
    ages: list[float] = field(default_factory=list)
    tasks: dict[str, None] = field(default_factory=dict)
    reasons: dict[str, None] = field(default_factory=dict)
    ids: list[bytes] = field(default_factory=list)
    versions: dict[str, None] = field(default_factory=dict)

    def add(self, member: bytes, age: float, task: str, reason: str, version: str) -> None:
        self.ages.append(age)
        if version:
            self.versions[version] = None
        for seen, name in ((self.tasks, task), (self.reasons, reason)):
            if name and len(seen) < _SHOWN:
                seen[name] = None
        if len(self.ids) < _SHOWN:
            self.ids.append(member)

    def shown_versions(self) -> tuple[str, ...]:
        """Return the versions, the oldest first: that of the first letter, and as many of the newest as are shown."""
        newest_first = list(self.versions)
        chosen = newest_first[: _SHOWN - 1] + newest_first[_SHOWN - 1 :][-1:]
        return tuple(reversed(chosen))


async def failures(
    redis: Any, queues: Iterable[str], moved: Callable[[int, int], object] | None = None
) -> list[FailureGroup]:
    """Return the dead letters of some queues by cause, the most numerous first. Raises ServerError.

    `moved` is told how many letters were read, and how many there are.
    """
    read = _Read(moved)
    async with explained(redis):
        seconds, micros = await redis.time()
        now = seconds + micros / 1e6
        groups = [group for queue in queues for group in await _of_queue(redis, queue, now, read)]
        found = [await _shown(redis, group, now) for group in groups]
    return sorted(found, key=lambda group: (-group.count, -group.last_at.timestamp()))


@dataclass(slots=True)
class _Read:
    """The number of letters that were read so far, and who is told of it."""

    moved: Callable[[int, int], object] | None
    done: int = 0
    of: int = 0

    def more(self, letters: int, of_queue: int) -> None:
        self.of += of_queue
        self.done += letters
        if self.moved is not None:
            self.moved(self.done, self.of)


async def _of_queue(redis: Any, queue: str, now: float, read: _Read) -> list[_Group]:
    keys = QueueKeys.of(queue_key(queue))
    groups: dict[str, _Group] = {}
    start = 0
    read.more(0, await redis.zcard(keys.dead))
    while members := await redis.zrange(keys.dead, start, start + _CHUNK - 1, desc=True, withscores=True):
        start += len(members)
        read.more(len(members), 0)
        letters = await _letters(redis, keys.dead, [member for member, _ in members])
        for (member, ms), (cause, task, reason, version) in zip(members, letters, strict=True):
            if cause is None:
                continue  # the letter has expired, and its place in the list has not yet
            group = groups.setdefault(cause, _Group(queue, cause, member))
            group.add(member, now - ms / 1000, task, reason, version)
    return list(groups.values())


async def _letters(redis: Any, dead: str, members: Sequence[bytes]) -> list[tuple[str | None, str, str, str]]:
    """Return cause, job's name, reason and version of letters; None in place of the cause of one that is gone."""
    async with redis.pipeline(transaction=False) as pipe:
        for member in members:
            pipe.hmget(_letter(dead, member), "cause", "task", "reason", "version")
        found: list[list[str | None]] = [
            # The key may be of another type, and then it holds no letter.
            [_text(raw) for raw in one] if isinstance(one, list) else [None] * 4
            for one in await pipe.execute(raise_on_error=False)
        ]
        # A letter of before causes were recorded, or one that another program wrote, has its error all the same.
        bare = [place for place, (cause, *_) in enumerate(found) if not cause]
        for place in bare:
            pipe.hget(_letter(dead, members[place]), "error")
        for place, raw in zip(bare, await pipe.execute(raise_on_error=False), strict=True):
            error = error_of(raw) if isinstance(raw, bytes) else None
            found[place][0] = None if error is None else cause_of(error, error.type)
    return [(cause, task or "", reason or "", version or "") for cause, task, reason, version in found]


async def _shown(redis: Any, group: _Group, now: float) -> FailureGroup:
    dead = QueueKeys.of(queue_key(group.queue)).dead
    raw = await redis.hget(_letter(dead, group.newest), "error")
    return FailureGroup(
        queue=group.queue,
        cause=group.cause,
        error=error_of(raw or b""),
        count=len(group.ages),
        last_hour=sum(age < _HOUR for age in group.ages),
        last_day=sum(age < _DAY for age in group.ages),
        last_week=sum(age < _WEEK for age in group.ages),
        first_at=datetime.fromtimestamp(now - max(group.ages), UTC),
        last_at=datetime.fromtimestamp(now - min(group.ages), UTC),
        tasks=tuple(group.tasks),
        reasons=tuple(group.reasons),
        ids=tuple(decode_id(member) for member in group.ids),
        versions=group.shown_versions(),
    )


def _letter(dead: str, member: bytes) -> bytes:
    return f"{dead}:".encode() + member


def _text(raw: Any) -> str | None:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else None
