"""Turns what was counted into what a scrape returns: one collector that goes through the series of `series`.

A series has a source: something that is read when a scrape comes, in the thread that serves it. What has no source is
left out. Names, kinds, labels and help are those of the list, so that they cannot differ from it.
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
        """Take the spreads of the histogram `name` from `read`; their buckets are those of the series."""
        self._spreads[BY_NAME[name].name] = read

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry would read every source to find out."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every series that has a source, in the order of the list."""
        for series in SERIES:
            if series.name in self._values:
                yield _family(series, self._values[series.name]())
            elif series.name in self._spreads:
                yield _histogram(series, self._spreads[series.name]())

    def page(self, _: str = "") -> Reply:
        """The answer to a scrape: a route of the endpoint."""
        return Reply(200, CONTENT_TYPE, generate_latest(self._registry))


def client_metrics() -> Metrics:
    """What a process counts that only enqueues, to register with the registry that it has: `registry.register(…)`."""
    metrics = Metrics(process=False)
    metrics.provide("arq_jobs_enqueued_total", ENQUEUED.read)
    return metrics


def build() -> Labels:
    """What runs here: the versions of rota, Python and arq."""
    return _version("rota"), platform.python_version(), _version("arq")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"  # run from a folder of sources


def _family(series: Series, values: Iterable[tuple[Labels, float]]) -> Metric:
    # The client's own families put the ending of a counter, and that of an info, back where they belong.
    family = Metric(_stem(series), series.help, series.kind)
    for labels, value in values:
        family.add_sample(series.name, dict(zip(series.labels, labels, strict=True)), value)
    return family


def _histogram(series: Series, spreads: Iterable[Spread]) -> Metric:
    family = Metric(series.name, series.help, series.kind)
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
    ending = {"counter": "_total", "info": "_info"}.get(series.kind, "")
    return series.name.removesuffix(ending)
