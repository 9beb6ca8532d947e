"""The jobs of ticks, as the scheduler finds them: whether they wait, run, or are over, and how they ended."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rota.errors import RefusedPayload, UnreadablePayload
from rota.model.schedules.planning import Ended
from rota.model.schedules.state import State
from rota.wire.keys import RESULT, RETRY, QueueKeys, queue_key, tick_id
from rota.wire.results import decode_result
from rota.wire.sealing.sealed import unseal_record
from rota.wire.sealing.seals import Sealer


@dataclass(frozen=True, slots=True)
class Found:
    """The job of a tick: whether it is on its queue, whether a worker ever had it, and its final record.

    `record` has no seal any more; one whose seal did not fit is none.
    """

    is_there: bool
    has_started: bool
    record: bytes | None

    def ended(self, now: int) -> Ended:
        """Return how a job that is not there ended; without a record that can be read, only that it did."""
        try:
            record = decode_result(self.record or b"")
        except UnreadablePayload:
            return Ended("gone", now)
        if record.success:
            return Ended("completed", record.finished_ms)
        return Ended("cancelled" if record.cancelled else "dead", record.finished_ms, record.reason)


async def find(
    redis: Any, states: Iterable[State], sealer: Sealer | None = None
) -> Mapping[str, Mapping[int, Found]]:
    """Return the jobs that schedules follow, by name and tick, in one round trip. Raises what redis-py raises."""
    asked: list[tuple[str, str, int]] = []
    pipe = redis.pipeline(transaction=False)
    for state in states:
        if state.place is None:
            continue
        keys = QueueKeys.of(queue_key(state.place[0]))
        for tick in {*state.open, *([state.tick] if state.tick is not None else [])}:
            job_id = tick_id(state.name, tick)
            asked.append((state.place[0], state.name, tick))
            pipe.zscore(keys.queue, job_id)
            pipe.zscore(keys.active, job_id)
            pipe.exists(f"{RETRY}{job_id}")
            pipe.get(f"{RESULT}{job_id}")
    answers = await pipe.execute() if asked else []
    found: dict[str, dict[int, Found]] = defaultdict(dict)
    for place, (queue, name, tick) in enumerate(asked):
        due, active, tried, record = answers[4 * place : 4 * place + 4]
        record = record and _trusted(sealer, record, queue, tick_id(name, tick))
        found[name][tick] = Found(due is not None, active is not None or bool(tried), record)
    return found


def _trusted(sealer: Sealer | None, record: bytes, queue: str, job_id: str) -> bytes | None:
    """Return a record without its seal, as far as this process can open it; None for one that it does not trust."""
    try:
        return unseal_record(sealer, record, queue=queue, job_id=job_id)
    except RefusedPayload as error:
        return record if error.needs_key else None
