"""How much the holder of a key may ask for: requests by the key's rate, and jobs that are not over by its quota."""

import contextlib
import math
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar

from starlette.requests import HTTPConnection

from rota.api.problems import Problem
from rota.errors import RotaError
from rota.model.access.keys import AccessKey
from rota.model.access.rates import RequestRate
from rota.seams import Outgoing
from rota.server.faults import explained
from rota.wire.access import AccessRecords

#: Where a request has the headers that its answer gets beside its own, if any.
ALSO = "rota.headers"
#: Seconds after which more jobs may be tried where a quota is full.
_SOON = 1


#: The jobs that the request of this context has made, if its key has a quota.
_MADE: ContextVar[list[Outgoing] | None] = ContextVar("made", default=None)


class Noting:
    """A sender of the API's client: notes the jobs that a request makes."""

    def created(self, jobs: Sequence[Outgoing]) -> None:
        """Take note of jobs that one round trip created."""
        made = _MADE.get()
        if made is not None:
            made.extend(jobs)


class Quotas:
    """The rates and quotas of the keys of one application; each costs a call of a script, and a key without one none.

    :param redis: an asyncio client.
    """

    def __init__(self, redis: object, records: AccessRecords) -> None:
        self._redis = redis
        self._records = records

    async def count(self, key: AccessKey, request: HTTPConnection) -> None:
        """Count a request, if its key has a rate. Raises Problem where there were too many, ServerError."""
        if key.rate is None:
            return
        async with explained(self._redis):
            is_let, left, after_ms = await self._records.meter(key.id, key.rate)
        seconds = max(1, math.ceil(after_ms / 1000))
        headers = _headers(key.rate, left, seconds)
        if not is_let:
            detail = f"the key {key.id} may send {key.rate} requests, and {key.rate.burst} at once"
            raise Problem(
                429,
                "too-many-requests",
                "Too many requests",
                detail,
                headers={**headers, "Retry-After": f"{seconds}"},
            )
        request.scope[ALSO] = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    def within(self, key: AccessKey, jobs: int) -> contextlib.AbstractAsyncContextManager[None]:
        """Let jobs be enqueued inside, and count those that are made, also where not all of them can be.

        Raises Problem where the quota of the key has no room for them, ServerError.
        """
        most = key.most_jobs
        return contextlib.nullcontext() if most is None else self._counted(key, most, jobs)

    @contextlib.asynccontextmanager
    async def _counted(self, key: AccessKey, most: int, jobs: int) -> AsyncIterator[None]:
        await self._check_room(key, most, jobs)
        made: list[Outgoing] = []
        token = _MADE.set(made)
        try:
            yield
        finally:
            _MADE.reset(token)
            await self._add(key, made)

    async def _check_room(self, key: AccessKey, most: int, jobs: int) -> None:
        async with explained(self._redis):
            has_room, count = await self._records.has_room(_place(key), most, jobs)
        if not has_room:
            whose = f"the key {key.id}" if key.tenant is None else f"the tenant {key.tenant}"
            detail = f"{whose} may have {most} jobs that are not over, and has {count}"
            raise Problem(
                429,
                "too-many-jobs",
                "Too many jobs are not over",
                detail,
                headers={"Retry-After": f"{_SOON}"},
            )

    async def _add(self, key: AccessKey, made: Sequence[Outgoing]) -> None:
        if not made:
            return
        # The jobs are there: an error would let the caller enqueue them again.
        with contextlib.suppress(RotaError):
            async with explained(self._redis):
                await self._records.add_jobs(_place(key), [(one.queue, one.id) for one in made])


def _place(key: AccessKey) -> str:
    """Return who has the quota of a key: its tenant, with all of the tenant's keys, or the key itself."""
    return f"key:{key.id}" if key.tenant is None else f"tenant:{key.tenant}"


def _headers(rate: RequestRate, left: int, seconds: int) -> dict[str, str]:
    """Return what an answer says of a rate, as the IETF's draft of these headers writes it."""
    return {
        "RateLimit-Policy": f'"key";q={rate.burst};w={rate.window}',
        "RateLimit": f'"key";r={left};t={seconds}',
    }
