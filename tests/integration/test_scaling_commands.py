"""The commands about the size of a fleet, and what they refuse."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.project import Project
from tests.servers import RedisServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, capfd: pytest.CaptureFixture[str], server: RedisServer) -> Project:
    return Project(tmp_path, capfd, server.url)


def planned(project: Project, *options: str, **variables: str) -> dict[str, str]:
    ran = project.rota("plan", *options, **variables)
    assert ran.status == 0, ran.err
    return {line.split("\t")[0]: line.split("\t")[1] for line in ran.out.splitlines()}


def test_a_plan_says_how_many_workers_a_load_needs(project: Project) -> None:
    found = planned(
        project, "--arrivals", "50", "--seconds", "0.5", "--burst", "2000", "--slo", "20", "--slots", "25"
    )
    assert (found["workers"], found["slots for arrivals"], found["slots for the burst"]) == (
        "5",
        "25.0",
        "100.0",
    )
    assert found["burst they can take"] == "4000"


def test_a_plan_takes_objective_and_slots_from_a_queue_s_settings(project: Project) -> None:
    own = {"QUEUES__EMAIL__SLO": "10s", "QUEUES__EMAIL__CONCURRENCY": "2"}
    options = ("--arrivals", "1", "--seconds", "1", "--burst", "50")
    assert planned(project, *options, "--queue", "email", **own)["workers"] == "6"
    assert planned(project, *options, **own)["workers"] == "1"


def test_a_plan_for_long_jobs_wants_no_more_slots_than_jobs(project: Project) -> None:
    found = planned(
        project, "--arrivals", "0", "--seconds", "3600", "--burst", "10", "--slo", "60", "--slots", "5"
    )
    assert (found["workers"], found["slots for the burst"], found["burst they can take"]) == (
        "2",
        "10.0",
        "10",
    )


def test_a_plan_asks_no_server(project: Project) -> None:
    found = planned(project, "--arrivals", "1", "--seconds", "1", REDIS_URL="redis://127.0.0.1:1")
    assert found["workers"] == "1"


def test_desired_is_what_the_queues_need_now(project: Project, server: RedisServer) -> None:
    with server.client() as client:
        client.zadd("arq:queue:email", {f"job-{number}": number + 1 for number in range(901)})
    assert project.rota("desired", "--over", "0").out == "4\n"
    assert project.rota("desired", "default", "--over", "0").out == "0\n"
    need: Any = json.loads(project.rota("desired", "email", "--over", "0", "--json").out)
    assert (need["desired"], need["queues"][0]["load"]["ready"]) == (4, 901)


def test_desired_of_a_queue_that_is_none_is_refused(project: Project) -> None:
    project.rota("desired", "nosuch").refused("nosuch", "email")


def test_an_autoscaler_without_a_command_is_refused(project: Project) -> None:
    project.rota("autoscaler").refused("AUTOSCALER_COMMAND")
    project.rota(MODE="autoscaler").refused("AUTOSCALER_COMMAND")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AUTOSCALER_POLICY", "guess"),
        ("AUTOSCALER_MIN", "-1"),
        ("AUTOSCALER_INTERVAL", "0"),
        ("QUEUE_SLO", "0"),
        ("QUEUES__EMAIL__SLO", "soon"),
    ],
)
def test_settings_that_cannot_work_are_refused(project: Project, variable: str, value: str) -> None:
    project.rota("desired", **{variable: value}).refused(variable)


def test_the_unit_runs_what_there_is_with_a_command_that_can_be_meant() -> None:
    from rota.fleet.command import command_of
    from rota.settings.load import load

    unit = (ROOT / "deploy/systemd/rota-autoscaler.service").read_text("utf-8")
    settings = dict(
        pair.split("=", 1)
        for line in unit.splitlines()
        if line.startswith("Environment=")
        for pair in (
            [line.removeprefix("Environment=").strip('"')]
            if '"' in line
            else line[len("Environment=") :].split()
        )
    )
    words = command_of(load(settings))
    lock, file, *compose = words
    assert lock == "flock"
    assert compose[:4] == ["docker", "compose", "--file", file]
    assert compose[-3:] == ["--scale", "worker={n}", "worker"]
    assert (ROOT / file).exists()
    assert settings["MODE"] == "autoscaler"
