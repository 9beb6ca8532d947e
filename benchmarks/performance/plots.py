"""The plots of the page: which figures each of them shows. This needs matplotlib, and so does what draws them."""

from matplotlib.figure import Figure as Canvas

from benchmarks.performance import style
from benchmarks.performance.beside import bars, dots
from benchmarks.performance.lines import lines
from benchmarks.performance.records import Records

_PERCENTILES = {"p50": "p50", "p95": "p95", "p99": "p99"}
_RATES = {"per_s": "no-op jobs", "nap_per_s": "5 ms jobs"}
_COSTS = {"worker_us": "workers", "redis_us": "Redis"}


def plots(records: Records) -> dict[str, str]:
    """Draw all of them, each as SVG, by the names of their files."""
    with style.styled():
        drawn = {
            "throughput": bars(records, noop_per_s="no-op jobs a second", nap_per_s="5 ms jobs a second"),
            "cost": dots(records, {"CPU a job, µs": {"worker_us": "worker", "redis_us": "Redis"}}),
            "pickup": dots(
                records,
                {
                    "on an idle queue, ms": {
                        f"pickup_{key}_ms": words for key, words in _PERCENTILES.items()
                    },
                    "at half load, ms": {"half_p50_ms": "p50", "half_p99_ms": "p99"},
                },
            ),
            "enqueue": bars(
                records,
                enqueue_one_per_s="one by one, a second",
                enqueue_callers_per_s="100 callers, a second",
                enqueue_many_per_s="in bulk, a second",
            ),
            "memory": bars(
                records,
                waiting_bytes="a waiting job, bytes",
                kept_bytes="a kept job, bytes",
                rss_mb="a worker, MB",
            ),
            **{name: _under(records, name) for name in ("backlog", "workers", "slots")},
            "queues": _queues(records),
            "delay": _delay(records),
            "load": _load(records),
        }
        return {f"{name}.svg": style.svg(canvas) for name, canvas in drawn.items()}


def _under(records: Records, name: str) -> Canvas:
    panels = {
        "jobs a second": {words: (name, figure) for figure, words in _RATES.items()},
        "CPU a job, µs": {words: (name, figure) for figure, words in _COSTS.items()},
    }
    return lines(records, name, panels, powers=name != "workers")


def _queues(records: Records) -> Canvas:
    kinds = {"100 slots for each queue": "queues", "100 slots in all": "queues_capped"}
    panels = {
        title: {words: (series, figure) for words, series in kinds.items()}
        for title, figure in (("no-op jobs a second", "per_s"), ("Redis CPU a job, µs", "redis_us"))
    }
    return lines(records, "queues", panels, powers=True)


def _delay(records: Records) -> Canvas:
    panels = {
        "jobs a second": {"no-op jobs": ("delay", "noop_per_s"), "5 ms jobs": ("delay", "nap_per_s")},
        f"enqueues a second{style.LOGARITHMIC}": {
            "in bulk": ("delay", "enqueue_bulk_per_s"),
            "100 callers": ("delay", "enqueue_100_per_s"),
            "one by one": ("delay", "enqueue_one_per_s"),
        },
    }
    return lines(records, "delay", panels, powers=False)


def _load(records: Records) -> Canvas:
    panels = {
        "from the enqueue to the body, ms": {
            words: ("load", f"{key}_ms") for key, words in _PERCENTILES.items()
        }
    }
    return lines(records, "load", panels, powers=False)
