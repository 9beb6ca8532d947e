"""Prometheus' rules: tested by promtool, on series that exist, and explained to who is woken by them."""

import re
import shutil
import subprocess
from typing import Any

import pytest

from rota.settings.settings import Settings
from rota.telemetry.metrics.series import BY_NAME, SERIES
from tests.monitoring import (
    ALERTS,
    EXPORTED,
    OWN,
    PROMETHEUS,
    RECORDED,
    ROOT,
    RULES,
    TARGET,
    names_in,
    wrong_labels,
)
from tests.yaml_files import read_yaml

TESTS: list[dict[str, Any]] = read_yaml(PROMETHEUS / "rules.test.yml")["tests"]
EXPECTED = [expected for test in TESTS for expected in test["alert_rule_test"]]
CONFIG: dict[str, Any] = read_yaml(PROMETHEUS / "prometheus.yml")
GUIDE = (ROOT / "docs" / "alerts.md").read_text("utf-8")
PROMTOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None,
    reason="promtool is not on PATH (Debian: apt-get install prometheus); test-containers runs these as well",
)


def promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    ran = subprocess.run([PROMTOOL, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_promtool
def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "rules.yml")


@needs_promtool
def test_each_alert_fires_where_it_must_and_is_silent_where_it_must() -> None:
    promtool("test", "rules", "rules.test.yml")


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_seen_to_fire_and_seen_to_stay_silent(alert: str) -> None:
    outcomes = {bool(expected["exp_alerts"]) for expected in EXPECTED if expected["alertname"] == alert}
    assert outcomes == {True, False}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_reads_series_that_exist_by_labels_that_they_have(rule: dict[str, Any]) -> None:
    assert names_in(rule["expr"]) <= EXPORTED | RECORDED.keys() | OWN
    assert names_in(rule["expr"])
    assert wrong_labels(rule["expr"]) == []


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_how_bad_it_is_and_what_happens(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "runbook"}
    assert rule["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_its_paragraph_which_says_what_it_means_what_to_look_at_and_what_to_do(
    alert: str,
) -> None:
    page, anchor = ALERTS[alert]["annotations"]["runbook"].split("#")
    assert (ROOT / page).is_file()
    assert anchor == alert.lower()
    section = GUIDE.split(f"\n## {alert}\n")
    assert len(section) == 2, f"docs/alerts.md has no heading for {alert}"
    text = re.split(r"\n##+ ", section[1])[0]
    for part in ("**What it means.**", "**Look at.**", "**Do.**"):
        assert part in text


def test_the_guide_explains_no_alert_that_there_is_not() -> None:
    assert set(re.findall(r"^## (Rota\w+)$", GUIDE, re.MULTILINE)) == ALERTS.keys()


def test_what_the_guide_queries_exists() -> None:
    queried = set().union(*(names_in(quoted) for quoted in re.findall(r"`([^`]*)`", GUIDE)))
    assert queried
    assert queried <= EXPORTED | RECORDED.keys() | BY_NAME.keys() | OWN


def test_every_replica_is_scraped_and_none_twice() -> None:
    found = {job["job_name"]: job["dns_sd_configs"] for job in CONFIG["scrape_configs"]}
    compose = read_yaml(ROOT / "docker-compose.prod.worker.yml")["services"]
    for service in ("worker", "exporter"):
        (dns,) = found[f"rota-{service}"]
        assert (dns["names"], dns["type"]) == ([service], "A")
        shared = set(compose[service]["networks"]) & set(compose["prometheus"]["networks"])
        assert len(shared) == 1


def test_the_port_is_the_one_that_is_served() -> None:
    ports = {dns["port"] for job in CONFIG["scrape_configs"] for dns in job["dns_sd_configs"]}
    assert ports == {Settings().metrics_port}


def test_labels_of_a_scrape_are_not_ours() -> None:
    # Prometheus would rename ours to exported_job.
    assert not {label for series in SERIES for label in series.labels} & TARGET
