"""A model of the scripts in plain Python: the state of one queue, and each operation on it. Times are in ms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rota.wire.claims import Checkpoint, Settlement, SettlementKind

#: How long a worker leaves a job that it did not know to the others.
TURN = 3500


@dataclass
class ModelJob:
    """One job. `state` is waiting, held (by one of ours), stock (held by a stock worker) or over."""

    id: str
    due: int
    score: int
    state: str = "waiting"
    token: str = ""
    deadline: int = 0
    attempt: int = 0
    lost: int = 0
    unknown: int = 0
    stranger: str = ""
    turn: int = 0
    claims: int = 0
    losses: int = 0
    saved: int = 0
    asked: bool = False
    taken_back: str = ""

    @property
    def entry(self) -> tuple[str, int, int, int] | None:
        """The job's run entry: token, due, lost, unknown since."""
        if self.state == "held":
            return self.token, self.due, self.lost, self.unknown
        if self.state == "waiting" and (self.lost or self.unknown or self.taken_back):
            return f"-{self.taken_back or self.stranger}", self.due, self.lost, self.unknown
        return None

    def is_for(self, worker: str, now: int) -> bool:
        """Tell whether `worker` may claim the job now: one that did not know it leaves it to others for a while."""
        return (
            self.state == "waiting" and self.due <= now and not (self.stranger == worker and now < self.turn)
        )

    def wait(self, due: int) -> None:
        """Put the job back in the line, due at `due`."""
        self.state, self.due, self.score, self.stranger = "waiting", due, due, ""
        self.taken_back = ""


@dataclass
class ModelClaim:
    """A claim as the model expects it."""

    id: str
    token: str
    attempt: int
    due: int
    lost: int
    unknown: int
    saved: int
    aborted: bool = False
    recovered: bool = False


@dataclass
class Expected:
    """The reply that the model expects of a step."""

    answers: list[bool]
    claims: list[ModelClaim] = field(default_factory=list)
    left: bool = False


class Model:
    """One queue, as the service uses it."""

    def __init__(self, lease: int) -> None:
        self.lease = lease
        self.now = 0
        self.jobs: dict[str, ModelJob] = {}
        self._seen: int | None = None
        self._steps: dict[str, tuple[int, int]] = {}
        self._fell: tuple[str, int] = ("", 0)

    def live(self) -> list[ModelJob]:
        """Return the jobs in the queue, in its order."""
        return sorted((job for job in self.jobs.values() if job.state != "over"), key=_rank)

    def held(self) -> Iterator[ModelJob]:
        """Iterate over the claimed jobs, by deadline."""
        held = [job for job in self.jobs.values() if job.state == "held"]
        return iter(sorted(held, key=lambda job: (job.deadline, job.id)))

    # Operations

    def put(self, job_id: str, due: int) -> None:
        self.jobs[job_id] = ModelJob(job_id, due, due)

    def step(
        self, worker: str, seq: int, want: int, settlements: Sequence[Settlement], *, resend: bool
    ) -> Expected:
        """Take a worker's step, and return the expected reply."""
        expected = Expected([self._settle(settlement, resend) for settlement in settlements])
        last = self._last_step(worker)
        if resend and last < seq:
            self._steps[worker] = (seq, self.now)
        live = self.live()
        if not live:
            if settlements:
                self._seen = None
            return expected
        self._look_at_the_clock()
        if resend and last == seq:
            expected.claims = self._handed_over_again(worker, seq)
        elif want and self.live()[0].score <= self.now:
            self._reap(worker)
            if last == seq:
                expected.claims = self._handed_over_again(worker, seq)
            elif last < seq:
                expected.left = self._claim(worker, seq, want, expected.claims)
        return expected

    def _handed_over_again(self, worker: str, seq: int) -> list[ModelClaim]:
        claims = self._claimed_by(worker, seq)
        for claim in claims:
            job = self.jobs[claim.id]
            job.deadline = job.score = self.now + self.lease
        return claims

    def renew(self, held: dict[str, str]) -> list[str]:
        """Renew a worker's claims, and return the ids that it no longer holds."""
        renewed = [
            self.jobs[job_id] for job_id, token in held.items() if self._holder_of(self.jobs[job_id]) == token
        ]
        for job in renewed:
            job.deadline = job.score = self.now + self.lease
        if renewed and self._seen is not None and self.now - self._seen <= self.lease / 2:
            self._seen = self.now
        return [job_id for job_id in held if self.jobs[job_id] not in renewed]

    def keep(self, job_id: str, token: str, number: int) -> bool:
        """Save a checkpoint, and return whether it counts."""
        job = self.jobs[job_id]
        counts = self._holder_of(job) == token and number > job.saved
        if counts:
            job.saved = number
        return counts

    # Parts of a step

    def _holder_of(self, job: ModelJob) -> str | None:
        return job.token if job.state == "held" else None

    def _last_step(self, worker: str) -> int:
        seq, at = self._steps.get(worker, (0, self.now))
        return seq if self.now <= at + 4 * self.lease else 0

    def _settle(self, settlement: Settlement, resend: bool) -> bool:
        job = self.jobs[settlement.id]
        if self._holder_of(job) != settlement.token:
            return resend and job.entry is None
        if settlement.kind is not SettlementKind.AGAIN:
            job.state, job.asked = "over", False
            return True
        if settlement.checkpoint:
            job.saved = Checkpoint.read(settlement.checkpoint).number
        job.unknown = (job.unknown or self.now) if settlement.unknown else 0
        job.attempt = job.attempt - 1 if settlement.unspent else settlement.attempt
        delay_ms = settlement.delay_ms
        if settlement.unknown:
            delay_ms = max(delay_ms or 0, min(60_000, (self.now - job.unknown) // 10))
        due = job.due if delay_ms is None else self.now + delay_ms
        # A job whose cancel was asked for is due at once, so that its next claim ends it.
        job.wait(min(due, self.now) if job.asked else due)
        if settlement.unknown:
            job.stranger, job.turn = settlement.token.split(":")[0], job.due + TURN
        return True

    def _look_at_the_clock(self) -> None:
        last_seen, self._seen = self._seen, self.now
        if last_seen is None or self.now - last_seen > self.lease / 2:
            for job in self.held():
                if job.deadline < self.now:
                    job.deadline = job.score = self.now + self.lease

    def _reap(self, caller: str) -> None:
        held = list(self.held())
        fallen = {_worker_of(job) for job in held if job.deadline <= self.now + self.lease / 2} - {caller}
        fallen |= {_worker_of(job) for job in held if job.deadline < self.now}
        name, at = self._fell
        if name and self.now <= at + self.lease / 2:
            fallen.add(name)
        for job in held:
            if job.deadline < self.now:
                self._fell = _worker_of(job), self.now
                is_shared = bool(fallen - {_worker_of(job)}) and not job.token.endswith("~")
                job.lost += not is_shared
                job.losses += 1
                job.attempt -= 1
                holder = job.token.partition("!")[0].rsplit(":", 3)[0]
                job.wait(job.due)
                job.taken_back = f"!{holder}@{self.now}{'~' if is_shared else ''}"

    def _claimed_by(self, worker: str, seq: int) -> list[ModelClaim]:
        return [claim_of(job) for job in self.held() if job.token.startswith(f"{worker}:0:{seq:020}:")]

    def _claim(self, worker: str, seq: int, want: int, claims: list[ModelClaim]) -> bool:
        for job in self.held():
            if job.score <= self.now < job.deadline:
                job.score = job.deadline
        due = [job for job in self.live() if job.is_for(worker, self.now)]
        ending = any(job.deadline <= self.now for job in self.held())
        for number, job in enumerate(due[:want], 1):
            job.state, job.token = "held", f"{worker}:0:{seq:020}:{number}{job.taken_back}"
            job.attempt += 1
            job.claims += 1
            job.deadline = job.score = self.now + self.lease
            claims.append(claim_of(job))
        if claims:
            self._steps[worker] = (seq, self.now)
        return len(due) > want or ending


def claim_of(job: ModelJob) -> ModelClaim:
    """Return the claim of a job that is held."""
    return ModelClaim(
        job.id,
        job.token,
        job.attempt,
        job.due,
        job.lost,
        job.unknown,
        job.saved,
        job.asked,
        bool(job.taken_back),
    )


def _worker_of(job: ModelJob) -> str:
    return job.token.split(":")[0]


def _rank(job: ModelJob) -> tuple[int, str]:
    return job.score, job.id
