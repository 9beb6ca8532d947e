"""What the stories stand on: a worker of the service in this process, on a real Redis, for the jobs of a story's file.

A story asks for `client`, enqueues with it, and the worker does the rest. A file that wants other settings than the
defaults has a fixture `variables` of its own. A file with a `lifespan` has dependencies, and its tests may ask for
them by `deps`.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rota import Client
from tests.servers import RedisServer
from tests.workers import Works, serving


@pytest.fixture
def variables() -> dict[str, str]:
    """The environment of the story's worker."""
    return {}


@pytest.fixture
async def works(
    request: pytest.FixtureRequest, server: RedisServer, variables: dict[str, str]
) -> AsyncIterator[Works]:
    """The worker of the test's file."""
    async with serving(server.url, package=request.module.__name__, **variables) as works:
        yield works


@pytest.fixture
def client(works: Works) -> Client:
    """A client, while a worker runs the jobs of the test's file."""
    return works.client


@pytest.fixture
def deps(works: Works) -> Any:
    """What the file's lifespan yielded to the worker."""
    return works.deps
