"""The exporter as a process: what it shows of a real queue, and what of a Redis that is away or slow."""

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rota.telemetry.metrics.series import SERIES
from tests.integration.project import Project
from tests.servers import RedisServer, free_port
from tests.waiting import wait_until

FLEET = {series.name for series in SERIES if series.scope == "fleet"}
#: What is shown of a fleet, whatever Redis does.
ALWAYS = {"arq_redis_up", "arq_exporter_last_success_timestamp_seconds"}


class Seen:
    """One scrape: values by name and labels."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }
        self.names = {key[0] for key in self.values}

    def __getitem__(self, key: tuple[str, ...]) -> float:
        return self.values[key]

    @property
    def up(self) -> bool:
        return self["arq_redis_up",] == 1


class Address:
    """Where an exporter answers."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self._base + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def json(self, path: str) -> tuple[int, Any]:
        status, text = self.get(path)
        return status, json.loads(text)

    def scrape(self) -> Seen:
        return Seen(self.get("/metrics")[1])

    def until(self, holds: Callable[[Seen], bool]) -> Seen:
        """Scrape until a page is as it should be, and return it."""

        def look() -> Seen | None:
            with contextlib.suppress(OSError):
                if holds(seen := self.scrape()):
                    return seen
            return None

        found: Seen = wait_until(look)
        return found


@pytest.fixture
def project(tmp_path: Any, capfd: pytest.CaptureFixture[str], own_server: RedisServer) -> Project:
    return Project(tmp_path, capfd, own_server.url)


@pytest.fixture
def exporter(project: Project) -> Iterator[Address]:
    port = free_port()
    process = project.process("exporter", METRICS_PORT=str(port), QUEUES__EMAIL__SLO="20s")
    try:
        yield Address(port)
    finally:
        process.terminate()
        _, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert "Traceback" not in err


def test_it_shows_every_series_of_the_fleet_once(
    exporter: Address, project: Project, own_server: RedisServer
) -> None:
    for _ in range(3):
        project.rota("enqueue", "send")
    project.rota("enqueue", "send", "--delay", "60")
    project.rota("pause", "default")
    schedule = {"definition": '{"queue":"email","task":"send"}', "tick": 1_790_000_000_000, "missed": 2}
    own_server.client().hset("rota:schedule:nightly", mapping=schedule | {"succeeded": 1_780_000_000_500})
    own_server.client().sadd("rota:schedules", "nightly")
    exporter.until(lambda seen: ("arq_cron_missed_total", "nightly", "send") in seen.values)
    seen = exporter.until(lambda seen: seen.values.get(("arq_queue_jobs", "email", "waiting")) == 3)
    # The name of a counter, and that of an info, end as they should: none is missing, and none is of a process.
    assert {name for name in seen.names if name.startswith("arq_")} == FLEET | {"arq_build_info"}
    assert seen["arq_queue_jobs", "email", "delayed"] == 1
    assert seen["arq_queue_unknown_jobs", "email"] == 0
    assert seen["arq_queue_jobs", "default", "waiting"] == 0
    assert (seen["arq_queue_paused", "default"], seen["arq_queue_paused", "email"]) == (1, 0)
    assert (seen["arq_queue_slo_seconds", "email"], seen["arq_queue_slo_seconds", "default"]) == (20, 60)
    assert seen["arq_queue_desired_workers", "email"] == 1
    assert seen["arq_cron_next_run_timestamp_seconds", "nightly", "send"] == 1_790_000_000
    assert seen["arq_cron_last_success_timestamp_seconds", "nightly", "send"] == 1_780_000_000.5
    assert seen["arq_cron_missed_total", "nightly", "send"] == 2
    assert seen["arq_redis_config_ok", "maxmemory_policy"] == 1
    assert seen["arq_redis_config_ok", "persistence"] == 1
    assert seen["arq_redis_config_ok", "maxmemory"] == 0


def test_a_check_says_when_redis_is_set_up_to_lose_jobs(exporter: Address, own_server: RedisServer) -> None:
    with own_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", 500_000_000)
        client.config_set("appendonly", "no")
    seen = exporter.until(lambda seen: seen.values.get(("arq_redis_config_ok", "maxmemory_policy")) == 0)
    assert seen["arq_redis_config_ok", "persistence"] == 0
    assert seen["arq_redis_config_ok", "maxmemory"] == 1
    assert seen["arq_redis_memory_max_bytes",] == 500_000_000


def test_workers_are_counted_while_they_run_and_no_longer(exporter: Address, project: Project) -> None:
    workers = [project.process("worker", METRICS_PORT="0", QUEUE_CONCURRENCY="4") for _ in range(2)]
    try:
        seen = exporter.until(lambda seen: seen.values.get(("arq_queue_workers", "email", "running")) == 2)
        assert seen["arq_queue_slots", "email"] == 8
        status, need = exporter.json("/scaling")
        assert (status, need["workers"]) == (200, 2)
        assert need["queues"][0]["load"]["slots"] == 4
    finally:
        stop(workers)
    exporter.until(lambda seen: seen["arq_queue_workers", "email", "running"] == 0)


def test_a_queue_that_nothing_names_is_counted_and_needs_no_workers(
    project: Project, own_server: RedisServer
) -> None:
    with own_server.client() as client:
        client.zadd("arq:queue:emial", {"a": 1, "b": 2})
        client.zadd("arq:queue:former:dead", {"c": 1})
    port = free_port()
    process = project.process("exporter", METRICS_PORT=str(port), LOG_FORMAT="json")
    try:
        address = Address(port)
        seen = address.until(lambda seen: ("arq_queue_declared", "emial") in seen.values)
        assert (seen["arq_queue_declared", "emial"], seen["arq_queue_declared", "email"]) == (0, 1)
        assert seen["arq_queue_jobs", "emial", "waiting"] == 2
        assert seen["arq_queue_jobs", "former", "dead"] == 1
        assert seen["arq_queue_workers", "emial", "running"] == 0
        assert ("arq_queue_desired_workers", "emial") not in seen.values
        assert [one["queue"] for one in address.json("/scaling")[1]["queues"]] == ["default", "email"]
    finally:
        process.terminate()
        out, err = process.communicate(timeout=20)
    said = [line for line in map(json.loads, (out + err).splitlines()) if line["event"] == "queue.stray"]
    assert [line["queue"] for line in said] == ["emial", "former"]


def stop(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.communicate(timeout=30)


def test_what_each_queue_needs_is_told_as_json(exporter: Address) -> None:
    exporter.until(lambda seen: seen.up)
    status, email = exporter.json("/scaling/email")
    assert status == 200
    assert (email["queue"], email["desired"], email["load"]["slo"]) == ("email", 0, 20)
    assert exporter.json("/scaling/nosuch")[0] == 404
    assert exporter.get("/readyz")[0] == exporter.get("/healthz")[0] == 200


def test_without_redis_it_says_so_and_shows_no_old_number(exporter: Address, own_server: RedisServer) -> None:
    well = exporter.until(lambda seen: seen.up)
    own_server.stop()
    seen = exporter.until(lambda seen: not seen.up)
    assert seen.names & FLEET == ALWAYS
    assert seen["arq_exporter_last_success_timestamp_seconds",] == pytest.approx(
        well["arq_exporter_last_success_timestamp_seconds",], abs=5
    )
    assert exporter.get("/scaling/email")[0] == exporter.get("/scaling")[0] == 503
    assert exporter.get("/readyz")[0] == 503
    assert exporter.get("/healthz")[0] == 200
    own_server.start()
    # The schedules were in its memory, and are gone.
    assert exporter.until(lambda seen: seen.up).names >= {one for one in FLEET if "_cron_" not in one}


def test_a_redis_that_stands_still_keeps_no_scrape_waiting(
    exporter: Address, own_server: RedisServer
) -> None:
    exporter.until(lambda seen: seen.up)
    with own_server.frozen():
        for _ in range(10):
            began = time.monotonic()
            exporter.scrape()
            assert time.monotonic() - began < 2
            time.sleep(0.1)  # the ten scrapes are spread over a second, in which readings begin and give up
        seen = exporter.until(lambda seen: not seen.up)
        assert seen.names & FLEET == ALWAYS
    exporter.until(lambda seen: seen.up)


def test_it_comes_up_before_redis_does(project: Project, own_server: RedisServer) -> None:
    own_server.stop()
    port = free_port()
    process = project.process("exporter", METRICS_PORT=str(port))
    try:
        address = Address(port)
        assert not address.until(lambda seen: not seen.up).up
        own_server.start()
        assert address.until(lambda seen: seen.up).up
    finally:
        stop([process])


def test_an_exporter_without_a_port_is_refused(project: Project) -> None:
    project.rota("exporter", METRICS_PORT="off").refused("METRICS_PORT", "off")


def test_mode_exporter_is_the_same_as_the_command(project: Project) -> None:
    project.rota(MODE="exporter", METRICS_PORT="off").refused("METRICS_PORT")
