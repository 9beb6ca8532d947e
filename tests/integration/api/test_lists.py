"""Lists over HTTP: of Redis by state, of the audit table by everything else, page by page."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rota import Run, job
from rota.api.asking import pages as asking
from rota.api.cursors import cursor_of
from rota.settings.database_url import DatabaseTarget
from rota.store import audit, migrations
from rota.store.engine import Database
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer

AT = datetime(2026, 7, 1, tzinfo=UTC)


@job(queue="mail")
async def greet(run: Run, number: int) -> None: ...


@pytest.fixture
async def url(tmp_path: Path) -> str:
    """Return the address of a database with the jobs of an hour ago, three a minute."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    database = Database(DatabaseTarget.from_url(url))
    await migrations.migrate(database)
    async with database.write() as connection:
        await audit.upsert(connection, [row(number) for number in range(10)])
    await database.close()
    return url


def row(number: int) -> dict[str, Any]:
    failed = number % 3 == 0
    return {
        "id": f"mail:{number}",
        "queue": "mail",
        "name": "greet",
        "status": "FAILED" if failed else "COMPLETED",
        "event": f"{number:015}-0000000000.00000",
        "attempts": 1,
        "payload": f'{{"number":{number}}}',
        "result": None if failed else f'"{number}"',
        "error": "ValueError: no" if failed else None,
        "error_key": "abc" if failed else None,
        "enqueued_at": AT + timedelta(seconds=number // 3),
        "finished_at": AT + timedelta(seconds=number),
    }


@pytest.fixture
async def api(server: RedisServer, url: str) -> AsyncIterator[Api]:
    async with answering(server.url, greet, works=False, DATABASE_URL=url) as found:
        yield found


@pytest.fixture
async def bare(server: RedisServer) -> AsyncIterator[Api]:
    """Yield an API that has no database, and so no audit table."""
    async with answering(server.url, greet, works=False) as found:
        yield found


async def pages(api: Api, **parameters: Any) -> list[list[str]]:
    """Read a list to its end, and return the ids of each page."""
    found: list[list[str]] = []
    answer = await api.http.get("/jobs", params=parameters)
    while True:
        assert answer.status_code == 200, answer.text
        found.append([one["id"] for one in answer.json()["items"]])
        if answer.json()["next"] is None:
            assert "link" not in answer.headers
            return found
        path = answer.headers["link"].partition(">")[0].removeprefix("<")
        assert answer.headers["link"].endswith('; rel="next"')
        answer = await api.http.get(path)


async def test_a_list_of_redis_is_read_page_by_page(bare: Api) -> None:
    handles = await bare.client.enqueue_many(greet.call(number) for number in range(5))
    ids = [handle.id for handle in handles]
    found = await pages(bare, queue="mail", state="waiting", limit=2)
    assert found == [ids[:2], ids[2:4], ids[4:]]
    assert await pages(bare, state="waiting", q="payload.number>2", limit=1) == [ids[3:4], ids[4:]]
    assert await pages(bare, queue="mail", state="dead") == [[]]


async def test_of_a_failed_job_a_list_has_the_beginning_of_its_error(api: Api) -> None:
    newest = (await api.http.get("/jobs", params={"limit": 1})).json()["items"][0]
    assert (newest["error"], newest["result"], "payload" in newest) == (
        {"type": "ValueError", "message": "no"},
        None,
        False,
    )


async def test_a_condition_is_looked_for_among_so_many_rows_and_the_next_page_goes_on(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ROWS", 4)
    monkeypatch.setattr(asking, "PORTION", 2)
    assert await pages(api, q="payload.number<2") == [[], [], ["mail:1", "mail:0"]]


async def test_the_audit_table_is_read_page_by_page_the_newest_first(api: Api) -> None:
    found = await pages(api, limit=4)
    assert [len(page) for page in found] == [4, 4, 2]
    assert [one for page in found for one in page] == [
        f"mail:{number}" for number in (9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
    ]


@pytest.mark.parametrize(
    ("parameters", "numbers"),
    [
        ({"status": "FAILED"}, [9, 6, 3, 0]),
        ({"error": "abc"}, [9, 6, 3, 0]),
        ({"queue": "mail", "status": "COMPLETED", "limit": 2}, [8, 7, 5, 4, 2, 1]),
        ({"queue": "mail", "name": "mail:greet", "status": "FAILED"}, [9, 6, 3, 0]),
        ({"name": "send"}, []),
        ({"queue": "other"}, []),
        ({"since": "2026-07-01T00:00:02Z"}, [9, 8, 7, 6]),
        ({"until": "2026-07-01T02:00:01+02:00"}, [2, 1, 0]),
        ({"flow": "x"}, []),
        ({"name": "mail:greet", "status": "FAILED", "limit": 1}, [9, 6, 3, 0]),
        ({"q": "state:failed since:2026-07-01T00:00:01Z"}, [9, 6, 3]),
        ({"q": "payload.number>3 state:completed", "limit": 2}, [8, 7, 5, 4]),
        ({"q": "payload.number:4"}, [4]),
        ({"q": "error:valueerror attempt<2", "limit": 3}, [9, 6, 3, 0]),
        ({"q": "attempt>1"}, []),
    ],
)
async def test_it_is_filtered(api: Api, parameters: dict[str, Any], numbers: list[int]) -> None:
    found = await pages(api, **parameters)
    assert [one for page in found for one in page] == [f"mail:{number}" for number in numbers]


async def test_a_job_that_has_left_redis_is_found_in_the_audit_table(api: Api) -> None:
    found = (await api.http.get("/jobs/mail/4", params={"include": "payload"})).json()
    assert (found["id"], found["state"], found["status"], found["result"]) == (
        "mail:4",
        "completed",
        "COMPLETED",
        "4",
    )
    assert (found["name"], found["payload"]) == ("mail:greet", {"number": 4})
    dead = (await api.http.get("/jobs/mail/mail:3/result")).json()
    assert (dead["status"], dead["error"]) == ("FAILED", {"type": "ValueError", "message": "no"})
    assert (await api.http.get("/jobs/mail/77")).status_code == 404
    assert (await api.http.get("/jobs/other/mail:4")).status_code == 404, "it is a job of another queue"
    named = await api.http.get("/jobs", params={"queue": "mail", "id": "mail:4"})
    assert named.json()["id"] == "mail:4"


async def test_without_a_database_the_answer_says_so(bare: Api) -> None:
    answer = await bare.http.get("/jobs", params={"status": "FAILED"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:rota:problem:no-database")


@pytest.mark.parametrize(
    "parameters",
    [
        {"state": "completed", "queue": "mail"},
        {"state": "none", "queue": "mail"},
        {"state": "waiting", "queue": "mail", "status": "FAILED"},
        {"state": "waiting", "flow": "x"},
        {"state": "waiting", "error": "abc"},
        {"q": "nam:greet"},
        {"q": "state:sleeping"},
        {"q": "queue:mail", "queue": "other"},
        {"name": "No Queue:greet"},
        {"status": "DEAD"},
        {"queue": "No Queue"},
        {"id": "x"},
        {"limit": 0},
        {"limit": 201},
        {"limit": "many"},
        {"since": "yesterday"},
        {"since": "2026-07-01T00:00:00"},
        {"since": "0001-01-01T00:00:00+14:00"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"cursor": "x"},
        {"cursor": "é"},
        {"cursor": "W10"},
        {"unknown": "1"},
    ],
)
async def test_what_cannot_be_asked_is_refused(api: Api, parameters: dict[str, Any]) -> None:
    answer = await api.http.get("/jobs", params=parameters)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:rota:problem:invalid-query"), answer.text


async def test_a_cursor_is_good_for_its_own_list_alone(api: Api) -> None:
    cursor = (await api.http.get("/jobs", params={"limit": 2})).json()["next"]
    assert (await api.http.get("/jobs", params={"limit": 5, "cursor": cursor})).status_code == 200
    other = await api.http.get("/jobs", params={"status": "FAILED", "cursor": cursor})
    assert other.status_code == 422


@pytest.mark.parametrize(
    "place",
    [
        5,
        -1,
        ["1", "mail"],
        ["x", "mail", 1],
        ["nan", "mail", 1],
        ["1_0", "mail", 1],
        ["1", "other", 1],
        ["1", "mail", -1],
        [1, "mail", 1],
        True,
        1e300,
        "ab",
        {},
        [],
        ["x", "a"],
        [1, "a"],
        ["0001-01-01T00:00:00+14:00", "a"],
        [None, None],
    ],
)
async def test_a_cursor_that_was_made_by_hand_is_refused(api: Api, place: Any) -> None:
    for filters in ({}, {"queue": "mail", "state": "waiting"}):
        answer = await api.http.get("/jobs", params={**filters, "cursor": cursor_of(filters, place)})
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:rota:problem:invalid-query")


async def test_a_database_that_is_away_is_503(server: RedisServer) -> None:
    async with answering(
        server.url, greet, works=False, DATABASE_URL="postgresql://ann:open-sesame@127.0.0.1:1/x"
    ) as api:
        for path in ("/jobs?status=FAILED", "/jobs/mail/1"):
            answer = await api.http.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2"), answer.text
            assert "open-sesame" not in answer.text
