"""What all tests share: a real server a test session, empty at the start of each test."""

import gc
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from hypothesis import settings

from rota.server import connections
from rota.server.target import RedisTarget
from rota.wire import scripts
from tests.compiled import compile_once
from tests.databases import database, database_url, postgres  # noqa: F401 - fixtures
from tests.order import in_shares
from tests.servers import RedisServer

# A collection makes a million objects that stay: the garbage collector would take a fifth of its time to find none.
gc.disable()

# A shell starts `make test &` deaf to Ctrl-C, and nohup starts it deaf to the end of its terminal. The programs that
# tests send these signals would be deaf with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# On a busy machine an example may take long.
settings.register_profile("rota", deadline=None, max_examples=int(os.environ.get("FUZZ_EXAMPLES", "50")))
settings.load_profile("rota")

compile_once()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each process of the run its share of the long tests, if there are several."""
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    if processes > 1:
        tests = Path(__file__).parent
        items[:] = in_shares([(str(item.path.relative_to(tests)), item) for item in items], processes)


def pytest_collection_finish() -> None:
    """Take what the collection of tests made from the garbage collector, which would walk through it at each pass.

    What little of it is garbage stays as well: finding it would take half a second of each process.
    """
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    with server.client() as client:
        for script in vars(scripts).values():
            if isinstance(script, scripts.Script):
                client.script_load(script.source)
    yield server
    server.stop()


@pytest.fixture
def server(session_server: RedisServer) -> RedisServer:
    """Return the session's server, emptied. It knows the scripts, as a server in use does; one's own is a new one."""
    with session_server.client() as client, client.pipeline(transaction=False) as emptying:
        emptying.flushall().config_resetstat().execute()
    return session_server


@pytest.fixture
def target(server: RedisServer) -> RedisTarget:
    return RedisTarget.from_url(server.url)


@pytest.fixture
async def redis(target: RedisTarget) -> AsyncIterator[ArqRedis]:
    """Yield a client of the kind that the service uses."""
    client = connections.async_client(target)
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
def own_server(tmp_path: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Yield a server that a test may stop, freeze and restart."""
    server = RedisServer(tmp_path_factory.mktemp("own"), "--appendonly", "yes")
    server.start()
    yield server
    server.stop()
