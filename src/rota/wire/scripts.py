"""The Lua scripts: how one is loaded from `lua/` and called, and the list of all of them.

What a script takes, returns and keeps true stands at the top of its file.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

_COMMAND = re.compile(r"\b(?:p?call|chunked|command|discard)\('([A-Z]+)'")
_INCLUDE = re.compile(r"^--@include (\w+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, and the SHA-1 under which Redis caches it.

    Workers of two versions call their own scripts beside each other, since each version's have their own hashes.
    """

    source: str
    sha: str

    @property
    def commands(self) -> frozenset[str]:
        """The commands of Redis that the script may call."""
        return frozenset(_COMMAND.findall(self.source))

    @classmethod
    def load(cls, name: str) -> "Script":
        """Read `lua/<name>.lua`, with each line `--@include <part>` replaced by `lua/lib/<part>.lua`.

        A part may include others. Each is put in once, where it is named first.
        """
        scripts = files("rota.wire") / "lua"
        put_in: set[str] = set()

        def part(include: re.Match[str]) -> str:
            if include[1] in put_in:
                return ""
            put_in.add(include[1])
            return _INCLUDE.sub(part, (scripts / "lib" / f"{include[1]}.lua").read_text("utf-8"))

        source = _INCLUDE.sub(part, (scripts / f"{name}.lua").read_text("utf-8"))
        return cls(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())

    async def __call__(self, redis: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Call the script on an asyncio client.

        The source is sent only if the server does not know the script, as after a restart or a failover.
        """
        try:
            return await redis.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return await redis.execute_command("EVAL", self.source, len(keys), *keys, *args)

    def run(self, redis: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Call the script on a blocking client, as threads do."""
        try:
            return redis.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return redis.execute_command("EVAL", self.source, len(keys), *keys, *args)


# Called by workers, through rota.wire.queue.
STEP = Script.load("step")
RENEW = Script.load("renew")
PROGRESS = Script.load("progress")
CHECKPOINT = Script.load("checkpoint")
WATCH = Script.load("watch")
TICK = Script.load("tick")
PUBLISH = Script.load("publish")
BEAT = Script.load("beat")

# Called once by a worker, when it starts.
RIGHTS = Script.load("rights")

# Called by clients, and NUDGE by workers too.
ENQUEUE = Script.load("enqueue")
CANCEL = Script.load("cancel")
REPLAY = Script.load("replay")
RESCHEDULE = Script.load("reschedule")
NUDGE = Script.load("nudge")

# Called by clients and by the jobs that run flows.
FLOW_START = Script.load("flow_start")
FLOW_FAN_OUT = Script.load("flow_fan_out")
FLOW_STOP = Script.load("flow_stop")
FLOW_RETRY = Script.load("flow_retry")
