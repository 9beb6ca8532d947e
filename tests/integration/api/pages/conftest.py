"""An API with its dashboard, for the tests of pages."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.api.pages.visiting import fails, greet
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with answering(server.url, greet, fails, works=False) as found:
        yield found
