"""What jobs share: opened once when a worker process starts, handed to handlers as `run.deps`, closed at its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dependencies:
    """A field for each thing that jobs share, such as `http: httpx.AsyncClient`.

    Handlers write `deps: Dependencies = run.deps`, so that a type checker knows the fields. A job in a process of its
    own (`process=True`) gets none of these: connections do not cross into it.
    """


@asynccontextmanager
async def lifespan() -> AsyncIterator[Dependencies]:
    """Open what jobs share, and close it. An exception before the `yield` stops the boot; a RotaError is one line."""
    # A client that is to be closed goes around the yield: `async with httpx.AsyncClient() as http:`
    yield Dependencies()
