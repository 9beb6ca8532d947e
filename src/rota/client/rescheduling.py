"""Rescheduling: a job that waits becomes due at another time, now for example."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rota.client import view
from rota.model.info import RescheduleAnswer
from rota.settings.settings import Settings
from rota.wire.claims import encode_id
from rota.wire.keys import QueueKeys, events_key, queue_key
from rota.wire.scripts import RESCHEDULE

_ANSWERS: dict[bytes, RescheduleAnswer] = {b"rescheduled": "rescheduled", b"running": "running"}


async def reschedule(
    redis: Any, settings: Settings, queue: str, job_id: str, *, delay: float, at: datetime | None
) -> RescheduleAnswer:
    """Make a job due `delay` seconds from now, or at `at`. Raises the faults of Redis as they are."""
    info = await view.find_given(redis, queue, job_id)
    if info is None or info.state.is_over:
        return "not found" if info is None else "finished"
    due_ms = -1 if at is None else round(at.timestamp() * 1000)
    answer = await RESCHEDULE(
        redis,
        (queue_key(queue), events_key(settings.namespace)),
        (queue, settings.events_maxlen, encode_id(info.id), due_ms, round(delay * 1000), info.task),
    )
    return _ANSWERS.get(answer, "finished")


async def run_now(redis: Any, settings: Settings, queue: str, ids: Sequence[str]) -> list[bool]:
    """Make jobs that wait due now, by their ids in Redis; return for each whether it is.

    Raises the faults of Redis as they are.
    """
    found = await view.find(redis, queue, QueueKeys.of(queue_key(queue)), ids, sealer=settings.sealer)
    named = dict(zip(ids, ("" if info is None else info.task for info in found), strict=True))
    keys = (queue_key(queue), events_key(settings.namespace))
    calls = [(queue, settings.events_maxlen, encode_id(one), -1, 0, task) for one, task in named.items()]
    answers = await RESCHEDULE.each(redis, keys, calls)
    return [answer == b"rescheduled" for answer in answers]
