"""One queue's scripts, as one worker calls them: values go in and come out.

Nothing else calls the scripts of a worker. Times are milliseconds at the wire, and seconds everywhere above it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rota.wire.claims import Checkpoint, Claim, Report, Settlement, decode_id, encode_id, sendable, written
from rota.wire.keys import QueueKeys
from rota.wire.scripts import CHECKPOINT, LOG, NUDGE, PROGRESS, RENEW, STEP, TICK, WATCH

#: The most jobs that one step claims or settles. It keeps a step near 3 ms of Redis' time.
BATCH = 100
#: How long it is remembered that a worker was told to stop, unless it ends in order before, ms.
_STOPS_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """The rules by which the scripts add to arq's contract: events, dead letters, limits, losses that cost no attempt.

    :param queue: the queue's short name, as events tell it.
    :param events: the key of the stream of events.
    :param events_maxlen: about how many entries the stream keeps.
    :param dead_retention: how long dead letters are kept, in seconds.
    :param suspect: a job that was lost this often runs alone in its process; 0 means that none does.
    :param rate: the queue's own rate limit, as `RateLimit.figures`; empty without one.
    :param most: how many of the queue's jobs run at once over all workers; None: any number.
    :param unknown_grace: how long a job waits for a worker that knows it, in seconds.
    :param unknown_delay: for how long such a job is left alone, at least, in seconds.
    :param version: of the code that the worker runs; empty where that is unknown.
    """

    queue: str = ""
    events: str = "rota:events"
    events_maxlen: int = 10_000
    dead_retention: float = 30 * 86400.0
    suspect: int = 0
    rate: str = ""
    most: int | None = None
    unknown_grace: float = 86_400.0
    unknown_delay: float = 5.0
    version: str = ""

    @property
    def limits(self) -> str:
        """The limits of the whole queue, as a step reads them."""
        return self.rate if self.most is None else f"{self.rate}/{self.most}"

    @property
    def unknown(self) -> str:
        """How long a job may be unknown, and is left alone, as a step reads them."""
        return f"{round(self.unknown_grace * 1000)} {round(self.unknown_delay * 1000)}"


@dataclass(frozen=True, slots=True)
class StepReply:
    """The reply to a step.

    `now_ms` is the server's clock. `upcoming` is in seconds until a job becomes due, None if none waits. `left` says
    that due jobs were left behind. `answers` has an entry for each settlement: True if it counted, False if the claim
    was no longer this worker's. `make_room` says that a suspect waits, and that this worker should run it alone.
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

    :param keys: the queue's keys.
    :param worker: an id that no other worker has; tokens begin with it.
    :param lease: how long a claim holds unless it is renewed, in seconds.
    :param service: what the service adds; None keeps to arq's contract, as a bare worker does.
    """

    keys: QueueKeys
    worker: str
    lease: float
    service: ServiceRules | None = None

    @property
    def lease_ms(self) -> int:
        return round(self.lease * 1000)

    # The step

    async def step(
        self,
        redis: Any,
        *,
        lane: int,
        seq: int,
        want: int,
        settlements: Sequence[Settlement] = (),
        resend: bool = False,
        refused: bool = False,
        alone: bool = False,
        strangers: Collection[str] = (),
    ) -> StepReply:
        """Settle, take back what was lost, and claim up to `want` jobs, in one call.

        `seq` numbers the steps of a lane. A step whose reply was lost is sent again under its number with `resend`.
        `refused` says that Redis refused the step before this one, which had the same number.
        `alone` says that nothing runs in this process, and asks for one suspect and nothing else.
        `strangers` are names of jobs that this worker does not know: due ones are put off unclaimed.
        """
        flags = (lane, seq, 1 if resend else 2 * refused, min(want, BATCH), int(alone))
        unknown = "\n".join((self._rules.unknown, *strangers)) if strangers else ""
        args = [*self._step_constants, *flags, unknown, *written(settlements)]
        now, upcoming, left, answers, claims, make_room = await STEP(redis, self._step_keys, args)
        return StepReply(
            now,
            None if upcoming < 0 else upcoming / 1000,
            left == 1,
            list(map(bool, answers)),
            list(map(Claim.read, claims)),
            make_room == 1,
        )

    @cached_property
    def _rules(self) -> ServiceRules:
        return self.service or ServiceRules()

    @cached_property
    def _step_keys(self) -> tuple[str, ...]:
        k, events = self.keys, self._rules.events
        kept = (k.queue, k.active, k.runs, k.seen, k.step, k.dead, k.progress)
        return (*kept, events, k.solitude, k.checkpoint)

    @cached_property
    def _step_constants(self) -> tuple[Any, ...]:
        """The arguments that every step of this worker begins with."""
        rules = self._rules
        return (
            self.worker,
            self.lease_ms,
            1 if self.service else 0,
            rules.events_maxlen,
            round(rules.dead_retention * 1000),
            rules.queue,
            rules.suspect,
            rules.limits,
            rules.version,
        )

    async def forget(self, redis: Any, lanes: int) -> None:
        """Remove the numbers of the last steps of a worker that steps no more, and its word that it stops."""
        await redis.execute_command(
            "DEL", *(f"{self.keys.step}:{self.worker}:{part}" for part in (*range(lanes), "stop"))
        )

    async def say_it_stops(self, redis: Any) -> None:
        """Say that this worker was told to stop: what it then loses is not the fault of its jobs."""
        await redis.execute_command("SET", f"{self.keys.step}:{self.worker}:stop", 1, "PX", _STOPS_MS)

    # While jobs run

    def renew(self, redis: Any, held: Mapping[str, str]) -> list[str]:
        """Renew the leases of `held` (id → token) on a blocking client; return the ids that are no longer ours."""
        args: list[Any] = [self.lease_ms]
        for job_id, token in held.items():
            args += (encode_id(job_id), token)
        k = self.keys
        return [decode_id(raw) for raw in RENEW.run(redis, (k.queue, k.active, k.runs, k.seen), args)]

    async def report(self, redis: Any, reports: Sequence[Report]) -> int:
        """Write the progress of running jobs; return how many of their claims still held."""
        args: list[Any] = [self._rules.queue, self._rules.events_maxlen]
        for claim, task, percent, message in reports:
            args += (encode_id(claim.id), claim.token, task, f"{percent:g}", sendable(message))
        k = self.keys
        return int(await PROGRESS(redis, (k.runs, k.progress, self._rules.events, k.terms), args))

    async def keep(self, redis: Any, said: Sequence[tuple[Claim, Checkpoint]]) -> int:
        """Write the checkpoints of running jobs.

        Return how many were written: those whose claim still held, and that were newer than what was there.
        """
        args: list[Any] = []
        for claim, checkpoint in said:
            args += (encode_id(claim.id), claim.token, checkpoint.number, checkpoint.wire())
        return int(await CHECKPOINT(redis, (self.keys.runs, self.keys.checkpoint), args))

    async def keep_logs(self, redis: Any, said: Sequence[tuple[Claim, bytes]]) -> list[bool]:
        """Write what running jobs have logged; tell of each whether it was written: not where Redis is full."""
        args: list[Any] = []
        for claim, log in said:
            args += (encode_id(claim.id), claim.token, log)
        return [answer == 1 for answer in await LOG(redis, (self.keys.runs,), args)]

    # Waking up

    async def nudge(self, redis: Any, horizon: float) -> float | None:
        """Leave a wake token if a job is due within `horizon` seconds.

        Return the seconds until the next job is due, None if none waits.
        """
        left = int(await NUDGE(redis, (self.keys.queue, self.keys.wake), (round(horizon * 1000),)))
        return None if left < 0 else left / 1000

    async def watch(self, redis: Any, life: float) -> bool:
        """Take or keep the watcher's role for `life` seconds; 0 gives it up. Tell whether this worker has it."""
        return bool(await WATCH(redis, (self.keys.watcher,), (self.worker, round(life * 1000))))

    async def keep_watching(self, redis: Any, life: float) -> bool:
        """Let the watcher's role last for `life` seconds more; tell whether this worker has it.

        It costs one command, for which it renews another worker's role too. That is seldom: a worker renews long before
        its role ends, and one that finds another in its place renews no more.
        """
        holder = await redis.execute_command("GETEX", self.keys.watcher, "PX", round(life * 1000))
        return bool(holder == self.worker.encode())

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
        """Enqueue one tick of arq's cron job `name`, unless that tick or a later one was enqueued before.

        The tick is remembered for `memory` seconds. Tell whether the job was enqueued.
        """
        keys = (f"{self.keys.queue}:cron:{name}", self.keys.queue, self.keys.wake)
        args = (tick_ms, round(memory * 1000), job_id, payload, due_ms, life_ms)
        return bool(await TICK(redis, keys, args))
