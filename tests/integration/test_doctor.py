"""`rota doctor`: each fault of a deployment is a finding that says what to change, and its status serves a script."""

import asyncio
import json
import sqlite3
import time
from pathlib import Path

import pytest

from rota.settings.database_url import DatabaseTarget
from rota.store.migrations import prepare
from tests.integration.project import Project
from tests.servers import RedisServer, free_port


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: RedisServer) -> Project:
    return Project(tmp_path, capsys, server.url)


def found(project: Project, *arguments: str, status: int = 0, **variables: str) -> dict[str, list[str]]:
    """Return what was said of each subject, by the subject and how bad it is."""
    ran = project.rota("doctor", "--json", *arguments, **variables)
    assert ran.status == status, ran.out
    said: dict[str, list[str]] = {}
    for one in json.loads(ran.out):
        said.setdefault(f"{one['about']} {one['level']}", []).append(one["said"])
    return said


def test_what_is_as_it_should_be_is_said_too(project: Project) -> None:
    said = found(project)
    assert said["jobs ok"] == ["2 jobs on 2 queues"]
    assert said["rights ok"]
    assert "Valkey" in said["redis ok"][0]
    assert said["database ok"] == ["none: DATABASE_URL is not set, and jobs are not recorded"]
    assert said["workers warning"] == ["no worker processes"]
    assert not any(about.endswith("error") for about in said)
    found(project, "--strict", status=1)
    assert "doctor" not in project.rota("doctor").err


def test_settings_that_cannot_work_are_all_that_it_says(project: Project) -> None:
    said = found(project, status=1, QUEUE_CONCURRENCY="many")
    assert list(said) == ["settings error"]
    assert "QUEUE_CONCURRENCY" in said["settings error"][0]


def test_settings_that_will_surprise_and_queues_that_are_wrong(project: Project) -> None:
    said = found(project, UNKNOWN_GRACE="1s", UNKNOWN_DELAY="5s")
    assert any("UNKNOWN_DELAY" in line for line in said["settings warning"])
    said = found(project, status=1, WORKER_QUEUES="emial")
    assert any("emial" in line for line in said["settings error"])


def test_a_module_that_cannot_be_imported_is_an_error(project: Project) -> None:
    project.write("jobs/broken.py", "import nosuch_module")
    assert "nosuch_module" in found(project, status=1)["jobs error"][0]


def test_a_redis_that_is_away_is_an_error_and_the_rest_is_said(project: Project) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    said = found(project, status=1, REDIS_URL=url)
    assert "is not listening" in said["redis error"][0]
    assert {"jobs ok", "database ok"} <= said.keys()


def test_a_redis_that_may_lose_jobs_is_warned_of(project: Project, server: RedisServer) -> None:
    with server.client() as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            said = found(project)
        finally:
            redis.config_set("maxmemory-policy", "noeviction")
    assert any("allkeys-lru" in line for line in said["redis warning"])


def test_a_redis_without_an_append_only_file_is_warned_of(project: Project, own_server: RedisServer) -> None:
    assert "redis warning" not in found(project, REDIS_URL=own_server.url)
    with own_server.client() as redis:
        redis.config_set("appendonly", "no")
    assert "a restart loses all jobs" in found(project, REDIS_URL=own_server.url)["redis warning"][0]


def test_a_clock_that_is_not_the_server_s_is_warned_of(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "clock warning" not in found(project)
    real = time.time
    monkeypatch.setattr("rota.app.doctor.findings.time.time", lambda: real() + 60.0)
    assert "clock is +60 s from the server's" in found(project)["clock warning"][0]


def test_where_each_secret_was_found_is_said_and_no_value(project: Project, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    for name in ("SENTRY_DSN", "PAYLOAD_KEYS", "SMTP_PASSWORD"):
        (tmp_path / "secrets" / name).write_text("https://canary@sentry.example/1\n")
    keys = tmp_path / "keys"
    keys.write_text("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
    said = found(project, SECRETS_DIR=str(tmp_path / "secrets"), PAYLOAD_KEYS_FILE=str(keys))
    assert set(said["secrets ok"]) == {
        "REDIS_URL is from: environment",
        "SENTRY_DSN is from: secrets",
        "PAYLOAD_KEYS is from: environment, PAYLOAD_KEYS_FILE",
        "for the jobs: SMTP_PASSWORD",
    }
    (unread,) = said["secrets warning"]
    assert unread.startswith("the secret PAYLOAD_KEYS is not read, as it is set too (environment, ")
    assert "canary" not in str(said)
    assert "AAECAw" not in str(said)


def test_what_of_dot_env_has_not_arrived_is_an_error_before_anything_runs(
    project: Project, tmp_path: Path
) -> None:
    handed = tmp_path / "handed"
    handed.mkdir()
    (handed / ".env").write_text(
        "LEASE=20\nWORKERS=5\nSMTP_PASSWORD=canary$cd\nSMTP_USERNAME='a$b'\nDRAIN_TIMEOUT=9\nLOG_LEVEL=debug\n"
        "ROTA_REDIS_URL_FILE=/nowhere\nan odd line\nSMTP_HOST=$cd\n"
    )
    (handed / "API_KEYS").write_text("canary")
    given = {"LEASE": "20", "DRAIN_TIMEOUT": "30", "REDIS_URL": "redis://127.0.0.1:1"}
    given |= {"SECRETS_DIR": str(handed), "SMTP_USERNAME": "a$b", "SMTP_PASSWORD": "canary", "WORKERS": ""}
    # In place of $cd there is nothing, which is not what Compose keeps for itself.
    given |= {"SMTP_HOST": ""}
    given |= {"APP_ENV": "production", "API_KEYS": f"k3Xw9QpT:{'4f' * 32}:read"}
    fixed = ("--fixed", "REDIS_URL,REDIS_HOST: see the overlay", "--fixed", "API_KEYS")
    said = found(project, "--offline", *fixed, status=1, **given)
    assert said[".env error"] == [
        ".env, line 8, cannot be read; write NAME=value, or # before a comment",
        "ROTA_REDIS_URL_FILE is in .env, and what starts this process sets it: see the overlay",
        "API_KEYS is in the folder of secrets, and what starts this process sets it: take it out",
        "SMTP_PASSWORD has a $ in .env, which Docker Compose takes for another variable: write it in single quotes, "
        "or into a file of the folder of secrets",
        "DRAIN_TIMEOUT does not arrive as .env has it, for this process was started with another value, as a compose "
        "file sets it: take it out of .env",
        "LOG_LEVEL is in .env, but this process did not get it: start it again with the .env of now",
        "ROTA_REDIS_URL_FILE is in .env, but this process did not get it: start it again with the .env of now",
        "SMTP_HOST has a $ in .env, which Docker Compose takes for another variable: write it in single quotes, "
        "or into a file of the folder of secrets",
    ]
    assert "canary" not in str(said)
    # Neither Redis nor a database was asked.
    assert {about.partition(" ")[0] for about in said} == {".env", "settings", "secrets", "jobs"}
    # Where nothing is said of what is fixed, as in a worker, which is not told all of it.
    assert ".env error" not in found(project, "--offline", status=0, **given)


def test_rights_that_are_missing_are_named(project: Project, server: RedisServer) -> None:
    with server.client() as redis:
        redis.execute_command("ACL", "SETUSER", "half", "on", ">pw", "~*", "&*", "+@all", "-xadd")
        try:
            url = server.url.replace("redis://", "redis://half:pw@")
            said = found(project, status=1, REDIS_URL=url)
        finally:
            redis.execute_command("ACL", "DELUSER", "half")
    assert "XADD" in said["redis error"][0].upper()


def test_queues_that_need_a_person_are_named(project: Project, server: RedisServer) -> None:
    assert project.rota("enqueue", "send").status == 0
    assert project.rota("pause", "default").status == 0
    with server.client() as redis:
        redis.zadd("arq:queue:emial", {"a": 1})
        redis.zadd("arq:queue:email:dead", {"b": 1})
    said = "\n".join(found(project)["queues warning"])
    assert "1 job due on email, which no worker serves" in said
    assert "default is paused: `rota resume default`" in said
    assert "emial has jobs or dead letters" in said
    assert "email has 1 dead letter: `rota failures email`" in said


def test_tables_that_a_worker_will_make_are_no_error(project: Project, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rota.db"
    assert "makes at its start" in found(project, DATABASE_URL=url)["database warning"][0]


def test_a_database_without_its_tables_is_an_error(project: Project, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rota.db"
    looked = found(project, status=1, DATABASE_URL=url, DATABASE_MIGRATE="check")
    assert "rota migrate" in looked["database error"][0]
    asyncio.run(prepare(DatabaseTarget.from_url(url), "auto"))
    assert "version" in found(project, DATABASE_URL=url)["database ok"][0]


def test_rows_of_an_outbox_that_wait_are_a_finding(project: Project, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tables.db"
    assert project.rota("migrate", DATABASE_URL=url).status == 0
    assert found(project, DATABASE_URL=url)["outbox ok"] == ["nothing waits to be sent"]
    columns = "key, id, namespace, queue, name, payload, created_at, refused"
    rows = [("1", "rota", None, 90), ("2", "other", None, 0), ("3", "rota", "why", 0)]
    with sqlite3.connect(tmp_path / "tables.db") as database:
        for key, namespace, refused, age in rows:
            at = f"strftime('%Y-%m-%d %H:%M:%f', 'now', '-{age} seconds') || '000'"
            values = f"?, ?, ?, 'q', 'n', x'7b7d', {at}, ?"
            database.execute(
                f"INSERT INTO _outbox ({columns}) VALUES ({values})", (key, key, namespace, refused)
            )
    said = "\n".join(found(project, DATABASE_URL=url)["outbox warning"])
    assert "1 rows wait, the first for 9" in said
    assert "for the NAMESPACE other, which is not that of these workers" in said
    assert "1 rows were refused" in said
