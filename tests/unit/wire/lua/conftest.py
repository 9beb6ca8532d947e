"""The two kinds of server: `clocked` (fake, its clock moves when told) and `bed` (each of both in turn)."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fakeredis._helpers import SimpleError
from fakeredis.commands_mixins.scripting_mixin import ScriptingCommandsMixin
from redis.asyncio import Redis

from rota.testing.clock import Clock
from rota.testing.server import clients
from tests.unit.wire.lua.beds import Bed

#: No script needs more calls than this for what the tests do; one that does will not end.
MOST_CALLS = 20_000


@pytest.fixture(autouse=True)
def scripts_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a script that goes round in circles: inside Lua no timeout would reach it."""
    calls = [0]
    one_call, one_script = ScriptingCommandsMixin._lua_redis_call, ScriptingCommandsMixin.eval

    def counted(self: Any, *args: Any) -> Any:
        calls[0] += 1
        if calls[0] > MOST_CALLS:
            raise SimpleError("ERR the script does not come to an end")
        return one_call(self, *args)

    def started(self: Any, *args: Any) -> Any:
        calls[0] = 0
        return one_script(self, *args)

    monkeypatch.setattr(ScriptingCommandsMixin, "_lua_redis_call", counted)
    monkeypatch.setattr(ScriptingCommandsMixin, "eval", started)


@pytest.fixture
def clocked() -> Iterator[Bed]:
    """A fake server."""
    clock = Clock()
    redis, looking = clients()
    with clock.opened():
        yield Bed(redis, looking, clock)


@pytest.fixture(params=["fake", "real"])
async def bed(request: pytest.FixtureRequest) -> AsyncIterator[Bed]:
    """Both kinds of server, for what needs no moving clock."""
    if request.param == "fake":
        yield request.getfixturevalue("clocked")
        return
    server = request.getfixturevalue("server")
    redis = Redis.from_url(server.url)
    with server.client() as looking:
        yield Bed(redis, looking, None)
    await redis.aclose()
