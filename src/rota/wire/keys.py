"""Every Redis key of the project, spelt in one place.

arq's own keys keep arq's spelling, so that stock clients and workers read them:

    arq:queue:email      zset    every live job of the queue `email`, by the time it is due; while a worker has claimed
                                 the job, by the end of the worker's lease
    arq:job:<id>         string  the job's payload, as `rota.wire.envelopes` writes it
    arq:retry:<id>       string  how many attempts of the job were counted: in the service those
                                 that are over, with arq's contract those that began
    arq:in-progress:<id> string  the token of the claim; stock workers skip a job that has one
    arq:result:<id>      string  the final record of a job that is over; expires
    arq:log:<id>         hash    what the job's handler has logged (ours; see `rota.wire.log.pieces`); expires
    arq:abort            zset    the ids of running jobs that are to be cancelled, by the time of the request

Of a process of several queues there is besides:

    arq:bell:<process>   list    for a moment, an entry that interrupts its wait for tokens; expires

Of a worker that is asked for the stack of a job there are besides, each for some seconds:

    arq:stack:<worker>      list    the requests, `<request> <id>`
    arq:stack-of:<request>  string  the answer (ours; see `rota.model.stack.stack`)

A queue's other keys hang on the queue's own, as `arq:queue:email:active`: `QueueKeys` lists them. A key that belongs to
no single queue begins with the namespace, as `rota:events`: the stream of events, flows, schedules, limits, unique
keys, histories, who leads. Times in Redis are milliseconds of the server's clock.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from rota.names import check_name

QUEUE = "arq:queue:"
JOB = "arq:job:"
RESULT = "arq:result:"
RETRY = "arq:retry:"
LOG_OF_JOB = "arq:log:"
IN_PROGRESS = "arq:in-progress:"
ABORT = "arq:abort"
#: A key that is made and deleted within one script, which tries what a user may do.
TRIED = "arq:rights"
BELL = "arq:bell:"
STACK = "arq:stack:"
STACK_ANSWER = "arq:stack-of:"
#: The ids of the jobs that schedules enqueue begin with this.
TICK = "cron:"
#: The most digits of a time in milliseconds.
_MOST_DIGITS = 15

_PARTS = (
    *("active", "runs", "dead", "wake", "seen", "step", "progress", "checkpoint", "snoozes", "attempts"),
    "watcher",
    "solitude",
    *("terms", "parked", "paused", "stats", "workers", "worker"),
)

#: No queue may have one of these names. A bare worker on arq's default queue `arq:queue` keeps its claims in
#: `arq:queue:active`, which would be the queue `active` at the same time.
RESERVED = frozenset(
    {
        *_PARTS,
        # Keys that only scripts use: of limits, priorities and suspects, and of arq's cron jobs.
        *(
            "cause",
            "causes",
            "limit",
            "line",
            "levels",
            "pacer",
            "suspects",
            *(f"p{level}" for level in range(1, 10)),
        ),
        "cron",
        # arq's own.
        "health-check",
    }
)


def bell_key(process: str) -> str:
    """Return the key of the list that interrupts the call in which `process` waits for its queues' tokens."""
    return f"{BELL}{process}"


def stack_key(worker: str) -> str:
    """Return the key of the list in which `worker` is asked for the stacks of its jobs; expires."""
    return f"{STACK}{worker}"


def stack_answer_key(request: str) -> str:
    """Return the key at which a worker answers a request for a stack; expires."""
    return f"{STACK_ANSWER}{request}"


def check_queue(name: str) -> str:
    """Return `name` if a queue may have it. Raises ValueError otherwise."""
    if check_name("queue", name) in RESERVED:
        raise ValueError(f"queue name {name!r} is reserved; so are: {', '.join(sorted(RESERVED))}")
    return name


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """The keys of one queue, which hang on the key of its sorted set. A job is a member or a field by its id.

    Its jobs:

    :param queue: zset: every live job by the time it is due, or by the end of its lease while it is claimed.
    :param active: zset: the claimed jobs by the end of their leases.
    :param runs: hash: the run entry `token due started lost unknown-since` of each claimed job. The token is the fence:
        only the claim that has it may settle the job. The entry of a waiting job that was lost or unknown before begins
        with `-`.
    :param progress: hash: what running jobs last reported, `percent message`.
    :param checkpoint: hash: what jobs that are not over have saved, `number state`.
    :param snoozes: hash: how often live jobs have put themselves off.
    :param attempts: hash: the errors of the failed attempts of live jobs, a line `attempt ms error` each.
    :param terms: hash: what the scripts must know of a job beside its payload: priority, limits, unique key, flow.
    :param parked: zset: the jobs that are due and kept back by a limit, by the time they may try again.
    :param dead: zset: the dead letters by the time of death. Each has a hash `dead:<id>`.

    Its workers:

    :param wake: list: at most one wake token. Idle workers wait for it, and one of them takes it.
    :param watcher: string: the worker that turns the enqueues of stock clients into wake tokens; expires.
    :param seen: string: when a script last ran while there were jobs. A long gap means that the server stood still.
    :param step: string, one for each `step:<worker>:<lane>`: the number of the lane's last step that claimed; expires.
    :param solitude: string: the worker that makes room for a job that may be killing its workers; expires.
    :param paused: string: since when nothing is claimed.
    :param stats: hash: `ended`, the number of executions that have ended, and `busy`, the milliseconds that they took.
    :param workers: set: the processes that serve the queue.
    :param worker: string, one for each `worker:<process>`: the process's last heartbeat; expires.
    """

    queue: str
    active: str
    runs: str
    dead: str
    wake: str
    seen: str
    step: str
    progress: str
    checkpoint: str
    snoozes: str
    attempts: str
    watcher: str
    solitude: str
    terms: str
    parked: str
    paused: str
    stats: str
    workers: str
    worker: str

    @classmethod
    @lru_cache(maxsize=1024)
    def of(cls, queue: str) -> "QueueKeys":
        """Return the keys around the sorted set `queue`: a full key, `arq:queue:email` or arq's own `arq:queue`."""
        return cls(queue, *(f"{queue}:{part}" for part in _PARTS))


def queue_key(name: str) -> str:
    """Return the key of the sorted set of the queue `name`."""
    return QUEUE + name


def events_key(namespace: str) -> str:
    """Return the key of the stream that has the events of all queues."""
    return f"{namespace}:events"


def actions_key(namespace: str) -> str:
    """Return the key of the stream that says who did what to which jobs."""
    return f"{namespace}:actions"


def bulk_key(namespace: str) -> str:
    """Return the key of the sorted set of all actions on many jobs, by when each was asked for.

    Each is a hash at this key with `:<id>` behind it, which expires. Those that are not over are at `:open`; `:bell` is
    a list that wakes the leader for a moment.
    """
    return f"{namespace}:bulk"


def access_key(namespace: str) -> str:
    """Return the key of the hash that has the keys of the API."""
    return f"{namespace}:keys"


def idempotency_key(namespace: str, key: str, tenant: str | None = None) -> str:
    """Return the key of what an HTTP request with the header `Idempotency-Key` was answered; expires after a day.

    The keys of tenants are apart: a blank or a NUL is in no key that a header can have.
    """
    whole = key if tenant is None else f"{tenant}\0{key}"
    return f"{namespace}:idempotency:{sha256(whole.encode()).hexdigest()}"


def records_key(namespace: str) -> str:
    """Return the key of the stream from which the audit table is written: events with all that they are about."""
    return f"{namespace}:records"


def recording_key(namespace: str) -> str:
    """Return the key that says whether, and how much of, what happens is recorded: `level most-entries`; expires."""
    return f"{namespace}:recording"


def replicated_key(namespace: str) -> str:
    """Return the key that is written with all that replicas must have before it is acknowledged; expires."""
    return f"{namespace}:replicated"


def outbox_birth_key(namespace: str) -> str:
    """Return the key of the birth mark, by which it is noticed that this Redis was emptied, or is another one."""
    return f"{namespace}:outbox:birth"


def outbox_marks_key(namespace: str) -> str:
    """Return the key of the hash of rows of the outbox that were sent, until the database knows it; expires."""
    return f"{namespace}:outbox:sent"


def outbox_bell_key(namespace: str) -> str:
    """Return the key of the list with which an application wakes the relay after a commit; expires."""
    return f"{namespace}:outbox:bell"


def flow_key(namespace: str, flow_id: str) -> str:
    """Return the key of the hash of a flow: one run of a pipeline, or a batch."""
    return f"{namespace}:flow:{flow_id}"


def flows_key(namespace: str, state: str) -> str:
    """Return the key of the sorted set that has the ids of the flows in a state, of the newest ones."""
    return f"{namespace}:flows:{state}"


def flow_alias_key(namespace: str, user_id: str) -> str:
    """Return the key that holds the flow's id where a user gave the flow an id of their own."""
    return f"{namespace}:flow-id:{user_id}"


def schedules_key(namespace: str) -> str:
    """Return the key of the set of all schedules' names."""
    return f"{namespace}:schedules"


def schedule_key(namespace: str, name: str) -> str:
    """Return the key of the hash of one schedule: what it is planned by, and its ticks."""
    return f"{namespace}:schedule:{name}"


def releases_key(namespace: str) -> str:
    """Return the key of the sorted set of releases, each one text of schedules, by when it was declared first.

    The text lies at this key with `:<release>` behind it, and expires.
    """
    return f"{namespace}:schedules:releases"


def tick_id(name: str, tick_ms: int) -> str:
    """Return the id of the job that one tick of a schedule is. No queue is named `cron`, so no user's id is like it."""
    return f"{TICK}{name}:{tick_ms}"


def tick_of(job_id: str) -> tuple[str, int] | None:
    """Return the schedule and the tick, in milliseconds, that a job's id names; None for any other job."""
    if not job_id.startswith(TICK):
        return None
    name, _, tick = job_id[len(TICK) :].rpartition(":")
    return (
        (name, int(tick))
        if name and tick.isascii() and tick.isdigit() and len(tick) <= _MOST_DIGITS
        else None
    )


def history_key(namespace: str, queue: str) -> str:
    """Return the key of a queue's history: behind it stand `:<hour>`, counted since 1970, or `:marks`.

    An hour is a text with a line for each minute (`rota.model.history.tallies`), the marks one with a line for each
    version of the code that began to run: `<ms> <version> <process>`. Both expire.
    """
    return f"{namespace}:history:{queue}"


def history_sent_key(namespace: str, process: str) -> str:
    """Return the key that holds the number of the last counts that a process has added to histories; expires."""
    return f"{namespace}:history-sent:{process}"


def webhooks_key(namespace: str) -> str:
    """Return the key of the hash of webhooks; with `:off` behind it, of those that are switched off and why.

    With `:cursor` behind it, of the place up to which events have been made messages.
    """
    return f"{namespace}:webhooks"


def webhook_key(namespace: str, webhook: str) -> str:
    """Return what the keys of one webhook begin with: `:sent`, `:open` and `:counts`, or the id of a message.

    The first two are sorted sets of messages by time: the last that there were, and those that have not arrived yet.
    """
    return f"{namespace}:webhook:{webhook}"


def leader_key(namespace: str) -> str:
    """Return the key that names the worker process which leads the deployment, and the epoch of its term."""
    return f"{namespace}:leader"


def leader_epoch_key(namespace: str) -> str:
    """Return the key that holds the last epoch of all; it never expires."""
    return f"{namespace}:leader:epoch"


def leader_vacant_key(namespace: str) -> str:
    """Return the key of the list in which a leader that resigns leaves an entry, for one of those that wait."""
    return f"{namespace}:leader:vacant"
