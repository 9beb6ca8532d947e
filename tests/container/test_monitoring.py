"""Prometheus beside the production stack: it finds all workers, and evaluates every rule and dashboard's query."""

import json
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.container.engine import Engine
from tests.container.stack import Stack, wait_until
from tests.monitoring import ALERTS, EXPORTED, PROMETHEUS, RECORDED, RULES, names_in, queries

WORKERS = 5
#: The name of Prometheus' image on a machine without a registry.
STAND_IN = "prom/prometheus:local"
#: Runs in place of what serves the series, with a sample of each; else they serve their own.
SERVED_BY: dict[str, dict[str, Any]] = {
    "our own": {},
    "a stand-in": {
        "command": ["python", "/tests/exposition.py"],
        "volumes": ["./tests/container/exposition.py:/tests/exposition.py:ro"],
    },
}
#: For how Prometheus finds its targets and what the containers may do, which is one whatever the series are served by.
once = pytest.mark.parametrize("monitored", list(SERVED_BY)[:1], indirect=True)
#: What a fleet without schedules and a database does not export on whose short day nothing went wrong and nothing was
#: enqueued by a worker.
EVENTFUL = {
    "arq_cron_next_run_timestamp_seconds",
    "arq_cron_last_success_timestamp_seconds",
    "arq_cron_missed_total",
    "arq_jobs_enqueued_total",
    "arq_jobs_rejected_total",
    "arq_jobs_recovered_total",
    "arq_outbox_oldest_seconds",
    "arq_outbox_waiting",
    "arq_worker_recycled_total",
    "arq_redis_reconnects_total",
    "queue_task:arq_jobs_failed:ratio15m",
}
OVERRIDE = """\
services:
  worker: {served_by}
  exporter: {served_by}
  prometheus: {{image: "{image}"}}
"""
#: As Grafana would fill them in.
CHOSEN = {"$__rate_interval": "1m", "$namespace": ".*", "$queue": ".*", "$task": ".*"}


@pytest.fixture(scope="module")
def prometheus_image(engine: Engine, checkout: Path, facts: list[str]) -> str:
    """Choose the image of the compose file if it is here, or without a substitute."""
    compose = yaml.safe_load((checkout / "docker-compose.prod.worker.yml").read_text("utf-8"))
    wanted = str(compose["services"]["prometheus"]["image"])
    here = [name for name in (wanted, STAND_IN) if not engine.ran("image", "inspect", name).returncode]
    chosen = here[0] if here else wanted
    version = engine.docker("run", "--rm", "--entrypoint", "/bin/prometheus", chosen, "--version")
    facts.append(f"{version.splitlines()[0].split(' (')[0]}, for {wanted}")
    return chosen


class Monitored:
    """The stack with its profile `monitoring`, but for Grafana."""

    def __init__(self, stack: Stack, missing: set[str]) -> None:
        self.stack = stack
        self.missing = missing

    def compose(self, *command: str, stdin: str = "") -> str:
        files = ("--file", "monitored.yml", "--profile", "monitoring")
        return self.stack.compose(*files, *command, stdin=stdin, timeout=900)

    def up(self, workers: int) -> None:
        services = ("worker", "exporter", "prometheus")
        self.compose("up", "--detach", "--build", "--scale", f"worker={workers}", *services)

    def some_jobs_run(self) -> None:
        """Return the series of workers, or an empty set for the exporter."""
        if self.missing:
            self.stack.finish(self.stack.enqueue(200, 1.5))

    def answers(self, paths: Iterable[str]) -> list[Any]:
        """Ask Prometheus' API, all in one command, as each takes its time to start; the answers in order."""
        get = 'wget -q -O - "localhost:9090/api/v1/$path" </dev/null; echo'
        command = ("exec", "-T", "prometheus", "sh", "-c", f"while read -r path; do {get}; done")
        lines = self.compose(*command, stdin="".join(f"{path}\n" for path in paths)).splitlines()
        said = [json.loads(line) for line in lines]
        assert all(one["status"] == "success" for one in said), said
        return [one["data"] for one in said]

    def asked(self, path: str) -> Any:
        (answer,) = self.answers([path])
        return answer

    def samples(self, exprs: Iterable[str]) -> list[list[dict[str, Any]]]:
        """Return the samples of each query now."""
        paths = [f"query?query={quote(expr, safe='')}" for expr in exprs]
        return [list(answer["result"]) for answer in self.answers(paths)]

    def query(self, expr: str) -> list[dict[str, Any]]:
        (samples,) = self.samples([expr])
        return samples

    def targets(self, job: str) -> dict[str, str]:
        """Return the scraped addresses of a job, with the health of each."""
        active = self.asked("targets?state=active")["activeTargets"]
        return {one["labels"]["instance"]: one["health"] for one in active if one["labels"]["job"] == job}


@pytest.fixture(scope="module", params=SERVED_BY)
def monitored(
    request: pytest.FixtureRequest, engine: Engine, checkout: Path, image: str, prometheus_image: str
) -> Iterator[Monitored]:
    served_by = SERVED_BY[request.param]
    (checkout / "monitored.yml").write_text(
        OVERRIDE.format(served_by=json.dumps(served_by), image=prometheus_image)
    )
    stack = Stack(engine, checkout, f"rota-test-{secrets.token_hex(4)}")
    monitored = Monitored(stack, set() if served_by else EVENTFUL)
    try:
        monitored.up(WORKERS)
        wait_until(lambda: healthy(monitored.stack), "Prometheus is healthy")
        yield monitored
    finally:
        monitored.compose("down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "5")


def healthy(stack: Stack) -> bool:
    (prometheus,) = stack.compose(
        "--profile", "monitoring", "ps", "--quiet", "--no-trunc", "prometheus"
    ).split()
    return stack.health(prometheus) == "healthy"


def all_up(monitored: Monitored, workers: int) -> bool:
    return list(monitored.targets("rota-worker").values()) == ["up"] * workers


@once
def test_it_sees_all_five_workers_and_the_exporter(monitored: Monitored, facts: list[str]) -> None:
    wait_until(lambda: all_up(monitored, WORKERS), "all five are scraped")
    wait_until(lambda: list(monitored.targets("rota-exporter").values()) == ["up"], "the exporter is scraped")
    facts.append(f"Prometheus scrapes {sorted(monitored.targets('rota-worker'))}")
    ((counted),) = monitored.query('count(count by (instance) (arq_worker_draining{job="rota-worker"}))')
    assert counted["value"][1] == str(WORKERS)


@once
def test_the_fleet_is_exported_once(monitored: Monitored) -> None:
    expr = 'count by (job) (arq_queue_jobs{queue="default",state="waiting"})'
    wait_until(lambda: bool(monitored.query(expr)), "the fleet is there")
    ((only),) = monitored.query(expr)
    assert (only["metric"]["job"], only["value"][1]) == ("rota-exporter", "1")


def test_every_rule_is_evaluated_without_error(monitored: Monitored) -> None:
    def rules() -> list[dict[str, Any]]:
        return [rule for group in monitored.asked("rules")["groups"] for rule in group["rules"]]

    wait_until(lambda: all(rule["health"] != "unknown" for rule in rules()), "all are evaluated")
    assert {rule["name"]: rule.get("lastError", "") for rule in rules() if rule["health"] != "ok"} == {}
    assert len(rules()) == len(RULES)
    assert {rule["name"] for rule in rules() if rule["type"] == "alerting"} == ALERTS.keys()


def test_every_series_reaches_prometheus(monitored: Monitored) -> None:
    def missing() -> set[str]:
        return (EXPORTED | RECORDED.keys()) - set(monitored.asked("label/__name__/values"))

    monitored.some_jobs_run()
    wait_until(lambda: missing() <= monitored.missing, "all of them are there")


def test_every_query_of_every_dashboard_shows_something(monitored: Monitored, facts: list[str]) -> None:
    def silent() -> list[str]:
        every = list(set(queries()))
        shown = zip(every, monitored.samples(filled(query.expr) for query in every), strict=True)
        empty = [
            query for query, samples in shown if not samples and not names_in(query.expr) & monitored.missing
        ]
        return [f"{query.board}, {query.panel}: {query.expr}" for query in empty]

    # Rates need two scrapes between which a job ran.
    monitored.some_jobs_run()
    wait_until(lambda: silent() == [], "each shows something")
    facts.append(f"{len(queries())} queries of dashboards evaluated")


def filled(expr: str) -> str:
    for variable, value in CHOSEN.items():
        expr = expr.replace(variable, value)
    return expr


@once
def test_a_worker_that_comes_or_goes_is_noticed(monitored: Monitored) -> None:
    for workers in (WORKERS - 2, WORKERS):
        monitored.up(workers)
        wait_until(lambda now=workers: all_up(monitored, now), f"{workers} are scraped")


@once
def test_it_is_confined_like_the_others(monitored: Monitored) -> None:
    for service in ("prometheus", "exporter"):
        (container,) = monitored.compose("ps", "--quiet", "--no-trunc", service).split()
        host = monitored.stack.inspect(container)["HostConfig"]
        assert host["ReadonlyRootfs"] is True
        assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], None)
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0
    networks = monitored.stack.inspect(container)["NetworkSettings"]["Networks"]
    assert len(networks) == 3


def test_promtool_sees_each_alert_fire_and_stay_silent(
    engine: Engine, checkout: Path, prometheus_image: str
) -> None:
    folder = checkout / PROMETHEUS.relative_to(PROMETHEUS.parents[1])
    run = (
        "run",
        "--rm",
        "--volume",
        f"{folder}:/rules:ro",
        "--workdir",
        "/rules",
        "--entrypoint",
        "/bin/promtool",
    )
    engine.docker(*run, prometheus_image, "check", "config", "prometheus.yml")
    engine.docker(*run, prometheus_image, "test", "rules", "rules.test.yml")
