"""The tables that a run prints: a line for each system, and how rota compares. Pure."""

from collections.abc import Mapping, Sequence
from typing import Literal

from benchmarks.figures import Figures
from benchmarks.peers.catalogue import FLOOR, OURS, Peer
from benchmarks.table import Row, aligned, cell

Better = Literal["more", "less"]


def _rows(better: Better, digits: int, **words: str) -> tuple[Row, ...]:
    return tuple(Row(figure, text, better, digits) for figure, text in words.items())


#: The columns of each table.
TABLES: tuple[tuple[Row, ...], ...] = (
    _rows(
        "more",
        0,
        noop_per_s="no-op/s",
        nap_per_s="5 ms/s",
        noop_10_per_s="no-op/s, 10 at once",
        nap_10_per_s="5 ms/s, 10 at once",
        noop_2_per_s="no-op/s, 2 workers",
        enqueue_one_per_s="enqueue/s",
        enqueue_callers_per_s="100 callers/s",
        enqueue_many_per_s="bulk/s",
    ),
    (
        *_rows("less", 1, worker_us="worker µs/job", redis_us="Redis µs/job", commands="commands/job"),
        *_rows("less", 3, round_trips="round trips/job"),
        *_rows("less", 0, sent_bytes="bytes sent/job", received_bytes="received/job"),
        *_rows("less", 0, waiting_bytes="bytes waiting", kept_bytes="kept"),
    ),
    (
        *_rows("less", 2, pickup_p50_ms="pick-up p50 ms", pickup_p95_ms="p95", pickup_p99_ms="p99"),
        *_rows("more", 0, half_per_s="at half load, /s"),
        *_rows("less", 2, half_p50_ms="p50 ms", half_p99_ms="p99"),
        *_rows("less", 1, idle_per_s="idle commands/s", rss_mb="RSS MB"),
        *_rows("less", 2, start_s="start s"),
    ),
)
ROWS = tuple(row for table in TABLES for row in table)

NOTES = """\
One worker process, up to 100 jobs at once where the system has such a number; results are kept as each system keeps
them by default. Medians of the rounds; each round runs every system in turn, every other round backwards.
Each job is counted by its own process, outside Redis: none lost, none run twice.
Workers run on the loop that their command brings: uvloop for rota, taskiq and the floor, asyncio for the others.
Clients with a loop are on uvloop; the others are called by threads where a hundred call at once. Of arq, the defaults
are 10 jobs at once and a look each 0.5 s; tuned, 100 and 10 ms. dramatiq, huey and Celery's threads have a thread for
each job at once; RQ runs one job at a time. dramatiq keeps no results, Celery and taskiq keep them in Redis. The
memory is that of all processes of a worker, one that only watches the other included. At half load, jobs come evenly,
half as many as the system did of no-op jobs, or what its client manages."""


def ratio(row: Row, ours: Figures, theirs: Figures) -> float | None:
    """Return how many times better ours is than theirs; None where either has no such figure."""
    one, other = ours.get(row.figure), theirs.get(row.figure)
    if not one or not other:
        return None
    return one / other if row.better == "more" else other / one


def ratios(figures: Mapping[str, Figures]) -> dict[str, dict[str, float]]:
    """Return how many times better rota is than each other system, by figure."""
    ours = figures.get(OURS, {})
    found = {
        row.figure: {
            key: value
            for key, theirs in figures.items()
            if key != OURS and (value := ratio(row, ours, theirs)) is not None
        }
        for row in ROWS
    }
    return {figure: values for figure, values in found.items() if values}


def render(peers: Sequence[Peer], figures: Mapping[str, Figures]) -> str:
    """Format the tables as text, from every system's figures by its key."""
    return "\n\n".join(_table(peers, figures, rows) for rows in TABLES)


def _table(peers: Sequence[Peer], figures: Mapping[str, Figures], rows: Sequence[Row]) -> str:
    lines = [["", *(row.words for row in rows)]]
    lines += [
        [peer.title, *(cell(figures[peer.key].get(row.figure), row.digits) for row in rows)] for peer in peers
    ]
    compared = ratios(figures)
    rivals = [peer.key for peer in peers if peer.key != OURS and not peer.key.startswith(FLOOR)]
    for title, keys in (("rota, times the best peer", rivals), ("rota, times the floor", [FLOOR])):
        lines.append([title, *(_worst(compared.get(row.figure, {}), keys) for row in rows)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(aligned(line, widths) for line in lines)


def _worst(compared: Mapping[str, float], keys: Sequence[str]) -> str:
    found = [compared[key] for key in keys if key in compared]
    return cell(min(found), 2) if found else "-"
