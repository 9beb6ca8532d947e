"""The screen of the system itself: what all of it stands on, what is to be changed there, and no secret."""

import contextlib
import re
from pathlib import Path

import pytest

from rota import Run, job
from rota.api.pages.screens.system.variables import variables_of
from rota.model.access.keys import Scope, make
from rota.settings.database_url import DatabaseTarget
from rota.settings.load import ConfigError, load
from rota.store import migrations
from rota.store.engine import Database
from rota.wire.keys import queue_key
from rota.wire.leader import Place
from tests.integration.api.pages.trips import counting
from tests.integration.api.pages.visiting import Seen, entered, fails, greet, page
from tests.integration.api.serving import Api, answering
from tests.processes import ROOT
from tests.servers import RedisServer

TOKEN = "open-sesame-4711"
SEALING = "UXsRkZ4fPjM5a2xVbnR0d0ZtZ0V4cE1pUm5QcU9sS3o="
SECRETS = {
    "REDIS_URL": f"rediss://ann:{TOKEN}1@redis.example:6379/0",
    "DATABASE_URL": f"postgresql://bob:{TOKEN}2@db.example/rota",
    "SENTRY_DSN": f"https://{TOKEN}3@sentry.example/1",
    "AUTOSCALER_URL": f"http://eve:{TOKEN}4@exporter.example/scaling?key={TOKEN}5",
    "AUTOSCALER_COMMAND": f"scale --token {TOKEN}6 {{n}}",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://spans.example/v1?api-key={TOKEN}7",
    "API_KEYS": make(frozenset({Scope.READ}))[1].stored(),
    "PAYLOAD_KEYS": f"first:{SEALING}",
}


@job(queue="video")
async def cut(run: Run) -> None: ...


def test_no_setting_shows_a_secret() -> None:
    digest = SECRETS["API_KEYS"].split(":")[1]
    shown = {one.name: one.value for one in variables_of(load(SECRETS))}
    text = " ".join(shown.values())
    for secret in (TOKEN, digest, SEALING):
        assert secret not in text
    assert shown["REDIS_URL"] == "rediss://ann:***@redis.example:6379/0"
    assert "db.example" in shown["DATABASE_URL"]
    assert (shown["API_KEYS"], shown["PAYLOAD_KEYS"]) == ("1 key", "1 key")
    assert shown["SENTRY_DSN"] == shown["AUTOSCALER_COMMAND"] == "set, and not shown"
    assert shown["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://spans.example/v1?***"


def test_no_setting_is_told_as_python_writes_it() -> None:
    """Each example of `.env.example` stands for a kind of value.

    One that needs others beside it is passed over, and so is one that Compose alone reads.
    """
    told: dict[str, str] = {}
    for name, value in re.findall(r"^# ([A-Z_]+)=(.+)$", (ROOT / ".env.example").read_text(), re.MULTILINE):
        with contextlib.suppress(ConfigError):
            told |= {one.name: one.value for one in variables_of(load({name: value})) if one.name == name}
    assert len(told) > 80
    assert [one for one in told.items() if re.search(r"\w\(|frozenset|'", one[1])] == []
    assert told["WEBHOOK_ALLOW"] == "10.20.0.0/24, hooks.internal"


def test_a_setting_is_told_in_words_and_where_it_stood(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "redis_password").write_text(TOKEN)
    (tmp_path / ".env").write_text("PAYLOAD_LIMIT=1MB\nREDIS_HOST=redis.example\n")
    env = {
        "SECRETS_DIR": str(tmp_path / "secrets"),
        "LEASE": "90s",
        "QUEUES__EMAIL__SLO": "5s",
        "ROTA_LOG_LEVEL": "debug",
    }
    found = {one.name: one[1:] for one in variables_of(load(env, env_file=tmp_path / ".env"))}
    assert found["LEASE"] == ("1 min 30 s", "environment")
    assert found["PAYLOAD_LIMIT"] == ("1 MB", ".env")
    assert found["REDIS_PASSWORD"] == ("set, and not shown", "secrets")
    assert found["QUEUES__EMAIL__SLO"] == ("5 s", "environment")
    assert found["LOG_LEVEL"] == ("debug", "environment")
    assert found["MAX_ATTEMPTS"] == ("4", "default")


async def test_what_rota_doctor_would_say_is_said(api: Api) -> None:
    shown = await page(api, "/system")
    for said in ("without an append-only file", "no worker processes", "No worker leads"):
        assert said in shown, said
    await api.client.enqueue(greet)
    await Place("rota", "host-1-abc", 30).take(api.client.redis)
    shown = await page(api, "/system")
    assert "1 job due on email, which no worker serves" in shown
    assert "/ui/workers/host-1-abc" in Seen(shown).links
    assert "1 entry of about 10,000" in shown


async def test_the_secrets_of_a_deployment_are_in_no_part_of_the_page(
    server: RedisServer, tmp_path: Path
) -> None:
    own = {name: SECRETS[name] for name in ("SENTRY_DSN", "AUTOSCALER_COMMAND", "API_KEYS", "PAYLOAD_KEYS")}
    url = f"postgresql://bob:{TOKEN}2@127.0.0.1:1/rota"
    async with answering(
        server.url, greet, works=False, DATABASE_URL=url, DASHBOARD_AUTH="none", **own
    ) as api:
        shown = await page(api, "/system")
    assert "127.0.0.1:1" in shown, "the database is away, and where it would be is said"
    for secret in (TOKEN, SEALING, own["API_KEYS"].split(":")[1]):
        assert secret not in shown


async def test_the_database_and_its_outbox_are_shown(server: RedisServer, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    database = Database(DatabaseTarget.from_url(url))
    await migrations.migrate(database)
    await database.close()
    async with answering(server.url, greet, works=False, DATABASE_URL=url) as api:
        shown = await page(api, "/system")
    assert "nothing waits" in shown
    assert str(tmp_path) in shown


async def test_it_takes_three_round_trips_however_many_queues_there_are(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues = {f"QUEUES__Q{number}__SLO": "5s" for number in range(20)}
    for jobs, variables in (((greet,), {}), ((greet, fails, cut), queues)):
        async with answering(server.url, *jobs, works=False, **variables) as api:
            await entered(api, "read")
            await api.client.redis.zadd(queue_key("email"), {"odd": 1})
            monkeypatch.setattr("rota.api.access.TRUST", 0.0)
            async with counting(monkeypatch) as trips:
                await page(api, "/system")
            assert trips.count <= 3
