"""Test beds for the scripts: a queue on a fake server whose clock the test moves, or on a real one, and its workers."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import count
from typing import Any

from redis.asyncio import Redis

from rota.client.sending.together import arguments_of
from rota.model.policies.limits import RateLimit
from rota.testing.clock import BenchClock
from rota.wire import envelopes
from rota.wire.claims import Claim, Settlement, SettlementKind, Told, encode_id
from rota.wire.keys import ABORT, IN_PROGRESS, JOB, RESULT, RETRY, QueueKeys
from rota.wire.queue import QueueScripts, ServiceRules, StepReply
from rota.wire.scripts import CANCEL, ENQUEUE, ENQUEUE_ONCE, REPLAY
from tests.servers import RedisServer
from tests.streams import events_in

KEYS = QueueKeys.of("arq:queue:q")
EVENTS = "rota:events"
#: The marker of a request that may be sent twice.
ONCE = "rota:idempotency:x"
LEASE = 30.0


class Bed:
    """One queue on one server.

    :param redis: the asyncio client that the scripts are called on.
    :param looking: the blocking client that tests look at the keys with.
    :param clock: the clock of a fake server; None on a real one.
    """

    def __init__(self, redis: Any, looking: Any, clock: BenchClock | None) -> None:
        self.redis = redis
        self.looking = looking
        self.clock = clock

    # Time

    @property
    def now(self) -> int:
        """The server's clock, ms."""
        seconds, micros = self.looking.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def advance(self, seconds: float) -> None:
        """Move the clock of the fake server on."""
        assert self.clock is not None
        self.clock.advance(seconds)

    def set_back(self, seconds: float) -> None:
        """Set the clock of the fake server back."""
        assert self.clock is not None
        self.clock.now -= seconds

    async def pass_time(self, seconds: float, *alive: "Worker") -> None:
        """Let time pass as it does in a busy fleet: steps come all the time, and the workers in `alive` renew.

        A long jump of the clock would look to the scripts as if the server had stood still.
        """
        busy = self.worker("busy")
        while seconds > 0:
            self.advance(min(seconds, LEASE / 4))
            seconds -= LEASE / 4
            for worker in alive:
                worker.renew()
            await busy.step()

    # Jobs

    def put(self, *ids: str, due: int | None = None, stock: bool = False, life: int | None = None) -> None:
        """Queue jobs as a client does; `due` in ms of the server's clock, `life` of the payload in ms."""
        for number, job_id in enumerate(ids):
            score = (self.now - 1000 + number) if due is None else due + number
            member = encode_id(job_id)
            self.looking.set(JOB.encode() + member, payload(stock=stock), px=life)
            self.looking.zadd(KEYS.queue, {member: score})

    def score(self, job_id: str) -> float | None:
        """Return a job's score in the queue, or None."""
        found = self.looking.zscore(KEYS.queue, encode_id(job_id))
        return None if found is None else float(found)

    def attempts(self, job_id: str) -> int:
        """Return how often arq's counter says that a job was tried."""
        return int(self.looking.get(RETRY.encode() + encode_id(job_id)) or 0)

    def entry(self, job_id: str) -> list[str] | None:
        """Return a job's run entry: token, due, started, lost, unknown since."""
        raw = self.looking.hget(KEYS.runs, encode_id(job_id))
        return None if raw is None else raw.decode().split(" ")

    def held(self, job_id: str) -> Any:
        """Return the value of arq's in-progress key of a job."""
        return self.looking.get(IN_PROGRESS.encode() + encode_id(job_id))

    def result(self, job_id: str) -> Any:
        """Return the value of arq's result key of a job."""
        return self.looking.get(RESULT.encode() + encode_id(job_id))

    def ask_to_abort(self, job_id: str) -> None:
        """Do to a job in the queue what arq's `Job.abort()` does."""
        self.looking.zadd(ABORT, {encode_id(job_id): self.now})
        self.looking.zadd(KEYS.queue, {encode_id(job_id): 1})

    def hold_as_stock_does(self, job_id: str) -> None:
        """Write what a stock worker writes when it starts a job."""
        self.looking.set(IN_PROGRESS.encode() + encode_id(job_id), b"1", px=310_000)

    def finish_as_stock_does(self, job_id: str) -> None:
        """Change what a stock worker changes when it has finished a job."""
        member = encode_id(job_id)
        self.looking.zrem(KEYS.queue, member)
        for prefix in (JOB, IN_PROGRESS, RETRY):
            self.looking.delete(prefix.encode() + member)

    # What is there

    def all_keys(self) -> set[str]:
        """Return the names of all keys on the server."""
        return {raw.decode("utf-8", "backslashreplace") for raw in self.looking.keys("*")}

    def events(self, job_id: str | None = None) -> list[dict[str, Any]]:
        """Return the events in the stream: all, or those of one job."""
        events = events_in(self.looking.xrange(EVENTS))
        return [one._asdict() | dict(one.extras) for one in events if job_id in (None, one.id)]

    def story(self, job_id: str) -> list[str]:
        """Return the types of a job's events, in order."""
        return [entry["type"] for entry in self.events(job_id)]

    def everything(self) -> dict[str, Any]:
        """Return all that scripts change, by key, but for what says when and under which number they ran."""
        found: dict[str, Any] = {}
        for key in self.looking.keys("*"):
            name = key.decode("utf-8", "backslashreplace")
            if name == KEYS.seen or name.startswith(KEYS.step):
                continue
            match self.looking.type(key):
                case b"string":
                    found[name] = self.looking.get(key)
                case b"hash":
                    found[name] = self.looking.hgetall(key)
                case b"zset":
                    found[name] = self.looking.zrange(key, 0, -1, withscores=True)
                case b"list":
                    found[name] = self.looking.lrange(key, 0, -1)
                case b"stream":
                    found[name] = self.looking.xlen(key)
        return found

    def tokens(self) -> int:
        """Return how many wake tokens the queue has."""
        return int(self.looking.llen(KEYS.wake))

    def commands(self) -> Counter[str]:
        """Return how often a real server has executed each command, those inside scripts included."""
        stats = self.looking.info("commandstats")
        return Counter({name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()})

    @contextmanager
    def full(self) -> Iterator[None]:
        """Let a real server have no memory left."""
        self.looking.config_set("maxmemory", 1)
        try:
            yield
        finally:
            self.looking.config_set("maxmemory", 0)

    # What clients and workers do

    async def enqueue(
        self,
        *ids: str,
        payload: bytes = b"p",
        due_ms: int = -1,
        delay: float = 0.0,
        life_ms: int = 0,
        reuse: bool = True,
        told: bool = True,
        terms: str = "",
        unique: str = "",
        taken: str = "refuse",
        keys: QueueKeys = KEYS,
    ) -> list[int]:
        """Enqueue jobs, and return for each id 1 (put), 0 (taken) or 2 (it replaced a job)."""
        rest = (due_ms, round(delay * 1000), life_ms, "work", terms, unique, taken)
        jobs = [value for job_id in ids for value in (encode_id(job_id), payload, rest)]
        args: list[Any] = ["q", 1000, 1 if reuse else 0, *arguments_of(jobs)]
        answers = await ENQUEUE(self.redis, (keys.queue, keys.wake, EVENTS if told else ""), args)
        if isinstance(answers, int):
            return [1] * answers
        return [answer if isinstance(answer, int) else answer[0] for answer in answers]

    async def enqueue_once(
        self, job_id: str, *, fingerprint: str = "f", terms: str = "", unique: str = "", taken: str = "refuse"
    ) -> list[Any]:
        """Enqueue a job for a request whose marker is ONCE; return whether it is the first, and what it was told."""
        job = (job_id, terms, unique, taken)
        (answer,) = await self.enqueue_each_once({ONCE: job}, fingerprint)
        return answer

    async def enqueue_each_once(
        self, jobs: Mapping[str, tuple[str, str, str, str]], fingerprint: str = "f"
    ) -> list[list[Any]]:
        """Enqueue jobs (id, terms, unique key, what to do where one is taken) for requests by their markers."""
        args: list[Any] = ["q", 1000, 60_000, *[fingerprint] * len(jobs)]
        for job_id, *others in jobs.values():
            args += (encode_id(job_id), b"p", -1, 0, 0, "work", *others)
        answers: list[list[Any]] = await ENQUEUE_ONCE(
            self.redis, (KEYS.queue, KEYS.wake, EVENTS, *jobs), args
        )
        return answers

    async def cancel(self, job_id: str, record: bytes = b"record") -> str:
        """Cancel a job, and return the script's answer."""
        args = ("q", 1000, encode_id(job_id), record, 60_000, "work", b'"why"')
        answer: bytes = await CANCEL(self.redis, (KEYS.queue, EVENTS), args)
        return answer.decode()

    async def replay(self, *ids: str) -> list[str]:
        """Replay dead letters, and return the script's answer for each."""
        args = ("q", 1000, 0, *map(encode_id, ids))
        answers = await REPLAY(self.redis, (KEYS.queue, KEYS.dead, KEYS.wake, EVENTS, KEYS.checkpoint), args)
        words = [answer if isinstance(answer, list) else [answer] for answer in answers]
        return [b" ".join(word).decode() for word in words]

    def worker(
        self,
        name: str,
        *,
        service: bool = True,
        lease: float = LEASE,
        suspect: int = 0,
        rate: RateLimit | None = None,
        most: int | None = None,
        keys: QueueKeys = KEYS,
        version: str = "",
    ) -> "Worker":
        """Return a new worker of this queue, or of the one with `keys`."""
        figures = rate.figures if rate else ""
        rules = ServiceRules("q", events=EVENTS, suspect=suspect, rate=figures, most=most, version=version)
        return Worker(self, QueueScripts(keys, name, lease, rules if service else None))

    async def claimed(self, *ids: str, name: str = "w", service: bool = True) -> tuple["Worker", list[Claim]]:
        """Put jobs, and return a worker that has claimed these, and nothing else, with the claims."""
        self.put(*ids)
        worker = self.worker(name, service=service)
        claims = await worker.claim(len(ids))
        assert [claim.id for claim in claims] == list(ids)
        return worker, claims


class Worker:
    """A worker as the scripts see it: it numbers its steps, and remembers the claims that it holds."""

    def __init__(self, bed: Bed, scripts: QueueScripts) -> None:
        self.bed = bed
        self.scripts = scripts
        self.held: dict[str, Claim] = {}
        self.numbers = count(1)
        self.last = 0

    async def step(
        self,
        want: int = 0,
        settlements: Sequence[Settlement] = (),
        *,
        lane: int = 0,
        seq: int | None = None,
        resend: bool = False,
        refused: bool = False,
        alone: bool = False,
        strangers: Collection[str] = (),
    ) -> StepReply:
        """Take a step, under the next number or under `seq`."""
        self.last = next(self.numbers) if seq is None else seq
        reply = await self.scripts.step(
            self.bed.redis,
            lane=lane,
            seq=self.last,
            want=want,
            settlements=settlements,
            resend=resend,
            refused=refused,
            alone=alone,
            strangers=strangers,
        )
        for settlement in settlements:
            self.held.pop(settlement.id, None)
        self.held.update((claim.id, claim) for claim in reply.claims)
        return reply

    async def claim(self, want: int = 1) -> list[Claim]:
        """Claim up to `want` jobs, and return the claims."""
        return (await self.step(want)).claims

    async def claim_ids(self, want: int = 10) -> list[str]:
        """Claim up to `want` jobs, and return their ids."""
        return [claim.id for claim in await self.claim(want)]

    async def claim_one(self) -> Claim:
        """Claim the only job that is due. Raises ValueError if there is none."""
        (claim,) = await self.claim()
        return claim

    async def settle(self, *settlements: Settlement) -> list[bool]:
        """Settle claims, and return whether each settlement counted."""
        return (await self.step(0, settlements)).answers

    def renew(self, *claims: Claim) -> list[str]:
        """Renew these claims, or all that the worker holds, and return the ids that it no longer holds."""
        held = {claim.id: claim.token for claim in claims or self.held.values()}
        return self.scripts.renew(self.bed.looking, held) if held else []


@asynccontextmanager
async def real_bed(server: RedisServer) -> AsyncIterator[Bed]:
    """Connect a bed to a real server, with clients of its own."""
    redis = Redis.from_url(server.url)
    with server.client() as looking:
        yield Bed(redis, looking, None)
    await redis.aclose()


def payload(*, stock: bool = False) -> bytes:
    """Return a job's payload as our client writes it, or as a stock one does."""
    if stock:
        return envelopes.job_serializer({"t": None, "f": "work", "a": (), "k": {}, "et": 1_700_000_000_000})
    return envelopes.encode_job("work", b"{}", enqueued_ms=1_700_000_000_000)


def finish(claim: Claim, **fields: Any) -> Settlement:
    """Return the settlement of a job that has completed; its record is kept for an hour."""
    told = Told("completed", "work", claim.attempt, b"1", record=b'{"r":1}', record_ms=3_600_000)
    return Settlement.finished(claim, told)._replace(**fields)


def bury(claim: Claim, **fields: Any) -> Settlement:
    """Return the settlement of a job that has died."""
    return finish(claim, kind=SettlementKind.DEAD, reason="failed", event="dead", detail=b'"boom"')._replace(
        **fields
    )


def again(claim: Claim, delay: float, **fields: Any) -> Settlement:
    """Return the settlement of a job that is tried again in `delay` seconds."""
    return Settlement.again(claim, delay, Told("retried", "work", claim.attempt))._replace(**fields)


def interrupted(claim: Claim) -> Settlement:
    """Return the settlement of a job that goes back to its place, its attempt unspent, with an event."""
    return again(claim, 0, delay_ms=None, unspent=True, event="interrupted")


def unknown(claim: Claim, delay: float) -> Settlement:
    """Return the settlement of a job that no worker here knows."""
    return Settlement.again(claim, delay, unspent=True, unknown=True)


def with_retention(worker: Worker, seconds: float) -> Worker:
    """Return the same worker with another retention of dead letters, in seconds."""
    assert worker.scripts.service is not None
    rules = replace(worker.scripts.service, dead_retention=seconds)
    return Worker(worker.bed, replace(worker.scripts, service=rules))
