"""Turns counts into the answer to a scrape: one collector that goes through the list `SERIES`.

Each series has a source, a function that is called at every scrape, in the thread that serves it. A series without a
source is left out. Names, types, labels and help come from the list, so that they cannot differ from it.
"""

import platform
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from rota.process.http import Reply
from rota.telemetry.metrics.enqueued import ENQUEUED
from rota.telemetry.metrics.series import BY_NAME, SERIES, Series
from rota.telemetry.metrics.tally import Labels, Spread

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: The values of a counter, gauge or info, by the values of its labels.
Values = Callable[[], Iterable[tuple[Labels, float]]]
#: The values of a histogram.
Spreading = Callable[[], Iterable[Spread]]


class Metrics(Collector):
    """The series of one process. `process` adds `process_*`: memory, processor time, open files."""

    def __init__(self, *, process: bool = True) -> None:
        self._values: dict[str, Values] = {}
        self._spreads: dict[str, Spreading] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        if process:
            ProcessCollector(registry=self._registry)

    def provide(self, name: str, read: Values) -> None:
        """Take the values of the series `name` from `read` at each scrape: pairs of label values and a number.

        Raises KeyError for a series that is not in the list.
        """
        self._values[BY_NAME[name].name] = read

    def provide_histogram(self, name: str, read: Spreading) -> None:
        """Take the spreads of the histogram `name` from `read` at each scrape; the buckets are those of the series."""
        self._spreads[BY_NAME[name].name] = read

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that the registry does not read every source when this collector is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every series that has a source, in the order of the list."""
        for series in SERIES:
            if series.name in self._values:
                yield _family(series, self._values[series.name]())
            elif series.name in self._spreads:
                yield _histogram(series, self._spreads[series.name]())

    def page(self, _: str = "") -> Reply:
        """Return the answer to a scrape; this is a route of the endpoint."""
        return Reply(200, CONTENT_TYPE, generate_latest(self._registry))


def client_metrics() -> Metrics:
    """Return the metrics of a process that only enqueues, for `registry.register(…)` of its own Prometheus registry."""
    metrics = Metrics(process=False)
    metrics.provide("arq_jobs_enqueued_total", ENQUEUED.read)
    return metrics


def build(app_version: str) -> Labels:
    """Return the versions of rota, Python and arq, and that of the application's own code."""
    return _version("rota"), platform.python_version(), _version("arq"), app_version


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"  # run from a folder of sources


def _family(series: Series, values: Iterable[tuple[Labels, float]]) -> Metric:
    # prometheus_client takes a counter's and an info's name without their ending, and writes it with it.
    family = Metric(_stem(series), series.help, series.type)
    for labels, value in values:
        family.add_sample(series.name, dict(zip(series.labels, labels, strict=True)), value)
    return family


def _histogram(series: Series, spreads: Iterable[Spread]) -> Metric:
    family = Metric(series.name, series.help, series.type)
    bounds = [*map(str, series.buckets), "+Inf"]
    for spread in spreads:
        labels = dict(zip(series.labels, spread.labels, strict=True))
        counts = list(accumulate(spread.counts))
        for bound, count in zip(bounds, counts, strict=True):
            family.add_sample(f"{series.name}_bucket", {**labels, "le": bound}, count)
        family.add_sample(f"{series.name}_count", labels, counts[-1])
        family.add_sample(f"{series.name}_sum", labels, spread.sum)
    return family


def _stem(series: Series) -> str:
    ending = {"counter": "_total", "info": "_info"}.get(series.type, "")
    return series.name.removesuffix(ending)
