"""The screens of schedules: when each runs, how it went, and running, pausing and resuming it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rota import Run, every, job
from rota.app.declaring import Declaring, release_of, schedules_of
from rota.client.bulk.actions import Actions
from rota.model.schedules.times import ticks_before, times_of
from rota.services.scheduler import Scheduler
from rota.settings.database_url import DatabaseTarget
from rota.store import audit, migrations
from rota.store.engine import Database
from rota.wire.keys import schedule_key, tick_id
from tests.integration.api.pages.trips import counting
from tests.integration.api.pages.visiting import Seen, entered, page, sent
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import Term, registry_of

NIGHTLY = times_of("0 4 * * *", "America/New_York")


def row(tick: int, status: str, at: datetime) -> dict[str, Any]:
    return {
        "id": tick_id("nightly", tick),
        "queue": "email",
        "name": "reports",
        "status": status,
        "event": f"{tick:015}-0000000000.00000",
        "enqueued_at": at,
        "started_at": at,
        "finished_at": at + timedelta(seconds=90),
    }


@every("1s", name="often", overlap="allow")
@job(queue="email")
async def ticks(run: Run) -> None: ...


@every("30 2 28 3 *", tz="Europe/Berlin", name="spring", missed="skip")
@every("0 4 * * *", tz="America/New_York", name="nightly")
@job(queue="email")
async def reports(run: Run) -> None: ...


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with answering(server.url, ticks, reports) as found:
        yield found


async def planned(api: Api) -> Scheduler:
    """Declare the schedules and plan them once, as a leader does; return what plans on."""
    settings = api.app.state.desk.settings
    release = release_of(settings, registry_of((ticks, reports), settings.default_queue))
    await Declaring(api.client.redis, settings, release).declare()
    planner = Scheduler(schedules_of(settings), Term(), lambda: None)
    await planner.look(api.client.redis)
    return planner


async def test_without_a_schedule_the_page_says_how_one_is_made(api: Api) -> None:
    assert "@every" in await page(api, "/schedules")
    await page(api, "/schedules/none", 404)


async def test_each_is_listed_with_its_next_three_runs(api: Api) -> None:
    await planned(api)
    shown = await page(api, "/schedules")
    assert Seen(shown).cells("When")[0] == "At 04:00 every day, America/New_York"
    assert (
        Seen(shown).cells("Next")[0].count("08:00:00 UTC")
        + Seen(shown).cells("Next")[0].count("09:00:00 UTC")
        == 3
    )
    assert "/ui/schedules/spring" in Seen(shown).links


async def test_the_next_runs_are_told_by_the_clock_of_the_zone_and_how_that_changes(api: Api) -> None:
    await planned(api)
    year = datetime.now(UTC).year + 1
    # A year in which the clock goes forward on the 28th: moved there as the leader would come to it.
    while datetime(year, 3, 28, tzinfo=UTC).weekday() != 6:
        year += 1
    tick = datetime(year, 3, 28, 1, tzinfo=UTC)
    key = schedule_key("rota", "spring")
    await api.client.redis.hset(key, "tick", round(tick.timestamp() * 1000))
    shown = await page(api, "/schedules/spring")
    assert f"Sun 28 Mar {year}, 03:00:00 CEST" in shown
    assert f"{tick:%H:%M:%S} UTC" in shown
    assert "from 02:00 to 03:00: what the skipped hour would have had runs as it ends" in shown
    assert "<code>30 2 28 3 *</code> by the clock of Europe/Berlin" in shown
    assert "what could not run at its time does not run" in shown


async def test_a_run_is_shown_with_its_outcome_and_leads_to_its_job(api: Api) -> None:
    planner = await planned(api)

    async def has_completed() -> bool:
        await planner.look(api.client.redis)
        return any(one.outcome for one in await api.client.schedules())

    await until(has_completed, "a run has completed")
    shown = await page(api, "/schedules/often")
    assert "completed" in Seen(shown).cells("State")
    assert '<path class="completed"' in shown
    last = next(link for link in Seen(shown).links if "cron%3Aoften%3A" in link)
    assert "email:ticks" in await page(api, last.removeprefix("/ui"))


async def test_runs_that_have_left_redis_are_those_of_the_database(
    server: RedisServer, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    database = Database(DatabaseTarget.from_url(url))
    await migrations.migrate(database)
    async with answering(server.url, ticks, reports, works=False, DATABASE_URL=url) as api:
        await planned(api)
        ago = datetime.now(UTC) - timedelta(days=10)
        last, before = ticks_before(NIGHTLY, round(ago.timestamp() * 1000), 2, 0)
        await api.client.redis.hset(schedule_key("rota", "nightly"), "last", last)
        async with database.write() as connection:
            await audit.upsert(connection, [row(last, "FAILED", ago), row(before, "COMPLETED", ago)])
        await database.close()
        shown = Seen(await page(api, "/schedules/nightly"))
        assert shown.cells("State") == ["dead", "completed"]
        assert shown.cells("Took") == ["1 min 30 s"] * 2


async def test_it_is_run_paused_and_resumed_and_each_is_recorded_with_its_reason(api: Api) -> None:
    await planned(api)
    answer = await sent(api, "/schedules/nightly/pause", reason="the shop is closed")
    assert answer.headers["location"] == "/ui/schedules/nightly"
    shown = await page(api, "/schedules/nightly")
    assert "It rests since" in shown
    assert "Nothing of it waits while it rests" in shown
    await sent(api, "/schedules/nightly/resume", reason="open again")
    await sent(api, "/schedules/nightly/run", reason="for the auditor")
    assert "is put on the queue email as" in await page(api, "/schedules/nightly")
    done = await Actions(api.client.redis, "rota").page()
    assert [(one.action, one.target, one.detail["reason"]) for one in done] == [
        ("run", {"schedule": "nightly"}, "for the auditor"),
        ("resume", {"schedule": "nightly"}, "open again"),
        ("pause", {"schedule": "nightly"}, "the shop is closed"),
    ]
    assert (await sent(api, "/schedules/nightly/explode")).status_code == 404
    assert (await sent(api, "/schedules/none/run")).status_code == 404


async def test_it_takes_three_round_trips(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await planned(api)
    await entered(api, "read")
    monkeypatch.setattr("rota.api.access.TRUST", 0.0)
    for path in ("/schedules", "/schedules/often"):
        async with counting(monkeypatch) as trips:
            await page(api, path)
        assert trips.count <= 3, path
