"""One job from close up: everything that Redis holds of it, its log too, in one round trip.

Arguments, results and checkpoints are given as the text that lies there, since a float is not what its text says.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from rota.client.reading import WIDTH, Raw, info_of, time_of
from rota.client.view import ask
from rota.errors import RefusedPayload, UnreadablePayload
from rota.model.info import JobInfo
from rota.model.log.lines import LogLine, later, lines_of
from rota.model.state import State
from rota.names import ids_of
from rota.wire import envelopes
from rota.wire.claims import Checkpoint, encode_id, ms_of
from rota.wire.fields import members, shown
from rota.wire.keys import ABORT, LOG_OF_JOB, RESULT, QueueKeys, queue_key
from rota.wire.sealing.sealed import unseal_job, unseal_record
from rota.wire.sealing.seals import Sealer

#: What is asked beside that of which a `JobInfo` is made.
_MORE = 6
_TERM = re.compile(r"(?:^| )([a-z])=(\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Closeup:
    """One job as it is at a moment. Texts are JSON, as it lies in Redis; None where there is none.

    :param now: the server's time.
    :param arguments: the named arguments; `positional` are those of a stock client's job, a list.
    :param headers: what travels with it; of one that is over only whose it is, which `info` has.
    :param options: those of its enqueue which differ from its job's policy.
    :param terms: what the scripts know of it, by the letters of `rota.model.policies.terms`.
    :param has_letter: whether a dead letter of it is kept, which can be brought back.
    :param worker: who runs it.
    :param version: the version of the code in which it died.
    :param lost: how often a worker that had it fell silent; `lost_by` is the last one, if it waits since, and
        `taken_back_at` since when.
    :param lease_until: until when its worker holds it, unless the lease is renewed.
    :param is_stopping: whether it runs, and was told to stop.
    :param before: how many jobs of its queue were due before it, of one that waits; priorities may change the order.
    :param is_parked: whether a limit keeps it back.
    :param is_paused: whether its queue is paused.
    :param expires_at: when Redis forgets it, of a job that is over.
    """

    info: JobInfo
    now: datetime
    arguments: str | None = None
    positional: str | None = None
    result: str | None = None
    checkpoint: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    terms: Mapping[str, str] = field(default_factory=dict)
    has_letter: bool = False
    worker: str = ""
    version: str = ""
    lost: int = 0
    lost_by: str = ""
    taken_back_at: datetime | None = None
    lease_until: datetime | None = None
    is_stopping: bool = False
    before: int | None = None
    is_parked: bool = False
    is_paused: bool = False
    expires_at: datetime | None = None
    lines: tuple[LogLine, ...] = ()


async def look(
    redis: Any,
    queue: str,
    names: Sequence[str],
    sealer: Sealer | None = None,
    *,
    sees: Callable[[str | None], bool] = lambda _: True,
) -> Closeup | None:
    """Return the first job of these ids, those in Redis or those that their users gave, whose tenant the caller `sees`.

    None where Redis holds none.
    """
    keys, ids = QueueKeys.of(queue_key(queue)), [one for name in names for one in ids_of(queue, name)]
    pipe = redis.pipeline(transaction=True)
    pipe.time()
    pipe.exists(keys.paused)
    for one in ids:
        member = encode_id(one)
        ask(pipe, keys, member)
        pipe.hget(keys.terms, member)
        pipe.hgetall(LOG_OF_JOB.encode() + member)
        pipe.pttl(RESULT.encode() + member)
        pipe.pttl(f"{keys.dead}:".encode() + member)
        pipe.zscore(ABORT, member)
        pipe.zrank(keys.queue, member)
    time, paused, *replies = await pipe.execute()
    now, wide = ms_of(time), WIDTH + _MORE
    for number, one in enumerate(ids):
        raw, more = replies[number * wide :][:WIDTH], replies[number * wide + WIDTH :][:_MORE]
        found = Raw(*raw)
        info = info_of(one, queue, found, now, sealer)
        if info is not None and sees(info.tenant):
            return replace(_closeup(info, found, more, now, sealer), is_paused=bool(paused))
    return None


def _closeup(info: JobInfo, raw: Raw, more: list[Any], now: int, sealer: Sealer | None) -> Closeup:
    terms, log, record_ms, letter_ms, asked, before = more
    is_letter = bool(raw.letter) and info.state is State.DEAD
    is_live = raw.score is not None
    payload = raw.payload if is_live else raw.letter.get(b"payload") if is_letter else None
    texts = _of_payload(info, payload, sealer) if payload else _of_record(info, raw.result, sealer)
    named = raw.letter.get(b"terms") if is_letter else terms if is_live else None
    saved = raw.letter.get(b"checkpoint") if is_letter else raw.checkpoint if is_live else None
    left = letter_ms if is_letter else record_ms
    names = later(log)
    return Closeup(
        info=info,
        now=_moment(now),
        **texts,
        checkpoint=None
        if saved is None or info.checkpoint is None
        else Checkpoint.read(saved).state.decode("utf-8", "replace"),
        terms=dict(_TERM.findall((named or b"").decode("utf-8", "replace"))),
        has_letter=is_letter,
        version=raw.letter.get(b"version", b"").decode("utf-8", "replace") if is_letter else "",
        expires_at=None if is_live or left < 0 else _moment(now + left),
        lines=tuple(lines_of(names, map(log.get, names))),
        is_stopping=is_live and asked is not None,
        before=before if info.state is State.WAITING else None,
        **(_of_run(raw, info) if is_live else {}),
    )


def _of_payload(info: JobInfo, raw: bytes, sealer: Sealer | None) -> dict[str, Any]:
    """Return what a payload says, as its text; nothing of one that cannot be opened or read."""
    try:
        opened = unseal_job(sealer, raw, queue=info.queue, job_id=info.id)
        envelope = envelopes.decode_job(opened)
    except UnreadablePayload:
        return {}
    found = members(opened)
    return {
        "arguments": shown(found.get("k")),
        "positional": shown(found.get("a")) if envelope.args else None,
        "headers": envelope.headers,
        "options": envelope.options,
    }


def _of_record(info: JobInfo, raw: bytes | None, sealer: Sealer | None) -> dict[str, Any]:
    if raw is None or info.refused is not None:
        return {}
    try:
        found = members(unseal_record(sealer, raw, queue=info.queue, job_id=info.id))
    except RefusedPayload:
        return {}
    result = found.get("r") if info.state is State.COMPLETED else None
    return {"arguments": shown(found.get("k")), "result": shown(result)}


def _of_run(raw: Raw, info: JobInfo) -> dict[str, Any]:
    """Return what the run entry of a live job says: who has it, or that it was lost."""
    token, _, rest = (raw.run or b"").decode("utf-8", "replace").partition(" ")
    figures = rest.split(" ")
    lost = int(figures[2]) if len(figures) > 2 and figures[2].isdecimal() else 0  # noqa: PLR2004 - due started lost unknown
    if info.state is State.ACTIVE:
        until = time_of(raw.deadline or 0) if info.worker else None
        return {"worker": info.worker, "lost": lost, "lease_until": until}
    lost_by, _, at = token.partition("!")[2].rpartition("@")
    since = at.removesuffix("~")
    return {
        "is_parked": raw.parked is not None,
        "lost": lost,
        "lost_by": lost_by,
        "taken_back_at": time_of(int(since)) if since.isdecimal() else None,
    }


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
