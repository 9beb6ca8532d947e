"""The table that a run prints. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.figures import Figures
from benchmarks.promises import OURS, THEIRS
from benchmarks.sizes import Sizes
from benchmarks.systems import System


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of every system, with `digits` after the point, and which way is better."""

    figure: str
    words: str
    better: Literal["more", "less"]
    digits: int = 0


ROWS = (
    Row("noop_per_s", "no-op jobs/s", "more"),
    Row("nap_per_s", "5 ms jobs/s", "more"),
    Row("worker_us", "worker CPU, µs a job", "less"),
    Row("redis_us", "Redis CPU, µs a job", "less"),
    Row("commands", "Redis commands a job", "less", 1),
    Row("round_trips", "network round trips a job", "less", 3),
    Row("enqueue_one_per_s", "enqueue one by one, /s", "more"),
    Row("enqueue_many_per_s", "enqueue in bulk, /s", "more"),
    Row("direct_one_per_s", "one caller, uvloop, /s", "more"),
    Row("direct_per_s", "  a hundred callers", "more"),
    Row("direct_times", "  times one caller", "more", 1),
    Row("http_per_s", "  a hundred callers over HTTP", "more"),
    Row("http_share", "  share of one caller without HTTP", "more", 2),
    Row("http_us", "API CPU, µs a request", "less"),
    Row("http_p50_ms", "over HTTP at 1,000/s, p50, ms", "less", 1),
    Row("http_p99_ms", "over HTTP at 1,000/s, p99, ms", "less", 1),
    Row("stock_pickup_p50_ms", "pick-up p50, stock client, ms", "less", 2),
    Row("stock_pickup_p95_ms", "pick-up p95, stock client, ms", "less", 2),
    Row("own_pickup_p50_ms", "pick-up p50, rota's client, ms", "less", 2),
    Row("own_pickup_p95_ms", "pick-up p95, rota's client, ms", "less", 2),
    Row("idle_per_s", "idle worker, commands/s", "less", 2),
    Row("idle_network_per_s", "  of them sent by the worker", "less", 2),
    Row("fleet_network", "one enqueue, {fleet} idle workers: sent", "less", 1),
    Row("fleet_all", "  with commands inside scripts", "less", 1),
    Row("fleet_stock_network", "the same from a stock client: sent", "less", 1),
    Row("fleet_stock_all", "  with commands inside scripts", "less", 1),
    Row("page_ms", "slowest page of the dashboard, {waiting} wait, ms", "less", 1),
    Row("page_times", "  times among few jobs", "less", 1),
    Row("dashboards_share", "throughput with ten dashboards open, share", "more", 3),
)

NOTES = """\
Times better: rota, the service, against tuned arq. Medians of the rounds; each round runs every system in turn.
arq, defaults: max_jobs=10, poll_delay=0.5. Tuned: max_jobs=100, poll_delay=0.01. Bare QueueWorker: as tuned.
rota: `python -m rota` with typed payloads, events, leases and retry policy, 100 jobs at once.
All keep results for an hour and log warnings only. Event loops as shipped: asyncio for arq and the bare worker,
uvloop for rota, and for the callers of the API and of one client, who are in a process of their own. arq gets fewer
jobs a round, so that its rounds end. Bulk: arq's client has no such call, so 100 single ones go at once.
The API and the browsers of open dashboards get what time workers and Redis leave, as if on machines of their own.
Every job is counted by its process and by its result in Redis: none lost, none run twice."""


def ratio(row: Row, systems: Mapping[str, Figures]) -> float | None:
    """Return how many times better ours is than theirs; None if either lacks the figure."""
    ours, theirs = (systems.get(key, {}).get(row.figure) for key in (OURS, THEIRS))
    if not ours or not theirs:
        return None
    return ours / theirs if row.better == "more" else theirs / ours


def render(systems: Sequence[System], figures: Mapping[str, Figures], sizes: Sizes) -> str:
    """Format the table as text, one column for each system, from every system's figures by its key."""
    lines = [["", *(system.title for system in systems), "times better"]]
    for row in ROWS:
        times = ratio(row, figures)
        cells = [cell(figures[system.key].get(row.figure), row.digits) for system in systems]
        lines.append(
            [
                row.words.format(fleet=sizes.fleet, waiting=f"{sizes.waiting:,}"),
                *cells,
                f"{times:.1f} x" if times else "",
            ]
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(aligned(line, widths) for line in lines)


def aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """Format a line of a table: the first cell to the left, the others to the right."""
    first, *others = line
    cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
    return "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def cell(value: float | None, digits: int) -> str:
    """Format a figure, with a dash for one that there is not."""
    return "-" if value is None else f"{value:,.{digits}f}"
