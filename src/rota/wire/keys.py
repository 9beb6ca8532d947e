"""Every Redis key the project touches, spelled in one place.

arq's own keys keep arq's spelling, so that stock clients and workers read them; ours hang on the queue's name.
"""

from dataclasses import dataclass

from rota.names import check_name

QUEUE = "arq:queue:"
JOB = "arq:job:"
RESULT = "arq:result:"
RETRY = "arq:retry:"
IN_PROGRESS = "arq:in-progress:"
ABORT = "arq:abort"

#: What follows `arq:queue:<name>:`. A bare worker on arq's default queue `arq:queue` keeps its claims in
#: `arq:queue:active`, so no queue may bear one of these names.
RESERVED = frozenset(
    {
        "active",
        "runs",
        "dead",
        "wake",
        "seen",
        "step",
        "watcher",
        "progress",
        "checkpoint",
        "snoozes",
        "paused",
        "stats",
        "workers",
        "worker",
        "limit",
        "health-check",
        "solitude",
        "cron",
        "terms",
        "parked",
        "line",
        "levels",
        "pacer",
        *(f"p{level}" for level in range(1, 10)),
    }
)


def check_queue(name: str) -> str:
    """Return `name` when it may name a queue. Raises ValueError otherwise."""
    if check_name("queue", name) in RESERVED:
        raise ValueError(f"queue name {name!r} is reserved; so are: {', '.join(sorted(RESERVED))}")
    return name


_PARTS = (
    *("active", "runs", "dead", "wake", "seen", "step", "progress", "checkpoint", "snoozes", "watcher"),
    "solitude",
    *("terms", "parked", "paused", "stats", "workers", "worker"),
)


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """The keys of one queue, derived from the name of its sorted set.

    `queue` holds every live job by due time, or by its lease's deadline while it is claimed; `active` the claimed
    ones by deadline; `runs` the fence and the memory of each job's place; `dead` the dead letters by time, each
    with a hash `dead:<id>`; `wake` at most one token; `seen` the last server time a script ran at; `progress` what
    running jobs last reported; `checkpoint` what jobs that are not over have saved; `snoozes` how often live ones
    put themselves off; `watcher` who turns foreign
    changes into tokens; `solitude` who makes room for a job that may be what kills its workers; `terms` what the
    scripts must know of a job beside its payload; `parked` the jobs that are due and wait for a limit, by the time
    they were due; `paused` whether nothing is to be claimed; `stats` how many executions have ended, and the
    milliseconds that they kept their slots; `workers` the processes that serve the queue, each with a heartbeat
    `worker:<process>` that expires.
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
    watcher: str
    solitude: str
    terms: str
    parked: str
    paused: str
    stats: str
    workers: str
    worker: str

    @classmethod
    def of(cls, queue: str) -> "QueueKeys":
        """The keys around the sorted set `queue` (a full key: `arq:queue:email`, or arq's own `arq:queue`)."""
        return cls(queue, *(f"{queue}:{part}" for part in _PARTS))


def queue_key(name: str) -> str:
    """The sorted set of the queue `name`."""
    return QUEUE + name


def events_key(namespace: str) -> str:
    """The one stream of events."""
    return f"{namespace}:events"


def flow_key(namespace: str, flow_id: str) -> str:
    """The hash of one run of a pipeline, or of a batch."""
    return f"{namespace}:flow:{flow_id}"


def flow_alias_key(namespace: str, user_id: str) -> str:
    """Where the flow is named that a user gave an id of their own."""
    return f"{namespace}:flow-id:{user_id}"
