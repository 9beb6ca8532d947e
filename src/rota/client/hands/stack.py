"""Asks the worker that runs a job where the job's handler is."""

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Any

from rota.client import view
from rota.client.reading import worker_in
from rota.errors import JobNotFound, NotRunning, WorkerSilent
from rota.model.info import JobInfo
from rota.model.stack.stack import JobStack
from rota.model.state import State
from rota.server.faults import explained
from rota.wire.claims import encode_id
from rota.wire.keys import QueueKeys, queue_key, stack_answer_key, stack_key

#: How long a worker may take to answer, in seconds.
PATIENCE = 5.0
#: From one look for the answer to the next, in seconds.
_LOOK = 0.05
#: A request that no worker takes is removed after this, in milliseconds.
_LIFE_MS = 6000


async def ask(redis: Any, queue: str, job_id: str) -> JobStack:
    """Return where a running job is. Raises JobNotFound, NotRunning, WorkerSilent, ServerError."""
    async with explained(redis):
        info = await _running(redis, queue, job_id)
        pipe = redis.pipeline(transaction=False)
        pipe.time()
        pipe.hget(QueueKeys.of(queue_key(queue)).runs, encode_id(info.id))
        (seconds, micros), entry = await pipe.execute()
        worker = worker_in(entry)
        if not worker:
            raise NotRunning(info.id, "is with a worker of arq's own, which cannot be asked")
        raw = await _answer(redis, worker, info.id)
        if raw == b"null":
            await _running(redis, queue, job_id)
            raise NotRunning(info.id, "has just ended an attempt")
    now = datetime.fromtimestamp(seconds + micros / 1e6, UTC)
    ran = max(0.0, (now - info.started_at).total_seconds()) if info.started_at else 0.0
    known = {"id": info.id, "queue": queue, "task": info.task, "worker": worker}
    return JobStack.read(raw, **known, started_at=info.started_at, seconds=round(ran, 3))


async def _running(redis: Any, queue: str, job_id: str) -> JobInfo:
    info = await view.find_given(redis, queue, job_id)
    if info is None:
        raise JobNotFound(job_id)
    if info.state is not State.ACTIVE:
        raise NotRunning(info.id, f"is {info.state}")
    return info


async def _answer(redis: Any, worker: str, job_id: str) -> bytes:
    request = secrets.token_hex(8)
    asked = stack_key(worker)
    pipe = redis.pipeline(transaction=True)
    pipe.rpush(asked, request.encode() + b" " + encode_id(job_id))
    pipe.pexpire(asked, _LIFE_MS)
    await pipe.execute()
    for _ in range(round(PATIENCE / _LOOK)):
        await asyncio.sleep(_LOOK)
        raw: bytes | None = await redis.get(stack_answer_key(request))
        if raw is not None:
            return raw
    raise WorkerSilent(job_id, worker, PATIENCE)
