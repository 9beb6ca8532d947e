"""The protocol between workers and Redis: the scripts, and the values that go in and come out.

Nothing else in the project calls the scripts of a worker. Times are milliseconds here, at the wire, and seconds
everywhere above.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from rota.wire.claims import Checkpoint, Claim, Report, Settlement, decode_id, encode_id, sendable
from rota.wire.keys import QueueKeys

#: Jobs one step claims or settles at most: it keeps a step near 3 ms of Redis' time.
BATCH = 100

RESENT = 2

_INCLUDE = re.compile(r"^--@include (\w+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name Redis caches it under."""

    source: str
    sha: str

    @classmethod
    def load(cls, name: str) -> "Script":
        """Read `lua/<name>.lua`, with the parts that it shares with others: `--@include place` is lib/place.lua."""
        scripts = files("rota.wire") / "lua"

        def part(found: re.Match[str]) -> str:
            return (scripts / "lib" / f"{found[1]}.lua").read_text("utf-8")

        source = _INCLUDE.sub(part, (scripts / f"{name}.lua").read_text("utf-8"))
        return cls(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())

    async def __call__(self, redis: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run it on an asyncio client; loads it where the server does not know it (a restart, a failover)."""
        try:
            return await redis.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return await redis.execute_command("EVAL", self.source, len(keys), *keys, *args)

    def run(self, redis: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The same on a plain client, for threads."""
        try:
            return redis.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return redis.execute_command("EVAL", self.source, len(keys), *keys, *args)


STEP = Script.load("step")
RENEW = Script.load("renew")
ENQUEUE = Script.load("enqueue")
CANCEL = Script.load("cancel")
REPLAY = Script.load("replay")
PROGRESS = Script.load("progress")
CHECKPOINT = Script.load("checkpoint")
NUDGE = Script.load("nudge")
WATCH = Script.load("watch")
TICK = Script.load("tick")
FLOW_START = Script.load("flow_start")
FLOW_FAN_OUT = Script.load("flow_fan_out")
FLOW_STOP = Script.load("flow_stop")
FLOW_RETRY = Script.load("flow_retry")


@dataclass(frozen=True, slots=True)
class StepReply:
    """What a step came back with.

    `upcoming` is in seconds until a job becomes due (None: none waits); `left` says that due jobs were left behind;
    `answers` has one entry a settlement: True = counted, False = stale. `make_room`: a suspect waits for this worker.
    """

    now_ms: int
    upcoming: float | None
    left: bool
    answers: list[bool]
    claims: list[Claim]
    make_room: bool = False


@dataclass(frozen=True)
class QueueScripts:
    """The scripts of one queue, as one worker calls them.

    `lease` and `dead_retention` are in seconds. `service` switches on what is ours beside arq's contract: events,
    dead letters, and losses that spend no attempt. A job that was lost `suspect` times runs alone (0: none does).
    `rate` is the queue's own rate limit, as its `figures` (empty: none).
    """

    keys: QueueKeys
    worker: str
    lease: float
    service: bool = False
    queue: str = ""
    events: str = "rota:events"
    events_maxlen: int = 100_000
    dead_retention: float = 30 * 86400.0
    suspect: int = 0
    rate: str = ""
    _step_keys: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        k = self.keys
        keys = (
            k.queue,
            k.active,
            k.runs,
            k.seen,
            k.step,
            k.dead,
            k.progress,
            self.events,
            k.solitude,
            k.checkpoint,
        )
        object.__setattr__(self, "_step_keys", keys)

    @property
    def lease_ms(self) -> int:
        return round(self.lease * 1000)

    async def step(
        self,
        redis: Any,
        *,
        lane: int,
        seq: int,
        want: int,
        settlements: Sequence[Settlement] = (),
        resend: bool = False,
        alone: bool = False,
    ) -> StepReply:
        """Settle, take back what was lost, and claim up to `want` jobs, in one call.

        `alone` says that nothing runs in this process, and asks for one suspect and nothing else.
        """
        args: list[Any] = [
            self.worker,
            lane,
            seq,
            1 if resend else 0,
            min(want, BATCH),
            self.lease_ms,
            1 if self.service else 0,
            self.events_maxlen,
            round(self.dead_retention * 1000),
            self.queue,
            self.suspect,
            1 if alone else 0,
            self.rate,
            len(settlements),
        ]
        for settlement in settlements:
            args.extend(settlement.args())
        for number, settlement in enumerate(settlements, 1):
            if settlement.checkpoint:
                args += (number, settlement.checkpoint)
        now, upcoming, left, answers, claims, make_room = await STEP(redis, self._step_keys, args)
        return StepReply(
            now,
            None if upcoming < 0 else upcoming / 1000,
            left == 1,
            [answer > 0 for answer in answers],
            [Claim.read(row) for row in claims],
            make_room == 1,
        )

    def renew(self, redis: Any, held: Mapping[str, str]) -> list[str]:
        """Renew the leases of `held` (id → token) on a plain client; the ids that are ours no longer."""
        args: list[Any] = [self.lease_ms]
        for job_id, token in held.items():
            args += (encode_id(job_id), token)
        k = self.keys
        return [decode_id(raw) for raw in RENEW.run(redis, (k.queue, k.active, k.runs, k.seen), args)]

    async def report(self, redis: Any, reports: Sequence[Report]) -> int:
        """Write the progress of running jobs; how many were still the ones that run."""
        args: list[Any] = [self.queue, self.events_maxlen]
        for claim, task, percent, message in reports:
            args += (encode_id(claim.id), claim.token, task, f"{percent:g}", sendable(message))
        k = self.keys
        return int(await PROGRESS(redis, (k.runs, k.progress, self.events), args))

    async def keep(self, redis: Any, said: Sequence[tuple[Claim, Checkpoint]]) -> int:
        """Write what running jobs have saved; how many were still the ones that run, with nothing newer there."""
        args: list[Any] = []
        for claim, checkpoint in said:
            args += (encode_id(claim.id), claim.token, checkpoint.number, checkpoint.wire())
        return int(await CHECKPOINT(redis, (self.keys.runs, self.keys.checkpoint), args))

    async def nudge(self, redis: Any, horizon: float) -> float | None:
        """Leave a token if a job is due within `horizon` seconds; seconds until the next one (None: none waits)."""
        left = int(await NUDGE(redis, (self.keys.queue, self.keys.wake), (round(horizon * 1000),)))
        return None if left < 0 else left / 1000

    async def forget(self, redis: Any, lanes: int) -> None:
        """Remove what this worker left behind for resends; it steps no more."""
        await redis.execute_command(
            "DEL", *(f"{self.keys.step}:{self.worker}:{lane}" for lane in range(lanes))
        )

    async def tick(
        self,
        redis: Any,
        name: str,
        *,
        tick_ms: int,
        memory: float,
        job_id: str,
        payload: bytes,
        due_ms: int,
        life_ms: int,
    ) -> bool:
        """Enqueue one tick of arq's cron job `name`, unless it or a later one was before; remember it (seconds)."""
        keys = (f"{self.keys.queue}:cron:{name}", self.keys.queue, self.keys.wake)
        args = (tick_ms, round(memory * 1000), job_id, payload, due_ms, life_ms)
        return bool(await TICK(redis, keys, args))

    async def watch(self, redis: Any, life: float) -> bool:
        """Take or keep the watcher's role for `life` seconds (0 gives it up); whether this worker has it."""
        return bool(await WATCH(redis, (self.keys.watcher,), (self.worker, round(life * 1000))))
