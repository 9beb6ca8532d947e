"""Where a peer is ahead: the list comes from the record, and the reasons from here."""

from dataclasses import dataclass

from benchmarks.performance.figures import ALL, OURS, Figure
from benchmarks.performance.records import Records

_SLOTS = (
    "A slot is empty from a job's end until the next job is claimed. With jobs of 5 ms, each millisecond of that costs "
    "a sixth of the rate."
)
_WAKE = (
    "An enqueue wakes one idle worker, whose step then claims the job under a lease. A worker that pops the message "
    "itself off a list saves this round trip, and loses the job if it dies."
)
_HALF = (
    "Half load is half of each system's own speed: a faster one has more jobs a second there, and a machine that is "
    "busier with them."
)
#: Why a peer is ahead in a figure, where one is. What is said holds whatever the figures are.
REASONS = {
    "nap_per_s": _SLOTS,
    "nap_10_per_s": _SLOTS,
    "noop_10_per_s": "A step settles and claims what ten slots hold, so that few jobs share what it costs.",
    "noop_2_per_s": "The second worker takes its time from the first, from Redis and from the driver.",
    "redis_us": "The script that settles and claims writes leases, the record that clients read, and events.",
    "commands": (
        "One command takes a message off a list, and another writes a result. rota leases a job, so that it outlives "
        "its worker, and tells of it by events."
    ),
    "round_trips": "Counted are reads of the server, of up to 16 KiB: a step of a hundred jobs is two or three.",
    "sent_bytes": "A worker sends what the record and the events of a job say: its outcome, its times, its result.",
    "received_bytes": "The payload is arq's: the function's name and the time of the enqueue beside the arguments.",
    "pickup_p50_ms": _WAKE,
    "pickup_p95_ms": _WAKE,
    "pickup_p99_ms": _WAKE,
    "half_p50_ms": _HALF,
    "half_p99_ms": _HALF,
    "enqueue_one_per_s": (
        "One script, in one round trip, sees whether the id is taken, writes the payload with its expiry, the place in "
        "the queue and an event, and wakes a worker. A list takes one command; and a call by asyncio takes longer than "
        "one that blocks on its socket."
    ),
    "waiting_bytes": (
        "arq's format has a key for each job, which expires, and an entry in a sorted set, so that a job is found by "
        "its id, put off and cancelled; and an enqueue is an event. A message in a list is little more than its text."
    ),
    "kept_bytes": (
        "A record has the arguments and the times beside the result, and events tell of the job. Some systems keep the "
        "result alone, or nothing."
    ),
    "rss_mb": "Most of it is libraries: redis-py, arq, uvloop, OpenSSL, and pydantic for typed payloads and settings.",
    "idle_per_s": (
        "The worker looks every three seconds whether a job waits whose wake-up was lost with its receiver, tells "
        "every five seconds that it lives, and leads. A worker that only waits on a list says nothing."
    ),
    "start_s": (
        "Most of it is the loading of modules, pydantic's among them. Settings, jobs and Redis are checked before the "
        "first claim."
    ),
}


@dataclass(frozen=True, slots=True)
class Ahead:
    """A peer that is ahead in one figure: its value, how many times as good, and whether rounds of both overlap."""

    title: str
    value: float
    times: float | None
    overlap: bool


def slower(records: Records) -> dict[Figure, list[Ahead]]:
    """Return the figures in which any peer is ahead of rota, each with these peers, the best first."""
    found = {figure: _ahead(records, figure) for figure in ALL if figure.better}
    return {figure: peers for figure, peers in found.items() if peers}


def times_better(figure: Figure, one: float, other: float) -> float | None:
    """Return how many times as good `one` is as `other`; None where either is nothing at all."""
    if not one or not other:
        return None
    return one / other if figure.better == "more" else other / one


def best(records: Records, figure: Figure) -> tuple[str, float] | None:
    """Return the peer that is best in a figure, and its value; None if no peer has the figure."""
    values = [(key, value) for key in records.rivals if (value := records.value(key, figure.key)) is not None]
    choose = max if figure.better == "more" else min
    return choose(values, key=lambda one: one[1], default=None)


def _ahead(records: Records, figure: Figure) -> list[Ahead]:
    ours = records.value(OURS, figure.key)
    if ours is None:
        return []
    sign = 1 if figure.better == "more" else -1
    rounds = records.rounds(OURS, figure.key)
    found = []
    for key in records.rivals:
        value = records.value(key, figure.key)
        if value is not None and sign * (value - ours) > 0:
            theirs = records.rounds(key, figure.key)
            overlap = min(theirs) <= max(rounds) and min(rounds) <= max(theirs)
            found.append(Ahead(records.title(key), value, times_better(figure, value, ours), overlap))
    return sorted(found, key=lambda peer: -sign * peer.value)
