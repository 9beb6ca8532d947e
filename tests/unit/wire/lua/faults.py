"""Commands of scripts that fail: Redis does not take back what a script wrote before the command that failed."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fakeredis._helpers import SimpleError
from fakeredis.commands_mixins.scripting_mixin import ScriptingCommandsMixin


class Faults:
    """Lets one command of the scripts fail, the `at`th from when it was set; 0 = none. `calls` counts all of them.

    :param never: commands that are not counted, and do not fail.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, never: Collection[bytes] = ()) -> None:
        self.at = 0
        self._is_held_off = False
        self.calls = 0
        self.failed: str | None = None
        call = ScriptingCommandsMixin._lua_redis_call

        def failing(mixin: Any, runtime: Any, known: Any, command: bytes, *args: Any) -> Any:
            if self._is_held_off or command in never:
                return call(mixin, runtime, known, command, *args)
            self.calls += 1
            if self.at:
                self.at -= 1
                if not self.at:
                    self.failed = " ".join(str(word) for word in (command, *args))
                    raise SimpleError("WRONGTYPE this command was made to fail")
            return call(mixin, runtime, known, command, *args)

        monkeypatch.setattr(ScriptingCommandsMixin, "_lua_redis_call", failing)

    def arm(self, at: int) -> None:
        """Let the `at`th command from now on fail."""
        self.at, self.failed = at, None

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Let all commands succeed within this context, and count none of them."""
        before, self._is_held_off = self._is_held_off, True
        try:
            yield
        finally:
            self._is_held_off = before

    def disarm(self) -> None:
        """Let all commands succeed again, as after the cause is gone."""
        self.at = 0
