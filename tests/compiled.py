"""Fake servers that compile a script once, as a real server does; fakeredis by itself compiles it for every call.

To compile a script takes longer than to run it, and the tests of the scripts call one some ten thousand times.
"""

from typing import Any

from fakeredis.commands_mixins.scripting_mixin import ScriptingCommandsMixin

#: What was compiled in this process, as bytecode, which each server's Lua can load.
_bytecode: dict[Any, bytes] = {}


class _Lua:
    """The Lua of one fake server, with the functions that it has loaded."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._dump = runtime.eval("string.dump")
        self._load = runtime.eval("loadstring")
        self._loaded: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def execute(self, source: Any) -> Any:
        """Run a script, without compiling it again."""
        if source not in self._loaded:
            if source not in _bytecode:
                _bytecode[source] = self._dump(self._runtime.compile(source))
            self._loaded[source] = self._load(_bytecode[source])
        return self._loaded[source]()


def compile_once() -> None:
    """Let every fake server of this process keep the scripts that it has compiled."""
    runtime_of = ScriptingCommandsMixin._get_server_runtime
    kept = "_lua_that_keeps_scripts"

    def keeping(self: Any, server: Any) -> Any:
        if not hasattr(server, kept):
            setattr(server, kept, _Lua(runtime_of(self, server)))
        return getattr(server, kept)

    ScriptingCommandsMixin._get_server_runtime = keeping  # type: ignore[method-assign]
