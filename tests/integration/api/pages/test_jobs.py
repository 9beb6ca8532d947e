"""The lists of jobs: tabs, conditions, pages, what is said of an empty one; and the search."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from rota import Run, job
from rota.api.asking import pages as asking
from rota.api.pages.screens.jobs import listing, view
from rota.api.pages.words import shortened
from rota.model.bulk.actions import Actor
from rota.model.bulk.filters import BulkAction, Filter
from rota.model.state import State
from rota.settings.database_url import DatabaseTarget
from rota.store import audit, migrations
from rota.store.engine import Database
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
)
from tests.integration.api.serving import Api, answering
from tests.integration.api.test_lists import row
from tests.servers import RedisServer
from tests.waiting import until_in


@job(queue="mail")
async def send(run: Run, number: int = 0) -> None: ...


@pytest.fixture
async def recorded(server: RedisServer, tmp_path: Path) -> AsyncIterator[Api]:
    """Yield a dashboard with an audit table of ten jobs, of which those of the numbers 0, 3, 6 and 9 have failed."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    database = Database(DatabaseTarget.from_url(url))
    await migrations.migrate(database)
    async with database.write() as connection:
        await audit.upsert(connection, [row(number) for number in range(10)])
    await database.close()
    async with answering(server.url, greet, fails, send, works=False, DATABASE_URL=url) as found:
        yield found


async def listed(api: Api, query: str, **given: Any) -> tuple[str, list[str]]:
    """Return a list, and the ids of the jobs in it."""
    shown = await page(api, f"/jobs?{query}", **given)
    ids = re.findall(r'<td class="long" data-label="Id" title="([^"]*)">', shown)
    return shown, [unescape(one) for one in ids]


def link(shown: str, words: str) -> str:
    """Return the query of the link of a page that has these words."""
    (found,) = re.findall(rf'<a [^>]*href="/ui/jobs\?([^"]*)"[^>]*>\s*{re.escape(words)}', shown)
    return unescape(found)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("state=sleeping", "Input should be"),
        ("status=FAILED", "DATABASE_URL is not set"),
        ("queue=No+Queue&state=dead", "is not allowed"),
        ("queue=email&state=dead&cursor=xyz", "the cursor is not one of this list"),
        ("state=dead&since=yesterday", "neither a length of time"),
        ("state=dead&queue=email&q=queue:mail", "queue is asked for twice"),
    ],
)
async def test_a_list_that_cannot_be_is_said_in_a_page(api: Api, query: str, says: str) -> None:
    assert says in await page(api, f"/jobs?{query}", 422)


async def test_what_is_not_understood_of_a_text_is_marked(api: Api) -> None:
    shown = await page(api, "/jobs?state=waiting&q=attempt>1+nam:<b>x", 422)
    assert "attempt&gt;1 <mark>nam:&lt;b&gt;x</mark>" in shown
    shown = await page(api, "/jobs?state=waiting&q=attempt>1+nam:x&since=1h", 422)
    assert "attempt&gt;1 <mark>nam:x</mark>" in shown
    assert "is name meant?" in shown
    assert 'aria-invalid="true"' in shown


async def test_a_list_without_a_state_is_the_first_that_has_jobs(api: Api) -> None:
    async def leads() -> str:
        return (await api.http.get("/ui/jobs?queue=email")).headers["location"]

    assert await leads() == "/ui/jobs?queue=email&state=waiting"
    await api.client.enqueue(greet.options(delay=60))
    assert await leads() == "/ui/jobs?queue=email&state=delayed"
    await api.client.enqueue(greet)
    assert await leads() == "/ui/jobs?queue=email&state=waiting"


async def test_tabs_have_counts_and_lists_go_over_all_queues(
    recorded: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await recorded.client.enqueue(greet, name="Ann")
    second = await recorded.client.enqueue(send, number=7)
    shown, ids = await listed(recorded, "state=waiting")
    assert ids == [first.id, second.id]
    tabs = re.findall(r'<li[^>]*><a href="/ui/jobs[^>]*>([a-z]+)(?: <span class="count">([^<]*))?', shown)
    assert tabs == [
        *(("waiting", "2"), ("delayed", "0"), ("active", "0"), ("dead", "0")),
        *(("completed", "6"), ("failed", "4"), ("cancelled", "0"), ("all", "")),
    ]
    assert (await listed(recorded, "state=waiting&queue=mail"))[1] == [second.id]
    assert (await listed(recorded, "state=failed"))[1] == [f"mail:{number}" for number in (9, 6, 3, 0)]
    monkeypatch.setattr(view, "COUNTED", 6)
    assert '<span class="count">6+</span>' in await page(recorded, "/jobs?state=failed")


async def test_conditions_are_met_dropped_and_said_where_none_is_left(
    recorded: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles = [await recorded.client.enqueue(send, number=number) for number in range(5)]
    shown, ids = await listed(recorded, "state=waiting&name=send&q=payload.number>2")
    assert ids == [handle.id for handle in handles[3:]]
    assert "Looked at the first 5 jobs" in shown
    assert link(shown, "payload.number&gt;2") == "state=waiting&name=send"
    assert link(shown, "name:send") == "state=waiting&q=payload.number%3E2"
    shown, ids = await listed(recorded, "state=waiting&q=payload.number>3+attempt>5&since=1h")
    assert ids == []
    assert "excludes 5 of them" in shown
    assert link(shown, "Show without attempt&gt;5") == "state=waiting&q=payload.number%3E3&since=1h"
    shown, ids = await listed(recorded, "state=cancelled&name=send")
    assert (ids, "No job is cancelled that fits" in shown) == ([], True)
    shown, ids = await listed(recorded, "state=failed&queue=mail&name=other&since=2026-01-01")
    assert link(shown, "Show without name:other") == "state=failed&queue=mail&since=2026-01-01"
    shown, ids = await listed(recorded, "state=all&q=payload.number:4")
    assert ids == ["mail:4"]
    assert "From the audit table, the newest first." in shown
    assert "Looked at the newest 10 jobs; there are no others" in shown
    monkeypatch.setattr(listing, "PATIENCE", -1.0)
    shown, _ = await listed(recorded, "state=failed&queue=mail&name=other&since=2026-01-01")
    assert "that fits" in shown
    assert "Show without" not in shown, "no time was left to ask for more"


async def test_a_list_is_read_forth_and_back(recorded: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ROWS", 4)
    monkeypatch.setattr(asking, "PORTION", 4)
    query, found = "state=all&q=payload.number<6", []
    while True:
        shown, ids = await listed(recorded, query)
        found.append([int(one.removeprefix("mail:")) for one in ids])
        if 'rel="next"' not in shown:
            break
        query = link(shown, "Look further")
    assert found == [[], [5, 4, 3, 2], [1, 0]]
    tabs = shown.partition('aria-label="States"')[2].partition("</ul>")[0]
    assert "q=payload" in tabs
    assert "cursor" not in tabs, "another list is shown from its beginning"
    shown, ids = await listed(recorded, link(shown, "Newer"))
    assert ids == [f"mail:{number}" for number in (5, 4, 3, 2)]


async def test_without_a_database_an_empty_list_says_how_long_jobs_are_kept(api: Api) -> None:
    shown, ids = await listed(api, "state=dead")
    assert ids == []
    assert "kept for 1 h" in shown
    assert "DATABASE_URL" in shown
    assert "completed" not in Seen(shown).links


async def test_columns_are_chosen_by_a_form_and_kept_in_a_cookie(api: Api) -> None:
    handle = await api.client.enqueue(greet.options(tenant="acme"))
    assert ">acme<" in await page(api, "/jobs?state=waiting"), "a list with a tenant shows whose jobs are"
    fields = {"back": "state=waiting&queue=email", "columns": ["when", "worker", "odd"]}
    assert (await api.http.post("/ui/jobs/columns", data=fields)).status_code == 403, "no page has sent it"
    answer = await api.http.post("/ui/jobs/columns", data=fields, headers=OWN)
    assert answer.headers["location"] == "/ui/jobs?state=waiting&queue=email"
    assert "rota-columns=when.worker;" in answer.headers["set-cookie"]
    shown = await page(api, "/jobs?state=waiting")
    heads = re.findall(r'<th scope="col"[^>]*>([^<]+)</th>', shown)
    assert heads == ["Name", "Due", "Worker"]
    assert handle.id in shown, "without the column of ids the name leads to the job"


async def test_what_can_be_done_to_all_that_match_is_offered_where_an_action_has_the_conditions(
    api: Api,
) -> None:
    await api.client.enqueue_many([greet.options(delay=60).call("x") for _ in range(3)])
    for query in ("state=delayed", "state=delayed&queue=email"):
        shown, _ = await listed(api, query)
        assert "Cancel all 3…" in shown
    assert "data-select-all" in shown
    shown, _ = await listed(api, "state=delayed&name=greet&since=1h")
    assert "Cancel all that match…" in shown
    assert re.search(r'<input type="hidden" name="since" value="20\d\d-', shown)
    shown, _ = await listed(api, "state=delayed&q=payload.name:x")
    assert 'name="every"' not in shown
    assert "an action looks at no payload" in shown
    await entered(api, "read")
    assert "/ui/bulk/try" not in await page(api, "/jobs?state=delayed")


@pytest.mark.parametrize(
    "path",
    [
        "/jobs?state=waiting",
        "/jobs?state=delayed&queue=email",
        "/jobs?state=waiting&q=payload.name:x+attempt<9",
        "/jobs?state=failed",
        "/jobs?state=all&q=payload.number:4",
        "/jobs?state=waiting&q=nam:x",
        "/bulk/{operation}",
        "/search?q=wonder",
        "/search?q=greet",
    ],
)
async def test_a_page_takes_at_most_three_round_trips_with_the_session(
    recorded: Api, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    for task in (greet, greet.options(delay=60), send):
        await recorded.client.enqueue(task)
    wanted = Filter.of({"queue": "email"})
    operation = await recorded.client.bulk.start(BulkAction.CANCEL, wanted, Actor("code", "x"))
    path = path.format(operation=operation.id)
    await entered(recorded, "read")
    monkeypatch.setattr("rota.api.access.TRUST", 0.0)
    async with counting(monkeypatch) as trips:
        answer = await recorded.http.get(f"/ui{path}")
    assert answer.status_code in (200, 422), answer.text
    assert 1 <= trips.count <= 3


async def test_a_search_leads_to_the_one_thing_of_a_name(recorded: Api) -> None:
    handle = await recorded.client.enqueue(greet)
    own = await recorded.client.enqueue(send.options(id="order-7"))
    for text, path in (
        ("email", "/ui/queues/email"),
        (handle.id, f"/ui/job?queue=email&id={handle.id}"),
        ("order-7", f"/ui/job?{urlencode({'queue': 'mail', 'id': own.id})}"),
        ("mail:4", "/ui/job?queue=mail&id=mail%3A4"),
        ("mail:send", "/ui/jobs?name=mail%3Asend"),
    ):
        answer = await recorded.http.get("/ui/search", params={"q": text})
        assert answer.headers["location"] == path, text


async def test_a_list_names_errors_without_their_modules(server: RedisServer) -> None:
    async with answering(server.url, greet) as api:
        await api.client.pause("email")
        handle = await api.client.enqueue(greet)
        await api.client.redis.delete(f"arq:job:{handle.id}")
        await api.client.resume("email")
        await until_in(handle, State.DEAD)
        shown, _ = await listed(api, "queue=email&state=dead")
        assert "<span>JobExpired: its payload had expired" in shown


async def test_a_search_shows_by_kind_what_there_is(server: RedisServer) -> None:
    async with answering(server.url, greet, fails, send) as api:
        ids = await dead_letters(api, 2)
        shown = await page(api, "/search?q=mai")
        links = Seen(shown).links
        assert {"/ui/queues/email", "/ui/queues/mail", "/ui/jobs?name=mail%3Asend"} <= set(links)
        shown = await page(api, "/search?q=valueerror")
        assert "Dead jobs with this in their error" in shown
        assert all(shortened(one) in shown for one in ids)
        assert "/ui/jobs?state=dead&q=error%3Avalueerror" in Seen(shown).links
        assert "Nothing is called" in await page(api, "/search?q=none+at+all")
        assert "Write the id of a job" in await page(api, "/search?q=")
        odd = urlencode({"q": '<b>"\\' + "x" * 600})
        assert "Nothing is called" in await page(api, f"/search?{odd}")


async def test_a_finished_job_is_found_on_its_own_queue(server: RedisServer) -> None:
    async with answering(server.url, greet, send) as api:
        handle = await api.client.enqueue(send)
        assert (await api.client.wait("mail", handle.id, 10)).state is State.COMPLETED
        answer = await api.http.get("/ui/search", params={"q": handle.id})
        assert answer.headers["location"] == f"/ui/job?queue=mail&id={handle.id}"


async def test_old_addresses_lead_to_the_same_lists(recorded: Api) -> None:
    assert (await listed(recorded, "status=COMPLETED&queue=mail"))[1][0] == "mail:8"
    assert (await listed(recorded, "error=abc&state=all"))[1] == [f"mail:{number}" for number in (9, 6, 3, 0)]
    assert (await sent(recorded, "/jobs/columns", back="")).headers["location"] == "/ui/jobs"


async def test_an_id_that_is_no_text_is_listed_all_the_same(api: Api) -> None:
    await api.client.redis.zadd("arq:queue:email", {b"od\xffd": 9e12})
    shown = await page(api, "/jobs?queue=email&state=delayed")
    assert "od\\udcffd" in shown
    assert "id=od%FFd" in shown
