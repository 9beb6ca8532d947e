"""The beds as fixtures: `clocked` on a fake server, `real` on a real one, and `bed` on each of both in turn."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fakeredis._helpers import SimpleError
from fakeredis.commands_mixins.scripting_mixin import ScriptingCommandsMixin

from rota.testing.clock import BenchClock
from rota.testing.server import clients
from tests.servers import RedisServer
from tests.unit.wire.lua.beds import Bed, real_bed

#: A script that calls Redis more often than this in a test is caught in a loop.
MOST_CALLS = 20_000


@pytest.fixture(autouse=True)
def scripts_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a script that does not end: no timeout reaches into Lua."""
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
    """Return a bed on a fake server, whose clock the test moves."""
    clock = BenchClock()
    redis, looking = clients()
    with clock.opened():
        yield Bed(redis, looking, clock)


@pytest.fixture
async def real(server: RedisServer) -> AsyncIterator[Bed]:
    async with real_bed(server) as bed:
        yield bed


@pytest.fixture(params=["fake", "real"])
async def bed(request: pytest.FixtureRequest) -> AsyncIterator[Bed]:
    """Return a bed on each kind of server in turn, for tests that move no clock."""
    if request.param == "fake":
        yield request.getfixturevalue("clocked")
        return
    async with real_bed(request.getfixturevalue("server")) as bed:
        yield bed
