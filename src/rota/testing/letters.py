"""The dead letters on a bench, read without awaiting."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rota.client.view import read_checkpoint, read_failures
from rota.errors import UnreadablePayload
from rota.model.info import JobInfo
from rota.model.state import State
from rota.wire import envelopes
from rota.wire.claims import decode_id


def dead_letters(redis: Any, dead: Mapping[str, str]) -> list[JobInfo]:
    """Return the dead letters of the queues in `dead` (name → key of its dead letters), oldest first."""
    found = []
    for queue, key in dead.items():
        for member, at in redis.zrange(key, 0, -1, withscores=True):
            letter = redis.hgetall(f"{key}:".encode() + member)
            if letter:
                found.append((at, _letter(queue, decode_id(member), letter)))
    return [info for _, info in sorted(found, key=lambda pair: pair[0])]


def _letter(queue: str, job_id: str, letter: Mapping[bytes, bytes]) -> JobInfo:
    return JobInfo(
        job_id,
        queue,
        State.DEAD,
        letter[b"task"].decode("utf-8", "replace"),
        attempts=int(letter[b"attempt"]),
        finished_at=datetime.fromtimestamp(int(letter[b"at"]) / 1000, UTC),
        error=envelopes.error_of(letter[b"error"]),
        reason=letter[b"reason"].decode(),
        payload=_payload(letter.get(b"payload")),
        checkpoint=read_checkpoint(letter.get(b"checkpoint")),
        failures=read_failures(letter.get(b"attempts")),
    )


def _payload(raw: bytes | None) -> dict[str, Any] | None:
    try:
        return envelopes.decode_job(raw or b"").kwargs
    except UnreadablePayload:
        return None
