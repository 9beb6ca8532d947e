"""What jobs share: opened once when a worker process starts, handed to handlers as `run.deps`, closed at its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from jobs import settings
from jobs.mailer import Mailer, mailer_of


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Handlers say `deps: Dependencies = run.deps`, and a type checker knows the rest.

    A job in a process of its own (`process=True`) has none of these: connections do not cross into it.
    """

    mailer: Mailer


@asynccontextmanager
async def lifespan() -> AsyncIterator[Dependencies]:
    """Open what jobs share. What is raised before the `yield` stops the boot, a RotaError as one sentence."""
    mailer = mailer_of(settings.load())
    # A client that is to be closed goes here: `async with httpx.AsyncClient() as http:` around the yield.
    yield Dependencies(mailer=mailer)
