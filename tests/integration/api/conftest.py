"""The API for the tests of a module, with the jobs that it names JOBS."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer


@pytest.fixture
async def api(server: RedisServer, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    async with answering(server.url, *request.module.JOBS) as found:
        yield found


@pytest.fixture
async def idle(server: RedisServer, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Yield an API with no worker beside it, so that jobs stay where they are."""
    async with answering(server.url, *request.module.JOBS, works=False) as found:
        yield found
