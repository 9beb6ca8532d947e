"""What rota promises against tuned stock arq, and which promises a run did not keep. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.figures import Figures

#: The systems that the promises are about.
OURS, THEIRS = "rota", "arq-tuned"


@dataclass(frozen=True, slots=True)
class Promise:
    """A bound on one figure of ours, or on how many times theirs it is (`relative`)."""

    words: str
    figure: str
    bound: Literal["at least", "at most"]
    limit: float
    relative: bool = False

    def value(self, systems: Mapping[str, Figures]) -> float:
        """Return the promised figure of a run."""
        ours = systems[OURS][self.figure]
        return ours / systems[THEIRS][self.figure] if self.relative else ours

    def kept(self, systems: Mapping[str, Figures]) -> bool:
        """Tell whether a run kept the promise."""
        value = self.value(systems)
        return value >= self.limit if self.bound == "at least" else value <= self.limit


PROMISES = (
    Promise("no-op jobs/s, times tuned arq's", "noop_per_s", "at least", 13, relative=True),
    Promise("enqueues/s of 100 callers of one client, times those of one", "direct_times", "at least", 2),
    Promise("enqueues/s over HTTP", "http_per_s", "at least", 2_000),
    Promise("enqueues/s over HTTP, share of one caller without it", "http_share", "at least", 0.2),
    Promise("enqueues over HTTP at 1,000/s, p99, ms", "http_p99_ms", "at most", 25),
    Promise("round trips a job at concurrency 100", "round_trips", "at most", 0.5),
    Promise("pick-up p50 of a stock client's jobs, ms", "stock_pickup_p50_ms", "at most", 5),
    Promise("commands/s of an idle worker, those in scripts included", "idle_per_s", "at most", 1),
    Promise("commands of one enqueue among idle workers", "fleet_network", "at most", 10),
    Promise("the slowest page of the dashboard among many jobs, ms", "page_ms", "at most", 50),
    Promise("the slowest page among many jobs, times among few", "page_times", "at most", 3),
    Promise(
        "throughput with ten open dashboards, share of that without", "dashboards_share", "at least", 0.97
    ),
)


def misses(systems: Mapping[str, Figures]) -> list[str]:
    """Return a line for each promise that was not kept, from every system's figures by its key."""
    return [
        f"{promise.words}: {promise.value(systems):.3g}, promised {promise.bound} {promise.limit:g}"
        for promise in PROMISES
        if not promise.kept(systems)
    ]
