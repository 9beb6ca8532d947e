"""The fixtures of the stories: the service in this process, on a real Redis, for the jobs of a story's file.

A story enqueues with the fixture `client`, and the worker does the rest. A file with other settings than the defaults
has a fixture `variables` of its own. A file with a `lifespan` has dependencies, which its tests get as `deps`.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rota import Client
from tests.servers import RedisServer
from tests.workers import Works, serving


@pytest.fixture
def variables() -> dict[str, str]:
    """Return the environment of the story's worker."""
    return {}


@pytest.fixture
async def works(
    request: pytest.FixtureRequest, server: RedisServer, variables: dict[str, str]
) -> AsyncIterator[Works]:
    """Run the service for the jobs of the test's file."""
    async with serving(server.url, package=request.module.__name__, **variables) as works:
        yield works


@pytest.fixture
def client(works: Works) -> Client:
    """Return a client, while a worker runs the jobs of the test's file."""
    return works.client


@pytest.fixture
def deps(works: Works) -> Any:
    """Return what the file's lifespan yielded to the worker."""
    return works.deps
