"""Grafana's dashboards: what the code builds, of series that exist, with a word of explanation to each panel."""

import json
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.__main__ import DASHBOARDS, written
from deploy.grafana.promql import most, quantile, rate
from rota.telemetry.metrics.series import SERIES, Series
from tests.container.exposition import samples
from tests.monitoring import BOARDS, EXPORTED, OWN, RECORDED, boards, names_in, panels, queries, wrong_labels

PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, board in boards().items()
    for panel in panels(board)
]


def test_there_is_one_for_the_fleet_for_a_queue_for_a_job_and_for_redis() -> None:
    assert boards().keys() == DASHBOARDS.keys() == {"fleet", "queue", "job", "redis"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_what_is_committed_is_what_the_code_builds(name: str) -> None:
    assert (BOARDS / f"{name}.json").read_text("utf-8") == written(name), "make dashboards"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_it_is_a_dashboard_by_grafanas_model(name: str) -> None:
    said = boards()[name]
    read = json.loads(json.dumps(Dashboard.from_json(said), cls=JSONEncoder))
    assert read == said


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_a_title_a_unit_and_a_description(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")
    assert panel["targets"]


@pytest.mark.parametrize("query", queries(), ids=lambda query: f"{query.board}: {query.panel}")
def test_a_panel_reads_series_that_exist_by_labels_that_they_have(query: Any) -> None:
    assert names_in(query.expr)
    assert names_in(query.expr) <= EXPORTED | RECORDED.keys() | OWN
    assert wrong_labels(query.expr) == []


def test_every_series_is_on_a_dashboard() -> None:
    shown = set().union(*(names_in(query.expr) for query in queries()))
    # A histogram is shown by one of its parts.
    missing = [series.name for series in SERIES if not any(name.startswith(series.name) for name in shown)]
    assert missing == []


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_two_panels_lie_on_each_other_or_beyond_the_edge(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in boards()[name]["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_two_panels_have_a_number_in_common(name: str) -> None:
    numbers = [panel["id"] for panel in boards()[name]["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert 0 not in numbers


def test_they_have_names_of_their_own_and_lead_to_each_other() -> None:
    every = boards().values()
    assert len({board["uid"] for board in every}) == len({board["title"] for board in every}) == 4
    assert all(board["links"][0]["tags"] == board["tags"] == ["rota"] for board in every)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: most("arq_queue_jbos"), "no process exports arq_queue_jbos"),
        (lambda: most("arq_queue_latency_seconds", "task"), "has no label task; it has queue"),
        (lambda: rate("arq_queue_latency_seconds"), "is a gauge of the fleet, not a counter of the process"),
        (lambda: quantile(0.5, "arq_jobs_started_total"), "is a counter of the process, not a histogram"),
    ],
)
def test_a_mistake_in_a_query_is_an_error_when_it_is_built(build: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build()


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.name)
def test_what_stands_in_for_a_fleet_in_containers_has_a_sample_of_each_series(series: Series) -> None:
    assert list(samples(series))
