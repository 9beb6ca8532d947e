"""Actions on many jobs over HTTP, and the list of who did what."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rota.model.access.keys import make, scopes_of
from rota.model.bulk.actions import Actor
from rota.model.bulk.filters import BulkAction, Filter
from rota.wire.access import AccessRecords
from tests.integration.api.serving import Api, answering
from tests.integration.bulk.operating import bury, leading, remind, send
from tests.servers import RedisServer
from tests.waiting import until


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with answering(server.url, send, remind, works=False) as found:
        await bury(found.client, ["mail:1", "mail:2", "mail:3"], error="timed out")
        yield found


async def over(api: Api, path: str) -> dict[str, Any]:
    """Wait until an operation is over, and return it."""
    found: dict[str, Any] = {}

    async def is_over() -> bool:
        found.update((await api.http.get(path)).json())
        return found["state"] in ("done", "aborted", "failed")

    await until(is_over, "the operation is over")
    return found


async def test_a_dry_run_counts_and_shows_and_the_run_is_done_by_the_leader(
    api: Api, server: RedisServer
) -> None:
    asked = {"action": "retry", "filter": {"queue": "mail", "state": "dead", "error_contains": "timed"}}
    tried = await api.post("/bulk", {**asked, "dry_run": True})
    assert (tried.status_code, tried.json()["count"]) == (200, 3)
    assert [one["id"] for one in tried.json()["sample"]] == ["mail:1", "mail:2", "mail:3"]
    assert (await api.http.get("/bulk")).json()["items"] == []

    refused = await api.post("/bulk", {**asked, "expect": 2})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:rota:problem:more-than-expected")

    started = await api.post("/bulk", {**asked, "expect": 3, "reason": "the server is back"})
    path = started.headers["location"]
    assert (started.status_code, started.json()["state"], path) == (
        202,
        "waiting",
        f"/bulk/{started.json()['id']}",
    )
    async with leading(server.url):
        done = await over(api, path)
    assert (done["state"], done["done"], done["by"]["name"]) == ("done", 3, "open")
    assert (await api.http.get("/bulk")).json()["items"] == [done]
    (entry,) = (await api.http.get("/activity")).json()["items"]
    assert (entry["action"], entry["count"], entry["target"]) == ("retry", 3, asked["filter"])
    assert (done["reason"], entry["detail"]["reason"]) == ("the server is back",) * 2
    again = await api.post(f"{path}/abort")
    assert (again.status_code, again.json()["type"]) == (409, "urn:rota:problem:wrong-state")


async def test_an_operation_that_waits_is_aborted_and_names_the_key(api: Api, server: RedisServer) -> None:
    text, key = make(scopes_of(["operate"]), name="the desk")
    await AccessRecords(api.client.redis, "rota").put({key.id: key.write()})
    header = {"Authorization": f"Bearer {text}"}
    body = {"action": "delete", "filter": {"queue": "mail"}}
    path = (await api.post("/bulk", body, **header)).headers["location"]
    aborted = await api.post(f"{path}/abort", **header)
    assert (aborted.status_code, aborted.json()["is_aborting"]) == (202, True)
    async with leading(server.url):
        await until(lambda: _is_recorded(api), "the end is recorded")
    (action,) = await api.client.actions.page()
    assert (action.outcome, action.count, action.actor.id, action.actor.name) == (
        "aborted",
        0,
        key.id,
        "the desk",
    )


async def _is_recorded(api: Api, many: int = 1) -> bool:
    return len(await api.client.actions.page()) == many


async def test_the_key_of_a_tenant_touches_and_sees_its_own_alone(api: Api, server: RedisServer) -> None:
    text, key = make(scopes_of(["operate", "enqueue"]), tenant="acme")
    await AccessRecords(api.client.redis, "rota").put({key.id: key.write()})
    header = {"Authorization": f"Bearer {text}"}
    await api.client.redis.hset("arq:queue:mail:dead:mail:2", "terms", "p=1 t=acme")
    await api.client.enqueue_many(
        [remind.options(delay=60, tenant="acme").call(1), remind.options(delay=60).call(2)]
    )
    everybody = (
        await api.client.bulk.start(BulkAction.DELETE, Filter.of({"name": "none"}), Actor("cli", "ann"))
    ).id

    async def count(action: str, **conditions: str) -> int:
        body = {"action": action, "filter": conditions, "dry_run": True}
        return int((await api.post("/bulk", body, **header)).json()["count"])

    assert (await count("retry"), await count("run_now"), await count("cancel", queue="mail")) == (1, 1, 1)
    given = await api.post("/jobs/mail:remind", {"options": {"id": "own", "delay": 60}}, **header)
    assert given.status_code == 202
    assert await count("cancel", queue="mail", id="own") == 1
    await api.client.cancel("mail", given.json()["id"])
    other = await api.post("/bulk", {"action": "retry", "filter": {"tenant": "other"}}, **header)
    assert other.json()["type"] == "urn:rota:problem:invalid-filter"

    assert (await api.post("/bulk", {"action": "retry"}, **header)).status_code == 422, "it needs a number"
    own = (await api.post("/bulk", {"action": "retry", "filter": {"queue": "mail"}}, **header)).headers[
        "location"
    ]
    assert (await api.http.get(f"/bulk/{everybody}", headers=header)).status_code == 404
    assert (await api.post(f"/bulk/{everybody}/abort", **header)).status_code == 404
    async with leading(server.url):
        await until(lambda: _is_recorded(api, 2), "both are over")
    (listed,) = (await api.http.get("/bulk", headers=header)).json()["items"]
    assert (f"/bulk/{listed['id']}", listed["done"], listed["tenant"]) == (own, 1, "acme")
    (entry,) = (await api.http.get("/activity", headers=header)).json()["items"]
    assert (entry["tenant"], entry["count"]) == ("acme", 1)
    assert {one.id for one in await api.client.jobs("mail", "dead")} == {"mail:1", "mail:3"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, "invalid-body"),
        ({"action": "praise"}, "invalid-body"),
        ({"action": "retry", "filter": []}, "invalid-body"),
        ({"action": "retry", "filter": {"queue": "mail"}, "expect": -1}, "invalid-body"),
        ({"action": "retry", "filter": {"queue": "mail"}, "expect": True}, "invalid-body"),
        ({"action": "retry", "filter": {"queue": "mail"}, "dry_run": 1}, "invalid-body"),
        ({"action": "retry", "filter": {"queue": "mail"}, "colour": 1}, "invalid-body"),
        ({"action": "retry", "filter": {"queue": "mail"}, "reason": "x" * 201}, "invalid-body"),
        ({"action": "retry", "filter": {"queue": "mail"}, "reason": 1}, "invalid-body"),
        ({"action": "retry", "filter": {"colour": "red"}}, "invalid-filter"),
        ({"action": "retry", "filter": {"state": "waiting"}}, "invalid-filter"),
        ({"action": "retry"}, "invalid-filter"),
    ],
)
async def test_what_cannot_be_done_is_refused(api: Api, body: Any, kind: str) -> None:
    answer = await api.post("/bulk", body)
    assert (answer.status_code, answer.json()["type"]) == (422, f"urn:rota:problem:{kind}")
    assert (await api.http.get("/bulk")).json()["items"] == []


async def test_what_is_done_to_one_job_is_listed_too(api: Api) -> None:
    assert (await api.post("/jobs/mail/mail:1/retry")).status_code == 202
    assert (await api.http.delete("/jobs/mail/mail:2")).status_code == 204
    assert (await api.http.delete("/jobs/mail/none")).status_code == 404
    await api.post("/queues/mail/pause")
    listed = (await api.http.get("/activity")).json()["items"]
    assert [(one["action"], one["target"]) for one in listed] == [
        ("pause", {"queue": "mail"}),
        ("delete", {"queue": "mail", "id": "mail:2"}),
        ("retry", {"queue": "mail", "id": "mail:1"}),
    ]


async def test_what_is_done_stays_done_where_it_cannot_be_recorded(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    await api.client.redis.set("rota:actions", "of another type")
    with caplog.at_level(logging.WARNING):
        assert (await api.http.delete("/jobs/mail/mail:2")).status_code == 204
    assert [one.message for one in caplog.records] == ["actions.unrecorded"]


async def test_lists_have_pages(api: Api) -> None:
    for _ in range(3):
        await api.post("/bulk", {"action": "retry", "filter": {"queue": "mail"}})
    first = (await api.http.get("/bulk?limit=2")).json()
    rest = (await api.http.get("/bulk", params={"limit": 2, "cursor": first["next"]})).json()
    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (2, 1, None)
    assert (await api.http.get("/bulk?cursor=x")).status_code == 422
    assert (await api.http.get("/activity?cursor=x")).status_code == 422
    assert (await api.http.get("/bulk/none")).json()["type"] == "urn:rota:problem:no-such-operation"
