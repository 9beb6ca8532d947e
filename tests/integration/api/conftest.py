"""The API for the tests of a module, with the jobs that it names JOBS, and a town of tenants."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.api.serving import Api, answering
from tests.integration.api.towns import Town, founded
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


@pytest.fixture
async def town(server: RedisServer, tmp_path: Path) -> AsyncIterator[Town]:
    async with founded(server, tmp_path) as found:
        yield found
