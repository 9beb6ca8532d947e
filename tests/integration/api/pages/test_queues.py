"""The screens of queues: what they show and in which order, pausing one or several, and emptying one."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rota import Run, at_most, job
from rota.api.desk import Desk
from rota.api.pages.screens.queues import purging
from rota.model.history.tallies import Tallies
from rota.settings.database_url import DatabaseTarget
from rota.store import audit, migrations
from rota.store.engine import Database
from rota.wire.keys import QueueKeys, history_key, queue_key
from tests.integration.api.pages.trips import counting
from tests.integration.api.pages.visiting import (
    OWN,
    Seen,
    dead_letters,
    entered,
    fails,
    greet,
    page,
    sent,
    sleeps,
)
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer
from tests.waiting import until


@job(queue="billing", concurrency=at_most(1, key="customer"))
async def charge(run: Run, customer: str) -> None: ...


@job(queue="a-queue-whose-name-is-so-long-that-no-column-of-a-table-could-ever-hold-it-in-one-line")
async def report(run: Run) -> None: ...


def order(shown: str) -> list[str]:
    """Return the queues of the list, from the top down."""
    return re.findall(r'<th scope="row" class="wrap"><a href="/ui/queues/([^"]+)"', shown)


async def test_the_page_of_a_queue_says_how_many_jobs_no_worker_knows(api: Api) -> None:
    handle = await api.client.enqueue_by_name("email:former", {})
    await api.client.redis.hset("arq:queue:email:runs", handle.id, "-worker 0 0 0 1790000000000")
    await entered(api, "read")
    assert "1 job waits for a worker that knows the name: former." in await page(api, "/queues/email")
    await api.client.redis.hset("arq:queue:email:runs", handle.id, "-worker 0 0 1 0")
    assert "knows the name" not in await page(api, "/queues/email")


async def test_a_queue_is_paused_and_resumed_and_its_page_says_by_whom_and_why(api: Api) -> None:
    await entered(api, "read", "operate")
    await sent(api, "/queues/email/pause", reason="<the provider> is down")
    shown = await page(api, "/queues/email")
    assert re.search(r"Paused since <time [^>]+>[^<]+</time> by \w+: &lt;the provider&gt; is down\.", shown)
    assert "paused</span>" in shown.partition("<h1>")[2].partition("</h1>")[0]
    assert "&lt;the provider&gt; is down" in await page(api, "/queues")
    await sent(api, "/queues/email/resume", reason="it is up")
    assert "Paused" not in await page(api, "/queues/email")
    resumed, paused = await api.client.actions.page(limit=2)
    assert (paused.action, paused.detail) == ("pause", {"reason": "<the provider> is down"})
    assert (resumed.action, resumed.detail) == ("resume", {"reason": "it is up"})


async def test_who_paused_a_queue_before_is_not_said_to_have_paused_it_now(api: Api) -> None:
    await entered(api, "read", "operate")
    await sent(api, "/queues/email/pause", reason="long ago")
    await api.client.redis.set(QueueKeys.of(queue_key("email")).paused, 4_000_000_000_000)
    shown = await page(api, "/queues/email")
    assert "Paused since" in shown
    assert "long ago" not in shown


async def test_several_queues_are_paused_and_resumed_together(server: RedisServer) -> None:
    async with answering(server.url, greet, charge, report, works=False) as api:
        fields: dict[str, Any] = {"queue": ["email", "billing", "email"], "reason": "moving"}
        answer = await api.http.post("/ui/queues/pause", data=fields, headers=OWN)
        assert answer.headers["location"] == "/ui/queues"
        assert (await page(api, "/queues")).count("paused</span>") == 2
        actions = await api.client.actions.page(limit=9)
        assert sorted((one.target["queue"], one.detail["reason"]) for one in actions) == [
            ("billing", "moving"),
            ("email", "moving"),
        ]
        await api.http.post("/ui/queues/resume", data={"queue": "billing"}, headers=OWN)
        assert await api.client.paused_since("billing") is None
        (action,) = await api.client.actions.page(limit=1)
        assert (action.action, action.target) == ("resume", {"queue": "billing"})
        assert await api.client.paused_since("email") is not None
        for fields, status in (
            ({}, 422),
            ({"queue": "no such"}, 404),
            ({"queue": ["email", "no such"]}, 404),
        ):
            answer = await api.http.post("/ui/queues/resume", data=fields, headers=OWN)
            assert answer.status_code == status
        assert await api.client.paused_since("email") is not None, "all of it is done, or nothing"


async def test_the_list_is_sorted_as_its_address_says_and_tells_so(server: RedisServer) -> None:
    async with answering(server.url, greet, charge, works=False, QUEUES__BILLING__SLO="1d") as api:
        await api.client.enqueue_many([greet.call()] + [charge.call(customer="a")] * 3)
        await api.client.enqueue_many([greet.options(delay=60).call() for _ in range(2)])
        assert order(await page(api, "/queues")) == ["email", "billing"], "nearer to its objective"
        for sort, expected, said in (
            ("name", ["billing", "email"], "ascending"),
            ("-name", ["email", "billing"], "descending"),
            ("waiting", ["billing", "email"], "descending"),
            ("-waiting", ["email", "billing"], "ascending"),
            ("delayed", ["email", "billing"], "descending"),
        ):
            shown = await page(api, f"/queues?sort={sort}")
            assert order(shown) == expected, sort
            assert shown.count("aria-sort") == 1
            turned = sort.removeprefix("-") if sort.startswith("-") else f"-{sort}"
            assert re.search(rf'aria-sort="{said}"><a href="/ui/queues\?sort={turned}">', shown), sort
        assert order(await page(api, "/queues?sort=explode")) == ["email", "billing"]


async def test_badges_say_what_keeps_a_queue_from_its_objective(server: RedisServer) -> None:
    limits = {"QUEUES__EMAIL__RATE_LIMIT": "100/m", "QUEUES__EMAIL__FLEET_CONCURRENCY": "20"}
    async with answering(server.url, greet, charge, report, works=False, **limits) as api:
        shown = await page(api, "/queues")
        assert "at most 100 starts in 1 min, 20 jobs at once" in shown
        assert "no worker" not in shown
        await api.client.enqueue(greet)
        assert "no worker" in await page(api, "/queues")
        assert "Over all workers at most 100 starts in 1 min and 20 jobs at once" in await page(
            api, "/queues/email"
        )


async def test_the_longest_lines_of_a_limit_are_told_by_its_key(server: RedisServer) -> None:
    @job(queue="email", concurrency=at_most(1, key="name"))
    async def waits(run: Run, name: str) -> None:
        await asyncio.sleep(60)

    async with answering(server.url, waits) as api:
        calls = [waits.call(name=name) for name in ["acme"] * 4 + ["<b>globex</b> & co"] * 3 + ["alone"]]
        await api.client.enqueue_many(calls)
        lines = "".join(
            (f"<li>email:waits <b>{key}</b>: {said}</li>")
            for key, said in (("acme", "3 wait"), ("&lt;b&gt;globex&lt;/b&gt; &amp; co", "2 wait"))
        )

        async def all_stand_in_line() -> bool:
            return lines in await page(api, "/queues/email")

        await until(all_stand_in_line, "both lines are told")
        shown = await page(api, "/queues")
        assert "limited" in shown
        assert "5 kept back" in shown


async def test_a_queue_s_settings_say_where_each_comes_from(server: RedisServer) -> None:
    given = {"QUEUES__EMAIL__SLO": "5s", "JOB_TIMEOUT": "90s", "BACKOFF": "fixed", "BACKOFF_BASE": "10s"}
    async with answering(server.url, greet, works=False, **given) as api:
        seen = Seen(await page(api, "/queues/email"))
        held = dict(zip(seen.cells("Value"), seen.cells("From"), strict=True))
        assert held["5 s"] == "QUEUES__EMAIL__SLO"
        assert held["1 min 30 s"] == "JOB_TIMEOUT"
        assert held["any number"] == "default"
        assert held["10 s"] == "BACKOFF"


async def test_the_past_of_a_queue_is_drawn_and_told_step_by_step(api: Api) -> None:
    seconds, _ = await api.client.redis.time()
    minute = int(seconds) // 60 - 3
    counted = Tallies(outcomes={0: 39, 2: 3}, waits={31: 42}, runs={21: 42})
    key = history_key("rota", "email")
    await api.client.redis.set(f"{key}:{minute // 60}", f"{minute % 60} {counted.text()}\n")
    await api.client.redis.set(f"{key}:marks", f"{minute * 60_000} v2 host-1\n")
    at = f"{datetime.fromtimestamp(minute * 60, UTC):%H:%M} UTC"
    shown = await page(api, "/queues/email")
    assert f"<title>{at}: started 42, completed 39, retried, lost or cancelled 0, died 3</title>" in shown
    assert f"<title>{at}: half within 1.1 s, 95 of 100 within 1.1 s, 99 of 100 within 1.1 s</title>" in shown
    assert f"<title>v2 deployed, {at}</title>" in shown
    seen = Seen(shown)
    assert (seen.cells("completed"), seen.cells("died"), seen.cells("half within")) == (
        ["39"],
        ["3"],
        ["1.1 s", "112 ms"],
    )
    assert "Nothing has started or ended" not in shown
    assert "7.1 %" in Seen(await page(api, "/queues")).cells("Failed")


async def test_without_any_queue_the_list_says_how_one_comes_to_be(server: RedisServer) -> None:
    async with answering(server.url, works=False) as api:
        assert "No job and no setting names a queue" in await page(api, "/queues")


async def test_the_workers_that_a_load_needs_are_shown_with_their_numbers(api: Api) -> None:
    await api.client.enqueue_many([greet.call() for _ in range(1200)])
    seen = Seen(await page(api, "/queues/email"))
    # 1200 jobs within half of a minute are 40 a second, each of which is guessed to take one.
    assert (seen.cells("Ready")[0], seen.cells("Slots")[0], seen.cells("Workers")[0]) == (
        "1,200",
        "40.0",
        "4",
    )
    assert "a guess" in await page(api, "/queues/email")


async def test_the_jobs_of_a_queue_are_told_by_name_as_the_audit_table_has_them(
    server: RedisServer, tmp_path: Path
) -> None:
    now, url = datetime.now(UTC), f"sqlite:///{tmp_path}/jobs.db"
    database = Database(DatabaseTarget.from_url(url))
    await migrations.migrate(database)
    async with database.write() as connection:
        await audit.upsert(connection, [ended(number, now) for number in range(20)])
    await database.close()
    async with answering(server.url, greet, fails, works=False, DATABASE_URL=url) as api:
        seen = Seen(await page(api, "/queues/email"))
        # Ten of each in the last ten minutes; the one takes a second to ten, and the other always fails.
        assert (seen.cells("Jobs"), seen.cells("A minute")) == (["10", "10"], ["1.0", "1.0"])
        assert seen.cells("Failed") == ["100.0 %", "0.0 %"]
        assert seen.cells("Half run within")[1] == "6 s"
        assert seen.cells("95 of 100 within")[-1] == "10 s"
        (tmp_path / "jobs.db").write_bytes(b"no database any more")
        assert "The audit table cannot be read" in await page(api, "/queues/email")


def ended(number: int, now: datetime) -> dict[str, Any]:
    """Return the row of a job: by turns one that fails at once, and one that takes a second longer each time."""
    begin = now - timedelta(minutes=1 + number // 2)
    return {
        "id": f"email:{number}",
        "queue": "email",
        "name": "greet" if number % 2 else "fails",
        "status": "COMPLETED" if number % 2 else "FAILED",
        "event": f"{number:015}-0000000000.00000",
        "enqueued_at": begin,
        "started_at": begin,
        "finished_at": begin + timedelta(seconds=1 + number // 2),
    }


async def test_a_purge_begins_for_those_that_were_shown_and_for_no_more(server: RedisServer) -> None:
    async with answering(server.url, greet, fails) as api:
        await dead_letters(api, 2)
        await api.client.enqueue_many([greet.options(delay=60).call() for _ in range(3)])
        shown = await page(api, "/queues/email/purge")
        assert "3 delayed" in shown
        assert "2 dead" in shown
        fields: dict[str, Any] = {"state": "delayed", "waiting": "0", "delayed": "3", "dead": "2"}
        for wrong, said in (
            ({"typed": "Email"}, "Type email to go on"),
            ({"typed": "email", "state": "waiting"}, "Nothing was chosen that there is"),
            ({"typed": "email", "state": ()}, "Nothing was chosen that there is"),
            ({"typed": "email", "delayed": "9" * 5000}, "Nothing was chosen that there is"),
            (
                {"typed": "email", "state": ["delayed", "dead"], "dead": "1"},
                "2 are dead by now, and 1 were shown",
            ),
        ):
            answer = await api.http.post("/ui/queues/email/purge", data=fields | wrong, headers=OWN)
            assert answer.status_code == 422
            assert said in answer.text
        assert await api.client.bulk.all() == []
        fields |= {"typed": "email", "reason": "a mistake"}
        answer = await api.http.post("/ui/queues/email/purge", data=fields, headers=OWN)
        (operation,) = await api.client.bulk.all()
        assert answer.headers["location"] == f"/ui/bulk/{operation.id}"
        assert (operation.action, operation.count) == ("cancel", 3)
        (action,) = await api.client.actions.page(limit=1)
        assert (action.action, action.target["operation"]) == ("purge", operation.id)
        assert action.detail == {"reason": "a mistake"}


async def test_a_purge_of_what_waits_and_of_what_died_is_two_actions(server: RedisServer) -> None:
    async with answering(server.url, greet, fails) as api:
        await dead_letters(api, 2)
        await api.client.pause("email")
        await api.client.enqueue_many([greet.call(), greet.options(delay=60).call()])
        fields = {
            "state": ["waiting", "delayed", "dead"],
            "waiting": "1",
            "delayed": "1",
            "dead": "2",
            "typed": "email",
        }
        answer = await api.http.post("/ui/queues/email/purge", data=fields, headers=OWN)
        assert answer.headers["location"] == "/ui/queues/email"
        assert "4 jobs of email go" in await page(api, "/queues/email")
        operations = await api.client.bulk.all()
        assert sorted((one.action, one.count) for one in operations) == [("cancel", 2), ("delete", 2)]


async def test_a_purge_is_refused_where_more_have_come_since_it_was_checked(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.client.enqueue_many([greet.call(), greet.call()])

    async def before(desk: Desk, name: str) -> dict[str, int]:
        return {"waiting": 1, "delayed": 0, "dead": 0}

    monkeypatch.setattr(purging, "_counts", before)
    answer = await sent(api, "/queues/email/purge", state="waiting", waiting="1", typed="email")
    assert answer.status_code == 422
    assert await api.client.bulk.all() == []


async def test_an_empty_queue_has_nothing_to_purge(api: Api) -> None:
    assert "/queues/email/purge" not in await page(api, "/queues/email")
    assert "Nothing waits here" in await page(api, "/queues/email/purge")


async def test_the_pages_take_three_round_trips_however_many_queues_there_are(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {f"QUEUES__Q{number}__SLO": "5s" for number in range(30)}
    for more in ({}, others):
        async with answering(
            server.url,
            greet,
            sleeps,
            works=False,
            WORKER_QUEUES=",".join(["email", *(f"q{number}" for number in range(len(more)))]),
            **more,
        ) as api:
            await entered(api, "operate")
            for path in ("/queues", "/queues/email", "/queues/email/purge"):
                await page(api, path)
                async with counting(monkeypatch) as trips:
                    await page(api, path)
                assert trips.count == 3, path
            await api.client.pause("email")
            async with counting(monkeypatch) as trips:
                await page(api, "/queues")
            assert trips.count == 3
