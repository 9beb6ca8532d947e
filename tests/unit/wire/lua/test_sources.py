"""The scripts as they are put together: each defines all names that it uses, itself or in a part that it includes.

Redis refuses a global variable only when a script reaches it, which may be on a path that is seldom taken.
"""

import struct
from collections.abc import Iterator

import lupa.lua51
import pytest

from rota.wire import scripts
from rota.wire.scripts import Script

SCRIPTS = {name: script for name, script in vars(scripts).items() if isinstance(script, Script)}
#: What Redis gives to scripts.
GIVEN = {"KEYS", "ARGV", "redis", "math", "string", "table", "cjson"} | {
    *(
        "error",
        "ipairs",
        "next",
        "pcall",
        "pairs",
        "select",
        "setmetatable",
        "tonumber",
        "tostring",
        "type",
        "unpack",
    ),
}
_GETGLOBAL, _SETGLOBAL = 5, 7


class Bytecode:
    """A script as Lua 5.1 compiles it, read from front to end; Lua's ldump.c is the format."""

    def __init__(self, source: str) -> None:
        lua = lupa.lua51.LuaRuntime(encoding=None)
        compiled = lua.eval(b"function(source) return string.dump(assert(loadstring(source))) end")
        self._code: bytes = compiled(source.encode())
        self._at = 12

    def globals(self) -> Iterator[str]:
        """Yield the globals that a function, and those within it, read or set."""
        self._text()
        self._skip(12)
        code = struct.unpack(f"<{(count := self._number())}I", self._skip(4 * count))
        constants = [self._constant() for _ in range(self._number())]
        for instruction in code:
            if instruction & 0x3F in (_GETGLOBAL, _SETGLOBAL):
                yield constants[instruction >> 14]
        for _ in range(self._number()):
            yield from self.globals()
        self._skip(4 * self._number())
        for _ in range(self._number()):
            self._text()
            self._skip(8)
        for _ in range(self._number()):
            self._text()

    def _skip(self, size: int) -> bytes:
        self._at += size
        return self._code[self._at - size : self._at]

    def _number(self) -> int:
        return int.from_bytes(self._skip(4), "little")

    def _text(self) -> str:
        return self._skip(int.from_bytes(self._skip(8), "little")).rstrip(b"\0").decode("utf-8", "replace")

    def _constant(self) -> str:
        match self._skip(1):
            case b"\x04":
                return self._text()
            case b"\x03":
                self._skip(8)
            case b"\x01":
                self._skip(1)
        return ""


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_uses_nothing_that_it_has_not_defined(name: str) -> None:
    assert set(Bytecode(SCRIPTS[name].source).globals()) <= GIVEN


def test_a_name_that_is_not_defined_is_found() -> None:
    source = "local function known() return unknown(2) end\nset = known() or 'text' or true or nil"
    assert set(Bytecode(source).globals()) == {"unknown", "set"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_part_is_put_in_once(name: str) -> None:
    opened = [line for line in SCRIPTS[name].source.splitlines() if line.startswith("-" * 100)]
    assert len(set(opened)) == len(opened)
    assert "--@include" not in SCRIPTS[name].source
