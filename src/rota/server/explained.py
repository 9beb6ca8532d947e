"""While a client works: a fault of the server becomes one sentence, with the fault itself as its cause."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from redis import exceptions as faults

from rota.server.clones import target_of
from rota.server.faults import ServerError, explain
from rota.server.outage import FAULTS
from rota.server.target import RedisTarget

_ANSWERS: tuple[tuple[type[Exception] | str, str], ...] = (
    (
        faults.OutOfMemoryError,
        "is full: raise its maxmemory, or remove what is not needed; nothing was written",
    ),
    (faults.ReadOnlyError, "is a read-only replica: point REDIS_URL at the primary; nothing was written"),
    (faults.NoPermissionError, "refuses a command to this user: extend the user's ACL"),
    ("MISCONF", "cannot save to its disk and takes no writes: look at its log"),
    ("WRONGTYPE", "holds a key of ours with another type: is its database shared with another application?"),
)


@contextlib.asynccontextmanager
async def explained(redis: Any) -> AsyncIterator[None]:
    """Raise ServerError for what goes wrong with `redis` inside the block."""
    try:
        yield
    except FAULTS as error:
        raise sentence(error, target_of(redis.connection_pool)) from error


def sentence(error: BaseException, target: RedisTarget) -> ServerError:
    """What to say of `error`, met while working on `target`."""
    for mark, text in _ANSWERS:
        if isinstance(error, mark) if isinstance(mark, type) else mark in str(error):
            return ServerError(f"{target} {text}", transient=True)
    if isinstance(error, faults.ResponseError) and not isinstance(error, faults.AuthenticationError):
        # Its own words are not repeated: a server that does not understand AUTH quotes the password back.
        return ServerError(
            f"{target} refuses a command ({str(error).partition(' ')[0][:40]}): look at its log"
        )
    return explain(error, target)
