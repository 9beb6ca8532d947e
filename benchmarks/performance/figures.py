"""What the page shows of each system, and of each condition: which figures, in what words, and which way is better."""

from dataclasses import dataclass
from typing import Literal

OURS, FLOOR = "rota", "floor"
#: From here on a value has no digits after the point.
_LARGE = 100


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the records; `better` is None for what is a circumstance of others and no merit."""

    key: str
    words: str
    better: Literal["more", "less"] | None
    digits: int = 0

    def text(self, value: float | None) -> str:
        """Format a value, with a dash for one that there is not; a large one needs no digits after the point."""
        if value is None:
            return "-"
        return f"{value:,.{self.digits if value < _LARGE else 0}f}"


def _figures(better: Literal["more", "less"] | None, digits: int, **words: str) -> tuple[Figure, ...]:
    return tuple(Figure(key, text, better, digits) for key, text in words.items())


#: The figures of systems side by side: a table of the page each, by the name that it has in the page's text.
SYSTEMS: dict[str, tuple[Figure, ...]] = {
    "throughput": _figures(
        "more",
        0,
        noop_per_s="no-op jobs/s",
        nap_per_s="5 ms jobs/s",
        noop_10_per_s="no-op/s, 10 at once",
        nap_10_per_s="5 ms/s, 10 at once",
        noop_2_per_s="no-op/s, 2 workers",
    ),
    "cost": (
        *_figures("less", 1, worker_us="worker CPU, µs", redis_us="Redis CPU, µs", commands="commands"),
        *_figures("less", 3, round_trips="round trips"),
        *_figures("less", 0, sent_bytes="bytes sent", received_bytes="bytes received"),
    ),
    "pickup": (
        *_figures("less", 2, pickup_p50_ms="idle: p50, ms", pickup_p95_ms="p95", pickup_p99_ms="p99"),
        *_figures(None, 0, half_per_s="half load: jobs/s"),
        *_figures("less", 2, half_p50_ms="p50 at half load, ms", half_p99_ms="p99 at half load"),
    ),
    "enqueue": _figures(
        "more",
        0,
        enqueue_one_per_s="enqueues/s, one by one",
        enqueue_callers_per_s="by 100 callers at once",
        enqueue_many_per_s="in bulk",
    ),
    "memory": (
        *_figures("less", 0, waiting_bytes="bytes a waiting job", kept_bytes="bytes a kept job"),
        *_figures("less", 1, rss_mb="RSS of a worker, MB", idle_per_s="idle: commands/s"),
        *_figures("less", 2, start_s="first job after, s"),
    ),
}
ALL = tuple(figure for figures in SYSTEMS.values() for figure in figures)

#: The figures of one system under other conditions, by their keys in the record.
UNDER = {
    figure.key: figure
    for figure in (
        Figure("per_s", "no-op jobs/s", "more"),
        Figure("noop_per_s", "no-op jobs/s", "more"),
        Figure("nap_per_s", "5 ms jobs/s", "more"),
        Figure("worker_us", "workers' CPU, µs a job", "less", 1),
        Figure("redis_us", "Redis CPU, µs a job", "less", 1),
        Figure("enqueue_one_per_s", "enqueues/s, one by one", "more"),
        Figure("enqueue_100_per_s", "by 100 callers at once", "more"),
        Figure("enqueue_bulk_per_s", "in bulk", "more"),
        Figure("recorder_behind_s", "recorder is done later by, s", "less", 2),
        Figure("pace_per_s", "jobs/s", None),
        Figure("p50_ms", "p50, ms", "less", 2),
        Figure("p95_ms", "p95", "less", 2),
        Figure("p99_ms", "p99", "less", 2),
    )
}
#: The series that have a plot, and what stands over the column of the points.
SERIES = {
    "backlog": "jobs waiting",
    "queues": "queues, 100 slots each",
    "queues_capped": "queues, 100 slots in all",
    "delay": "ms a round trip",
    "workers": "workers",
    "slots": "jobs at once",
    "load": "part of full speed",
}
#: Those that have a table alone, and may be missing in a record: this one needs a PostgreSQL.
TABLES = {"company": "beside the worker"}
