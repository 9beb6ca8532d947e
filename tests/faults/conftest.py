"""What the fault tests share: fleets of real workers, and clients beside them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rota import Client
from rota.server import connections
from rota.server.target import RedisTarget
from rota.settings.settings import Settings
from tests.faults.fleet import EVENTS_KEPT, Fleet
from tests.servers import RedisServer


def client_of(server: RedisServer) -> Client:
    """Return a client that, as the fleet does, keeps the events of many thousand jobs, for tests to count."""
    settings = Settings(events_maxlen=EVENTS_KEPT)
    return Client(connections.async_client(RedisTarget.from_url(server.url)), settings=settings)


@pytest.fixture
def fleet(tmp_path: Path, server: RedisServer) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, server.url)
    yield fleet
    fleet.close()


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Client]:
    async with client_of(server) as client:
        yield client


@pytest.fixture
def own_fleet(tmp_path: Path, own_server: RedisServer) -> Iterator[Fleet]:
    """Yield a fleet on a server that the test may stop or freeze."""
    fleet = Fleet(tmp_path, own_server.url)
    yield fleet
    fleet.close()


@pytest.fixture
async def own_client(own_server: RedisServer) -> AsyncIterator[Client]:
    async with client_of(own_server) as client:
        yield client
