"""Where the scripts are tried: a fake server whose clock we move, or a real one, and workers that know the protocol."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from rota.model.policies.limits import RateLimit
from rota.testing.clock import Clock
from rota.wire import envelopes
from rota.wire.claims import Claim, Settlement, SettlementKind, encode_id
from rota.wire.keys import ABORT, IN_PROGRESS, JOB, RESULT, RETRY, QueueKeys
from rota.wire.queue import QueueScripts, ServiceRules, StepReply
from rota.wire.scripts import CANCEL, ENQUEUE, REPLAY

KEYS = QueueKeys.of("arq:queue:q")
EVENTS = "rota:events"
LEASE = 30.0


class Bed:
    """One queue on one server. `redis` is for coroutines, `looking` blocks, `clock` is None on a real server."""

    def __init__(self, redis: Any, looking: Any, clock: Clock | None) -> None:
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
        """Let time pass."""
        assert self.clock is not None
        self.clock.advance(seconds)

    async def pass_time(self, seconds: float, *alive: "Worker") -> None:
        """The same in small parts, as it passes while a fleet is busy: workers that are alive renew what they hold."""
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
        """A job's score in the queue."""
        found = self.looking.zscore(KEYS.queue, encode_id(job_id))
        return None if found is None else float(found)

    def attempts(self, job_id: str) -> int:
        """arq's counter."""
        return int(self.looking.get(RETRY.encode() + encode_id(job_id)) or 0)

    def entry(self, job_id: str) -> list[str] | None:
        """A job's run entry: token, due, started, lost, unknown since."""
        raw = self.looking.hget(KEYS.runs, encode_id(job_id))
        return None if raw is None else raw.decode().split(" ")

    def held(self, job_id: str) -> Any:
        """arq's in-progress key."""
        return self.looking.get(IN_PROGRESS.encode() + encode_id(job_id))

    def result(self, job_id: str) -> Any:
        """arq's result key."""
        return self.looking.get(RESULT.encode() + encode_id(job_id))

    def ask_to_abort(self, job_id: str) -> None:
        """What arq's `Job.abort()` does to a job in the queue."""
        self.looking.zadd(ABORT, {encode_id(job_id): self.now})
        self.looking.zadd(KEYS.queue, {encode_id(job_id): 1})

    def hold_as_stock_does(self, job_id: str) -> None:
        """What a stock worker writes when it starts a job."""
        self.looking.set(IN_PROGRESS.encode() + encode_id(job_id), b"1", px=310_000)

    def finish_as_stock_does(self, job_id: str) -> None:
        """What a stock worker writes when it has finished a job."""
        member = encode_id(job_id)
        self.looking.zrem(KEYS.queue, member)
        for prefix in (JOB, IN_PROGRESS, RETRY):
            self.looking.delete(prefix.encode() + member)

    # What is there

    def all_keys(self) -> set[str]:
        """Every key."""
        return {raw.decode("utf-8", "backslashreplace") for raw in self.looking.keys("*")}

    def events(self, job_id: str | None = None) -> list[dict[str, str]]:
        """The stream's entries, all or of one job."""
        entries = [
            {name.decode(): value.decode("utf-8", "backslashreplace") for name, value in fields.items()}
            for _, fields in self.looking.xrange(EVENTS)
        ]
        return [entry for entry in entries if job_id in (None, entry["id"])]

    def story(self, job_id: str) -> list[str]:
        """The types of a job's events, in order."""
        return [entry["type"] for entry in self.events(job_id)]

    def tokens(self) -> int:
        """How many wake tokens there are."""
        return int(self.looking.llen(KEYS.wake))

    # What clients do

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
        """Run the script of an enqueue; 1 for each id that was put, 0 for one that was taken, 2 for one replaced."""
        args: list[Any] = ["q", 1000, 1 if reuse else 0]
        for job_id in ids:
            args += [
                encode_id(job_id),
                payload,
                due_ms,
                round(delay * 1000),
                life_ms,
                "work",
                terms,
                unique,
                taken,
            ]
        answers = await ENQUEUE(self.redis, (keys.queue, keys.wake, EVENTS if told else ""), args)
        return [answer if isinstance(answer, int) else answer[0] for answer in answers]

    async def cancel(self, job_id: str, record: bytes = b"record") -> str:
        """Run the script of a cancel; its answer."""
        args = ("q", 1000, encode_id(job_id), record, 60_000, "work", b'"why"')
        answer: bytes = await CANCEL(self.redis, (KEYS.queue, EVENTS), args)
        return answer.decode()

    async def replay(self, *ids: str) -> list[str]:
        """Run the script that brings dead letters back; its answers."""
        args = ("q", 1000, *map(encode_id, ids))
        answers = await REPLAY(self.redis, (KEYS.queue, KEYS.dead, KEYS.wake, EVENTS, KEYS.checkpoint), args)
        return [answer.decode() for answer in answers]

    def worker(
        self,
        name: str,
        *,
        service: bool = True,
        lease: float = LEASE,
        suspect: int = 0,
        rate: RateLimit | None = None,
        keys: QueueKeys = KEYS,
    ) -> "Worker":
        """A worker of this queue, or of the one with `keys`."""
        rules = ServiceRules("q", events=EVENTS, suspect=suspect, rate=rate.figures if rate else "")
        return Worker(self, QueueScripts(keys, name, lease, rules if service else None))


class Worker:
    """A process as the scripts see it: steps with numbers, claims that it holds."""

    def __init__(self, bed: Bed, protocol: QueueScripts) -> None:
        self.bed = bed
        self.protocol = protocol
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
        alone: bool = False,
    ) -> StepReply:
        """One step under the next number, or under `seq`."""
        self.last = next(self.numbers) if seq is None else seq
        reply = await self.protocol.step(
            self.bed.redis,
            lane=lane,
            seq=self.last,
            want=want,
            settlements=settlements,
            resend=resend,
            alone=alone,
        )
        for settlement in settlements:
            self.held.pop(settlement.id, None)
        self.held.update((claim.id, claim) for claim in reply.claims)
        return reply

    async def claim(self, want: int = 1) -> list[Claim]:
        """Claim up to `want` jobs."""
        return (await self.step(want)).claims

    async def claim_one(self) -> Claim:
        """Claim the one job that is due."""
        (claim,) = await self.claim()
        return claim

    async def settle(self, *settlements: Settlement) -> list[bool]:
        """Settle; the answers."""
        return (await self.step(0, settlements)).answers

    def renew(self, *claims: Claim) -> list[str]:
        """Renew these claims, or all that are held; the ids that are no longer ours."""
        held = {claim.id: claim.token for claim in claims or self.held.values()}
        return self.protocol.renew(self.bed.looking, held) if held else []


def payload(*, stock: bool = False) -> bytes:
    """A job's bytes, as our client or a stock one writes them."""
    if stock:
        return envelopes.job_serializer({"t": None, "f": "work", "a": (), "k": {}, "et": 1_700_000_000_000})
    return envelopes.encode_job("work", b"{}", enqueued_ms=1_700_000_000_000)


def finish(claim: Claim, **fields: Any) -> Settlement:
    """The claim's job is done, and its record kept for an hour."""
    settlement = Settlement.finished(
        claim,
        record=b'{"r":1}',
        record_ms=3_600_000,
        event="completed",
        task="work",
        attempt=claim.attempt,
        detail=b"1",
    )
    return settlement._replace(**fields)


def bury(claim: Claim, **fields: Any) -> Settlement:
    """The claim's job is dead."""
    return finish(claim, kind=SettlementKind.DEAD, reason="failed", event="dead", detail=b'"boom"')._replace(
        **fields
    )


def again(claim: Claim, delay: float, **fields: Any) -> Settlement:
    """The claim's job is tried again in `delay` seconds."""
    settlement = Settlement.again(claim, delay, event="retried", task="work", attempt=claim.attempt)
    return settlement._replace(**fields)


def interrupted(claim: Claim) -> Settlement:
    """The claim's job goes back to its place, unspent, and that is told."""
    return again(claim, 0, delay_ms=None, unspent=True, event="interrupted")


def unknown(claim: Claim, delay: float) -> Settlement:
    """No worker here knows the claim's job."""
    return Settlement.again(claim, delay, unspent=True, unknown=True)


def with_retention(worker: Worker, seconds: float) -> Worker:
    """The same worker, keeping dead letters for `seconds`."""
    assert worker.protocol.service is not None
    rules = replace(worker.protocol.service, dead_retention=seconds)
    return Worker(worker.bed, replace(worker.protocol, service=rules))
