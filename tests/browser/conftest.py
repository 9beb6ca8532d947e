"""What the tests in a browser share: an empty page, which notes what its policy forbids, and a shop at work."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.browser.chromium import Tab, browsing
from tests.browser.visits import Shop, greet, open_shop
from tests.databases import PostgresServer, new_schema
from tests.integration.api.serving import Api, listening
from tests.servers import RedisServer


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    async with browsing() as found:
        # The first script of each page: what its policy forbids is kept, for the test to see.
        await found.call("Page.enable")
        source = "window.forbidden = []; addEventListener('securitypolicyviolation', e => forbidden.push(e.blockedURI))"
        await found.call("Page.addScriptToEvaluateOnNewDocument", source=source)
        yield found


@pytest.fixture
async def shop(server: RedisServer, postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Shop]:
    # By TCP, as its address is seen on a page.
    schema = (await new_schema(postgres)).rpartition("search_path%3D")[2]
    database = f"{postgres.tcp_url()}?options=-csearch_path%3D{schema}"
    slow = {"QUEUES__IMAGES__CONCURRENCY": "2", "QUEUES__IMAGES__SLO": "1s", "WEBHOOK_ALLOW": "127.0.0.0/8"}
    async with open_shop(tmp_path, server.url, DATABASE_URL=database, **slow) as found:
        yield found


@pytest.fixture
async def api(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """Yield the API behind a real server, with one queue, which is paused."""
    # It looks each second whether a page listens still. How often an open page is told stays as it is.
    monkeypatch.setattr("rota.api.live.stream.BEAT", 1.0)
    async with listening(server.url, greet) as found:
        await found.client.pause("email")
        yield found
