"""`rota migrate`: the tables by hand, on SQLite and on PostgreSQL, and its exit status."""

import sqlite3
import subprocess
from importlib import util
from pathlib import Path

import pytest

from rota.app.respawn import EXIT_AWAY
from rota.cli import exits
from rota.store import engine
from rota.store.migrations import LATEST
from tests.databases import PostgresServer, new_schema, programs
from tests.integration.project import Project
from tests.servers import free_port


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Project:
    return Project(tmp_path / "project", capsys)


def test_it_makes_the_tables_once(project: Project, database_url: str) -> None:
    assert project.rota("migrate", "--check", DATABASE_URL=database_url).status == exits.FAILED
    first = project.rota("migrate", DATABASE_URL=database_url)
    assert (first.status, f"its tables are now those of version {LATEST}" in first.out) == (0, True)
    assert "nothing to do" in project.rota("migrate", DATABASE_URL=database_url).out
    assert project.rota("migrate", "--check", DATABASE_URL=database_url).status == 0


def test_a_check_changes_nothing(project: Project, database_url: str) -> None:
    for _ in range(2):
        ran = project.rota("migrate", "--check", DATABASE_URL=database_url)
        ran.refused("has no tables of rota's: run `rota migrate`", status=exits.FAILED)


async def test_what_it_prints_can_be_run_by_psql(project: Project, postgres: PostgresServer) -> None:
    url = await new_schema(postgres)
    script = project.rota("migrate", "--sql").out
    command = [str(programs() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", url]
    subprocess.run(command, input=script, text=True, check=True, capture_output=True)
    assert "CREATE TABLE IF NOT EXISTS _jobs (" in script


def test_what_it_prints_for_sqlite_can_be_run_there(project: Project, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        connection.executescript(project.rota("migrate", "--sql", DATABASE_URL=url).out)
    assert project.rota("migrate", "--check", DATABASE_URL=url).status == 0


def test_without_a_database_there_is_nothing_to_migrate(project: Project) -> None:
    project.rota("migrate").refused("DATABASE_URL is not set")


def test_a_database_that_is_away_is_said_in_a_sentence(project: Project) -> None:
    url = f"postgresql://ann:open-sesame@127.0.0.1:{free_port()}/rota"
    ran = project.rota("migrate", DATABASE_URL=url)
    ran.refused("is not listening: start it, or correct DATABASE_URL", status=EXIT_AWAY)
    assert "open-sesame" not in ran.out + ran.err


@pytest.mark.parametrize("package", ["sqlalchemy", "asyncpg"])
def test_a_package_that_is_missing_is_named_with_its_extra(
    project: Project, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None if name == package else util.find_spec(name))
    ran = project.rota("migrate", DATABASE_URL="postgresql://db/rota")
    ran.refused(f"DATABASE_URL is set, which needs {package}; install rota[database]")
