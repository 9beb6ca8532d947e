"""The production stack with `--profile postgres`: what happens to jobs is written there, sooner or later."""

import os
import secrets
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.container.checkout import copy_checkout, with_a_job
from tests.container.engine import CommandFailed, Engine
from tests.container.runbooks import commands_under
from tests.container.stack import Stack, wait_until

#: As docs/audit.md tells it.
ENVIRONMENT = "COMPOSE_PROFILES=postgres\nDATABASE_URL_FILE=/run/postgres/url\nQUEUE_CONCURRENCY=4\nLEASE=5\n"


@pytest.fixture(scope="module")
def postgres_image(engine: Engine, checkout: Path) -> str:
    """Return the image of the compose file; the script in ENGINE_SETUP makes it where it is not here."""
    compose = yaml.safe_load((checkout / "docker-compose.prod.worker.yml").read_text("utf-8"))
    name = str(compose["services"]["postgres"]["image"])
    script = os.environ.get("ENGINE_SETUP")
    if script and engine.ran("image", "inspect", name).returncode:
        subprocess.run(
            [script, "postgres"], env=engine.environment, check=True, capture_output=True, timeout=900
        )
    return name


@pytest.fixture(scope="module")
def audited(
    engine: Engine, image: str, postgres_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder: Path = with_a_job(copy_checkout(tmp_path_factory.mktemp("audited")))
    (folder / ".env").write_text(ENVIRONMENT)
    stack = Stack(engine, folder, f"rota-test-{secrets.token_hex(4)}")
    try:
        stack.up(2)
        # What ends before the first worker leads is in no table.
        wait_until(lambda: stack.redis_cli("exists", "rota:recording") == "1", "a leader records")
        yield stack
    finally:
        stack.remove()


def sql(stack: Stack, statement: str) -> list[str]:
    """Run a statement as the workers' user, over the network as they do, and return the lines of its answer."""
    login = 'exec psql "$(cat /run/postgres/url)" --no-align --tuples-only --command "$0"'
    return stack.compose("exec", "-T", "postgres", "sh", "-c", login, statement).splitlines()


def statuses(stack: Stack, ids: set[str]) -> Counter[str]:
    rows = (line.split("|") for line in sql(stack, "SELECT id, status FROM _jobs"))
    return Counter(status for job_id, status in rows if job_id in ids)


def test_each_job_has_its_row_when_it_is_over(audited: Stack, facts: list[str]) -> None:
    ids = audited.enqueue(50, 0.05)
    audited.finish(ids)
    wait_until(lambda: statuses(audited, ids) == {"COMPLETED": 50}, "each job has its row")
    (version,) = sql(audited, "SHOW server_version")
    facts.append(f"the audit table is in PostgreSQL {version}")


def test_jobs_run_on_while_the_database_is_away_and_their_rows_follow(audited: Stack) -> None:
    audited.compose("stop", "postgres")
    ids = audited.enqueue(50, 0.05)
    audited.finish(ids)
    audited.compose("start", "postgres")
    wait_until(lambda: statuses(audited, ids) == {"COMPLETED": 50}, "each job has its row")


def test_the_engine_stops_while_jobs_run_and_each_has_its_row_and_ran_once(audited: Stack) -> None:
    """The database goes before the workers do, which keep what is to be written in Redis until it is back."""
    ids = audited.enqueue(8, 6.0)
    wait_until(lambda: audited.counted(ids, "started").keys() == ids, "each of them runs")
    audited.engine.docker("stop", *audited.compose("ps", "--quiet").split())
    audited.up(2)
    audited.finish(ids)
    assert set(audited.counted(ids, "started").values()) == {1}
    wait_until(lambda: statuses(audited, ids) == {"COMPLETED": 8}, "each job has its row")


def test_a_new_password_costs_no_row(audited: Stack) -> None:
    old = audited.compose("exec", "-T", "postgres", "cat", "/run/postgres/url")
    ids = audited.enqueue(50, 0.1)
    steps = commands_under("A new password for PostgreSQL")
    assert [step[0] for step in steps] == ["run", "up", "exec"]
    for step in steps:
        audited.compose(*step)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rota'"
    assert "t" in sql(audited, cut)
    audited.finish(ids)
    wait_until(lambda: statuses(audited, ids) == {"COMPLETED": 50}, "each job has its row")
    with pytest.raises(CommandFailed, match="password authentication failed"):
        audited.compose("exec", "-T", "postgres", "psql", old, "--command", "SELECT 1")


def test_the_password_outlives_the_containers(audited: Stack) -> None:
    before = sql(audited, "SELECT count(*) FROM _jobs")
    audited.compose("down", "--timeout", "5")
    audited.up(1)
    wait_until(lambda: audited.health(audited.ids("postgres")[0]) == "healthy", "the database is back")
    assert sql(audited, "SELECT count(*) FROM _jobs") == before
