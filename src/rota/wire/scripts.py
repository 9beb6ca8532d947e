"""The Lua scripts: how one is loaded from `lua/` and called, and the list of all of them.

What a script takes, returns and keeps true stands at the top of its file.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

_LUA = Path(__file__).parent / "lua"
# A command is the first argument of `call`, `pcall` and what stands for them here, and nothing else in capitals is. The
# names of these functions in the pattern would make it thirty times slower, at the boot of every worker.
_COMMAND = re.compile(r"\('([A-Z]+)'")
_INCLUDE = re.compile(r"^--@include (\w+)\n", re.MULTILINE)


@cache
def _pieces(name: str) -> list[str]:
    """Return the text of a file in pieces: before its first include, that one's name, from there to the next, …"""
    # Most parts are in many scripts, and every process puts all scripts together at its start.
    return _INCLUDE.split((_LUA / f"{name}.lua").read_text("utf-8"))


@dataclass(frozen=True)
class Script:
    """A Lua script, in the pieces that it has been read in, most of which it shares with others.

    A process calls few of the scripts: put together, all of them would take a megabyte of each worker. They are read
    at once nevertheless, because the files may be those of another version later.
    """

    pieces: tuple[str, ...]

    @property
    def source(self) -> str:
        """The text of the whole script."""
        return "".join(self.pieces)

    @cached_property
    def sha(self) -> str:
        """The SHA-1 under which Redis caches it: each version of a script has its own, and workers call theirs."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    @property
    def commands(self) -> frozenset[str]:
        """The commands of Redis that the script may call."""
        return frozenset(_COMMAND.findall(self.source))

    @classmethod
    def load(cls, name: str) -> "Script":
        """Read `lua/<name>.lua`, with each line `--@include <part>` replaced by `lua/lib/<part>.lua`.

        A part may include others. Each is put in once, where it is named first.
        """
        put_in: set[str] = set()

        def whole(file: str) -> Iterator[str]:
            if file in put_in:
                return
            put_in.add(file)
            for index, piece in enumerate(_pieces(file)):
                if index % 2:
                    yield from whole(f"lib/{piece}")
                else:
                    yield piece

        return cls(tuple(whole(name)))

    async def __call__(self, redis: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Call the script on an asyncio client.

        The source is sent only if the server does not know the script, as after a restart or a failover.
        """
        try:
            return await redis.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return await redis.execute_command("EVAL", self.source, len(keys), *keys, *args)

    async def each(self, redis: Any, keys: Sequence[str], calls: Sequence[Sequence[Any]]) -> list[Any]:
        """Call the script once for each of `calls`, in one round trip; in three where the server does not know it.

        Raises the first error that one of them meets, once all were called.
        """
        if not calls:
            return []
        pipe = redis.pipeline(transaction=False)
        for args in calls:
            pipe.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        answers: list[Any] = await pipe.execute(raise_on_error=False)
        unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            await redis.script_load(self.source)
            again = await self.each(redis, keys, [calls[index] for index in unknown])
            for index, answer in zip(unknown, again, strict=True):
                answers[index] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

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
LOG = Script.load("log")
WATCH = Script.load("watch")
TICK = Script.load("tick")
PUBLISH = Script.load("publish")
BEAT = Script.load("beat")
LEAD = Script.load("lead")
SWEEP = Script.load("sweep")
SWEEP_KEYS = Script.load("sweep_keys")
SWEEP_FLOWS = Script.load("sweep_flows")

# Called by the leader, through rota.wire.leading.outbox.
OUTBOX = Script.load("outbox")

# Called by the leader, through rota.wire.leading.bulk.
BULK = Script.load("bulk")

# Called by workers, through rota.telemetry.history.
HISTORY = Script.load("history")
DEPLOYED = Script.load("deployed")

# Called by workers and by their leader, through rota.wire.schedules.
SCHEDULE_PUBLISH = Script.load("schedule_publish")
SCHEDULE_TICK = Script.load("schedule_tick")

# Called once by a worker, when it starts.
RIGHTS = Script.load("rights")

# Called by clients, and NUDGE by workers too.
ENQUEUE = Script.load("enqueue")
ENQUEUE_ONCE = Script.load("enqueue_once")
CANCEL = Script.load("cancel")
REPLAY = Script.load("replay")
DELETE_LETTERS = Script.load("delete_letters")
RESCHEDULE = Script.load("reschedule")
NUDGE = Script.load("nudge")

# Called by the API, through rota.client.looking.
LOOK = Script.load("look")

# Called by the API, through rota.wire.access.
METER = Script.load("meter")
QUOTA = Script.load("quota")

# Called by the API, through rota.client.letters.by_cause.
FAILURES = Script.load("failures")

# Called by the API, through rota.wire.inventory.
LONGEST = Script.load("longest")

# Called by clients and by the jobs that run flows.
FLOW_START = Script.load("flow_start")
FLOW_FAN_OUT = Script.load("flow_fan_out")
FLOW_STOP = Script.load("flow_stop")
FLOW_RETRY = Script.load("flow_retry")

# Called by the API, through rota.flows.looking.
FLOW_LIST = Script.load("flow_list")
FLOW_LOOK = Script.load("flow_look")
