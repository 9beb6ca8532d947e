"""A scrape returns the series that have a source."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families as parsed

from rota.seams import Outgoing
from rota.telemetry.metrics.enqueued import ENQUEUED
from rota.telemetry.metrics.page import Metrics, client_metrics
from rota.telemetry.metrics.series import SERIES, Series
from rota.telemetry.metrics.tally import Buckets, Spread


def scraped(metrics: Metrics) -> dict[str, Metric]:
    reply = metrics.page()
    assert reply.status == 200
    assert reply.content_type.startswith("text/plain; version=0.0.4")
    return {family.name: family for family in parsed(reply.body.decode())}


def value_of(series: Series) -> list[tuple[tuple[str, ...], float]]:
    return [(tuple(f"a {label}" for label in series.labels), 2)]


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.name)
def test_every_series_has_its_name_kind_help_and_labels(series: Series) -> None:
    metrics = Metrics(process=False)
    if series.type == "histogram":
        metrics.provide_histogram(series.name, lambda: [Buckets(series.buckets).spread(series.labels)])
    else:
        metrics.provide(series.name, lambda: value_of(series))
    (family,) = scraped(metrics).values()
    assert family.documentation == series.help
    assert family.type == {"info": "gauge"}.get(series.type, series.type)
    for sample in family.samples:
        assert sample.name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") == series.name
        assert set(sample.labels) - {"le"} == set(series.labels)


def test_a_histogram_counts_up_and_ends_with_all() -> None:
    metrics = Metrics(process=False)
    metrics.provide_histogram(
        "arq_job_payload_bytes", lambda: [Spread(("email",), (1, 0, 2, 0, 0, 0, 0, 3), 9.5)]
    )
    (family,) = scraped(metrics).values()
    assert [sample.value for sample in family.samples] == [1, 1, 3, 3, 3, 3, 3, 6, 6, 9.5]
    assert [sample.labels.get("le") for sample in family.samples][:8][::7] == ["256.0", "+Inf"]


def test_what_has_no_source_is_left_out_and_sources_are_read_at_each_scrape() -> None:
    metrics = Metrics(process=False)
    assert scraped(metrics) == {}
    read: list[int] = []

    def source() -> list[tuple[tuple[str, ...], float]]:
        read.append(1)
        return [((), len(read))]

    metrics.provide("arq_worker_draining", source)
    values = [scraped(metrics)["arq_worker_draining"].samples[0].value for _ in range(3)]
    assert values == [1, 2, 3]


def test_a_name_that_is_not_in_the_list_is_an_error() -> None:
    with pytest.raises(KeyError, match="arq_made_up"):
        Metrics(process=False).provide("arq_made_up", list)


def test_labels_cannot_break_out_of_their_line() -> None:
    metrics = Metrics(process=False)
    evil = 'a"} 1\narq_evil 1\n\\'
    metrics.provide("arq_worker_slots", lambda: [((evil,), 1)])
    (family,) = scraped(metrics).values()
    assert [sample.labels for sample in family.samples] == [{"queue": evil}]


def test_the_process_tells_of_its_memory_and_its_processor_time() -> None:
    names = scraped(Metrics())
    assert {"process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"} <= set(names)


def test_a_process_that_only_enqueues_adds_its_count_to_a_registry_of_its_own() -> None:
    registry = CollectorRegistry()
    registry.register(client_metrics())
    ENQUEUED.created([Outgoing("of-this-test", "send", "1", b"{}")])
    assert (
        'arq_jobs_enqueued_total{queue="of-this-test",task="send"} 1.0' in generate_latest(registry).decode()
    )
