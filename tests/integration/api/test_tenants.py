"""Two tenants, all routes, all ids: neither sees, changes or can tell apart what is another's."""

import json
import re

import pytest
from arq.connections import ArqRedis

import rota.api
from rota.client import view
from rota.settings.load import load
from rota.wire.envelopes import job_serializer
from tests.integration.api import test_live, test_socket
from tests.integration.api.test_access import HIDDEN, OPEN
from tests.integration.api.towns import JOBS, OWNERS, Town, clear_of, secret_of, wait
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import registry_of

#: What a key of a tenant gets of each route. `id`: 404 for another's job. `cut`: what is its own. `neutral`: the same
#: as everybody. `refused`: 403, as it is about the jobs of all.
ROUTES = {
    ("POST", "/jobs/{name}"): "cut",
    ("POST", "/jobs"): "cut",
    ("GET", "/jobs"): "cut",
    ("GET", "/events"): "cut",
    ("GET", "/queues/{queue}/events"): "cut",
    ("GET", "/jobs/{queue}/{id}"): "id",
    ("GET", "/jobs/{queue}/{id}/result"): "id",
    ("GET", "/jobs/{queue}/{id}/log"): "id",
    ("GET", "/jobs/{queue}/{id}/stack"): "id",
    ("GET", "/jobs/{queue}/{id}/events"): "id",
    ("POST", "/jobs/{queue}/{id}/cancel"): "id",
    ("POST", "/jobs/{queue}/{id}/retry"): "id",
    ("POST", "/jobs/{queue}/{id}/run-now"): "id",
    ("DELETE", "/jobs/{queue}/{id}"): "id",
    ("POST", "/bulk"): "cut",
    ("GET", "/bulk"): "cut",
    ("GET", "/activity"): "cut",
    ("GET", "/bulk/{id}"): "cut",
    ("POST", "/bulk/{id}/abort"): "cut",
    # test_webhooks.py asks for these.
    ("GET", "/webhooks"): "cut",
    ("POST", "/webhooks"): "cut",
    ("GET", "/webhooks/{webhook}"): "cut",
    ("PATCH", "/webhooks/{webhook}"): "cut",
    ("DELETE", "/webhooks/{webhook}"): "cut",
    ("POST", "/webhooks/{webhook}/rotate"): "cut",
    ("GET", "/webhooks/{webhook}/deliveries"): "cut",
    ("POST", "/webhooks/{webhook}/deliveries/{message}/retry"): "cut",
    ("POST", "/tickets"): "neutral",
    ("GET", "/kinds"): "neutral",
    ("GET", "/kinds/{name}"): "neutral",
    ("GET", "/openapi.json"): "neutral",
    ("GET", "/me"): "neutral",
    ("GET", "/queues"): "refused",
    ("GET", "/queues/{queue}"): "refused",
    ("POST", "/queues/{queue}/pause"): "refused",
    ("POST", "/queues/{queue}/resume"): "refused",
    ("GET", "/queues/{queue}/history"): "refused",
    ("GET", "/schedules"): "refused",
    ("GET", "/schedules/{name}"): "refused",
    ("POST", "/schedules/{name}/run"): "refused",
    ("POST", "/schedules/{name}/pause"): "refused",
    ("POST", "/schedules/{name}/resume"): "refused",
    ("GET", "/failures"): "refused",
    ("GET", "/failures/{cause}"): "refused",
    ("GET", "/workers"): "refused",
}


def of(kind: str) -> list[tuple[str, str]]:
    return [route for route, cut in ROUTES.items() if cut == kind]


async def test_no_tenant_meets_what_is_another_s(town: Town) -> None:
    before, lists = await town.state(), ["/jobs", "/jobs?error=abc", "/jobs?status=FAILED&limit=1"]
    lists += [f"/jobs?queue=held&state={state}&limit=1" for state in ("waiting", "delayed")]
    lists += ["/jobs?queue=long&state=active", "/jobs?queue=quick&state=dead"]
    for caller in ("acme", "globex"):
        for owner in OWNERS:
            if owner != caller:
                await one_owner_s_ids(town, caller, owner)
        for path in lists:
            answer = await town.ask(caller, "GET", path)
            assert [one["tenant"] for one in answer.json()["items"]] == [caller], path
            assert answer.json()["next"] is None, "no page says that others have more"
            clear_of(answer.text, caller)
        for method, path in of("neutral"):
            answer = await town.ask(caller, method, path.format(name="end"))
            assert answer.status_code < 300
            clear_of(answer.text, caller)
        for method, path in of("refused"):
            place = path.format(queue="quick", name="none", cause="abc")
            answer = await town.ask(caller, method, place)
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:rota:problem:of-all-tenants"), (
                path
            )
    assert await town.state() == before, "nothing was changed"


async def one_owner_s_ids(town: Town, caller: str, owner: str | None) -> None:
    """Ask for each job of an owner on all routes: another's is answered as one that there is not."""
    for method, path in of("id"):
        none = await town.ask(caller, method, path.format(queue="xyzzy", id="xyzzy"))
        for queue, job_id, _ in town.jobs[owner]:
            # What was given for no tenant, the caller has given as well.
            for asked in {job_id, job_id.removeprefix(f"{queue}:") if owner else job_id}:
                answer = await town.ask(caller, method, path.format(queue=queue, id=asked))
                assert answer.status_code == 404
                assert answer.text.replace(asked, "xyzzy").replace(f"/{queue}/", "/xyzzy/") == none.text
                assert dict(answer.headers).keys() == dict(none.headers).keys()


async def test_the_table_of_this_test_has_every_route(server: RedisServer) -> None:
    app = rota.api.create(load({"REDIS_URL": server.url}), registry_of(JOBS))
    paths = app.openapi()["paths"]
    listed = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    listed -= {("POST", f"/jobs/{one}") for one in registry_of(JOBS).full_names}
    assert listed | HIDDEN == set(ROUTES) | OPEN, (
        "say what a key of a tenant gets of the route, and ask for it"
    )


async def test_operations_on_many_jobs_are_on_a_tenant_s_own(town: Town) -> None:
    wanted = {"action": "cancel", "filter": {"queue": "held"}}
    tried = await town.ask("acme", "POST", "/bulk", json=wanted | {"dry_run": True})
    assert {one["id"] for one in tried.json()["sample"]} == {"held:acme~waits", "held:acme~later"}
    assert tried.json()["count"] == 2
    by_id = {"queue": "held", "ids": [one for _, one, _ in town.jobs["globex"]]}
    tried = await town.ask("acme", "POST", "/bulk", json=wanted | {"filter": by_id, "dry_run": True})
    assert (tried.json()["count"], tried.json()["sample"]) == (0, [])
    others = (await town.ask("globex", "POST", "/bulk", json=wanted)).json()
    assert others["tenant"] == "globex"
    for method, path in (("GET", "/bulk/{}"), ("POST", "/bulk/{}/abort")):
        answer = await town.ask("acme", method, path.format(others["id"]))
        none = await town.ask("acme", method, path.format("xyzzy"))
        assert (answer.status_code, answer.text.replace(others["id"], "xyzzy")) == (404, none.text)
    for path in ("/bulk", "/activity"):
        assert (await town.ask("acme", "GET", path)).json()["items"] == []


async def test_a_tenant_does_with_its_own_jobs_what_anybody_may(town: Town) -> None:
    for queue, job_id, given in town.jobs["acme"]:
        for asked in {job_id, given}:
            found = (await town.ask("acme", "GET", f"/jobs/{queue}/{asked}?include=payload")).json()
            assert (found["id"], found["tenant"]) == (job_id, "acme")
            assert secret_of("acme") in json.dumps(found["payload"])
    assert {one for _, one, given in town.jobs["acme"] if one != given} == {
        "held:acme~waits",
        "held:acme~later",
        "quick:acme~ended",
        "quick:acme~dead",
    }
    for method, path, status in (
        ("GET", "/jobs/quick/ended/result", 200),
        ("GET", "/jobs/quick/ended/log", 200),
        ("GET", "/jobs/quick/ended/events", 200),
        ("POST", "/jobs/held/later/run-now", 200),
        ("POST", "/jobs/held/waits/cancel", 200),
        ("POST", "/jobs/quick/dead/retry", 202),
    ):
        answer = await town.ask("acme", method, path)
        assert answer.status_code == status, answer.text
    await until(lambda: town.api.client.jobs("quick", "dead", tenant="acme"), "it has died again")
    assert (await town.ask("acme", "DELETE", "/jobs/quick/dead")).status_code == 204
    others = await town.api.client.jobs("quick", "dead")
    assert {one.tenant for one in others} == {"globex", None}


async def test_a_key_of_a_tenant_enqueues_for_no_other(town: Town) -> None:
    answer = await town.enqueue("acme", "held:wait", tenant="globex")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:rota:problem:of-another-tenant")
    many = {"jobs": [{"name": "wait", "payload": {"secret": "x"}, "options": {"tenant": "globex"}}]}
    assert (await town.ask("acme", "POST", "/jobs", json=many)).status_code in (403, 422)
    assert (await town.ask("acme", "GET", "/jobs?tenant=globex")).status_code == 403
    assert (await town.ask("acme", "GET", "/jobs?tenant=acme")).status_code == 200
    own = await town.enqueue("acme", "held:wait", tenant="acme")
    operators = await town.enqueue(None, "held:wait", tenant="acme", id="given")
    assert operators.json()["id"] == "held:acme~given"
    for answer in (own, operators):
        found = await town.ask("acme", "GET", answer.json()["links"]["self"])
        assert found.json()["tenant"] == "acme"
    refused = await town.enqueue(None, "held:wait", tenant="a b")
    assert refused.json()["errors"][0]["pointer"] == "/options/tenant"


async def test_jobs_of_stock_clients_are_of_no_tenant(town: Town) -> None:
    stock = ArqRedis(connection_pool=town.api.client.redis.connection_pool, job_serializer=job_serializer)
    put = await stock.enqueue_job("wait", secret="of a stock client", _queue_name="arq:queue:held")
    assert put is not None
    path = f"/jobs/held/{put.job_id}"
    assert [(await town.ask(owner, "GET", path)).status_code for owner in OWNERS] == [404, 404, 200]


async def test_keys_of_requests_are_apart_by_tenant(town: Town) -> None:
    ids = set()
    for owner in (*OWNERS, *OWNERS):
        body = {"payload": {"secret": "same", "number": 7}}
        headers = town.keys[owner] | {"Idempotency-Key": "same", "Prefer": "wait=5"}
        answer = await town.api.http.post("/jobs/quick:end", json=body, headers=headers)
        assert answer.json()["result"] == f"same {owner}"
        ids.add(answer.json()["id"])
    assert len(ids) == len(OWNERS)


async def test_streams_and_sockets_have_a_tenant_s_own_updates(town: Town) -> None:
    own = {one for _, one, _ in town.jobs["acme"][:5]}
    for path in ("/events", "/queues/quick/events"):
        async with test_live.opened(town.api, f"{path}?after=0-0", headers=town.keys["acme"]) as stream:
            last = (await town.enqueue("acme", "quick:end")).json()["id"]
            found = [(await stream.jobs(1))[0]]
            while (found[-1]["jobId"], found[-1]["status"]) != (last, "COMPLETED"):
                found += await stream.jobs(1)
        assert {one["tenantId"] for one in found} == {"acme"}
        if path == "/events":
            assert {one["jobId"] for one in found} == own | {last}
    ticket = (await town.ask("acme", "POST", "/tickets")).json()["ticket"]
    async with test_socket.opened(town.api, f"?ticket={ticket}") as talk:
        queue, others, _ = town.jobs["globex"][0]
        refused = await talk.subscribe({"job": {"queue": queue, "id": others}})
        assert (refused["event"], refused["data"]["status"]) == ("error", 404)
        await talk.subscribe({"job": {"queue": "held", "id": "waits"}})
        assert (await talk.next())["data"]["jobId"] == "held:acme~waits"
        await talk.subscribe({"all": True}, after="0-0")
        for owner in ("globex", None):
            await town.enqueue(owner, "held:wait")
        assert (await town.ask("acme", "POST", "/jobs/held/waits/cancel")).status_code == 200
        found = [(await talk.jobs(1))[0]["data"]]
        while found[-1]["status"] != "CANCELLED":
            found += [(await talk.jobs(1))[0]["data"]]
    assert {one["tenantId"] for one in found} == {"acme"}
    assert {one["jobId"] for one in found} >= own


async def test_a_page_of_a_tenant_is_found_behind_the_jobs_of_others(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "_FIRST_LOOK", 2)
    client = town.api.client
    await client.enqueue_many(wait.options(tenant="other").call("x") for _ in range(10))
    ids = [
        handle.id
        for handle in await client.enqueue_many(wait.options(tenant="acme").call(f"{n}") for n in range(5))
    ]
    path, found = "/jobs?queue=held&state=waiting&limit=2", list[str]()
    while path:
        answer = await town.ask("acme", "GET", path)
        found += [one["id"] for one in answer.json()["items"]]
        link = re.match("<(.*)>", answer.headers.get("link", ""))
        path = link[1] if link else ""
    assert found == ["held:acme~waits", *ids]
