"""The gate of the API: keys and their scopes, what is open without any, and the start in production."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

import rota.api
from rota import Run, job
from rota.api.access import NoKey
from rota.app.respawn import EXIT_WRONG
from rota.model.access.keys import AccessKey, Scope, make, scopes_of
from rota.settings.load import load
from rota.wire.access import AccessRecords
from tests.integration.api.serving import Api, answering
from tests.processes import ROOT, Worker, environment
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import registry_of


@job
async def work(run: Run) -> None: ...


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with answering(server.url, work, works=False) as found:
        yield found


async def made(redis: Redis, *scopes: str, life: timedelta | None = None) -> tuple[dict[str, str], AccessKey]:
    """Make a key in Redis; return the header that shows it, and what is kept of it."""
    text, key = make(scopes_of(list(scopes)), life=life)
    await AccessRecords(redis, "rota").put({key.id: key.write()})
    return {"Authorization": f"Bearer {text}"}, key


#: What each route asks for; those that are open are not here.
ROUTES = {
    ("POST", "/jobs/{name}"): "enqueue",
    ("POST", "/jobs"): "enqueue",
    ("GET", "/jobs/{queue}/{id}"): "read",
    ("GET", "/jobs/{queue}/{id}/result"): "read",
    ("POST", "/jobs/{queue}/{id}/cancel"): "operate",
    ("POST", "/jobs/{queue}/{id}/retry"): "operate",
    ("POST", "/jobs/{queue}/{id}/run-now"): "operate",
    ("DELETE", "/jobs/{queue}/{id}"): "operate",
    ("GET", "/jobs"): "read",
    ("GET", "/jobs/{queue}/{id}/log"): "read",
    ("GET", "/jobs/{queue}/{id}/stack"): "read",
    ("GET", "/queues/{queue}/history"): "read",
    ("GET", "/schedules"): "read",
    ("GET", "/schedules/{name}"): "read",
    ("POST", "/schedules/{name}/run"): "operate",
    ("POST", "/schedules/{name}/pause"): "operate",
    ("POST", "/schedules/{name}/resume"): "operate",
    ("POST", "/bulk"): "operate",
    ("GET", "/bulk"): "read",
    ("GET", "/bulk/{id}"): "read",
    ("POST", "/bulk/{id}/abort"): "operate",
    ("GET", "/activity"): "read",
    ("GET", "/workers"): "read",
    ("GET", "/kinds"): "read",
    ("GET", "/kinds/{name}"): "read",
    ("GET", "/failures"): "read",
    ("GET", "/failures/{cause}"): "read",
    ("GET", "/events"): "read",
    ("GET", "/queues/{queue}/events"): "read",
    ("GET", "/jobs/{queue}/{id}/events"): "read",
    ("POST", "/tickets"): "read",
    ("GET", "/queues"): "read",
    ("GET", "/queues/{queue}"): "read",
    ("POST", "/queues/{queue}/pause"): "operate",
    ("POST", "/queues/{queue}/resume"): "operate",
    ("GET", "/openapi.json"): "any",
    ("GET", "/webhooks"): "read",
    ("POST", "/webhooks"): "operate",
    ("GET", "/webhooks/{webhook}"): "read",
    ("PATCH", "/webhooks/{webhook}"): "operate",
    ("DELETE", "/webhooks/{webhook}"): "operate",
    ("POST", "/webhooks/{webhook}/rotate"): "operate",
    ("GET", "/webhooks/{webhook}/deliveries"): "read",
    ("POST", "/webhooks/{webhook}/deliveries/{message}/retry"): "operate",
    ("GET", "/me"): "any",
}
#: Those that the document leaves out: it has an operation for each job.
HIDDEN = {("POST", "/jobs/{name}"), ("GET", "/openapi.json")}
#: Those whose answers have no end; test_live.py reads them.
ENDLESS = {"/events", "/queues/{queue}/events"}
OPEN = {("GET", "/healthz"), ("GET", "/readyz")}


async def test_each_route_takes_the_keys_with_its_scope_and_no_others(api: Api) -> None:
    keys = {scope: await made(api.client.redis, scope) for scope in Scope}
    for (method, path), needed in ROUTES.items():
        place = path.format(
            name="none", queue="default", id="none", cause="none", webhook="none", message="none"
        )
        assert (await api.http.request(method, place)).status_code == 401, path
        for scope, (header, key) in keys.items():
            if path in ENDLESS and key.lets(Scope(needed)):
                continue
            answer = await api.http.request(method, place, headers=header)
            is_let = needed == "any" or key.lets(Scope(needed))
            assert (answer.status_code not in (401, 403)) is is_let, (path, scope, answer.text)
            assert answer.status_code < 500
    for method, path in OPEN:
        assert (await api.http.request(method, path)).status_code == 200


async def test_the_table_of_this_test_has_every_route(server: RedisServer) -> None:
    app = rota.api.create(load({"REDIS_URL": server.url}), registry_of([work]))
    listed = {
        (method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods
    }
    for one in registry_of([work]).full_names:
        listed.remove(("POST", f"/jobs/{one}"))
    assert listed | HIDDEN == set(ROUTES) | OPEN


async def test_a_key_that_is_wrong_expired_or_revoked_is_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, key = await made(api.client.redis, "admin")
    assert (await api.http.get("/me", headers=good)).json()["scopes"] == ["admin"]
    text = good["Authorization"]
    other, _ = make(frozenset({Scope.ADMIN}))
    old, _ = await made(api.client.redis, "admin", life=timedelta(0))
    for header in (
        {"Authorization": text[:-1]},
        {"Authorization": f"Bearer {other}"},
        {"Authorization": f"Bearer {other[:14]}{text.removeprefix('Bearer ')[14:]}"},
        {"Authorization": text.replace("Bearer", "Basic")},
        {"Authorization": "Bearer"},
        {},
        old,
    ):
        answer = await api.http.get("/me", headers=header)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="rota"')
        assert text.removeprefix("Bearer ") not in answer.text
    twice = [("Authorization", text), ("Authorization", text)]
    assert (await api.http.get("/me", headers=twice)).status_code == 400
    monkeypatch.setattr("rota.api.access.TRUST", 0.0)
    await AccessRecords(api.client.redis, "rota").remove(key.id)
    # What was read before counts for a few seconds.
    api.app.state.desk.gate._known.clear()
    assert (await api.http.get("/me", headers=good)).status_code == 401


async def test_requests_that_come_with_one_key_share_the_look_at_it(api: Api) -> None:
    header, _ = await made(api.client.redis, "read")

    async def looks() -> int:
        stats = await api.client.redis.info("commandstats")
        return int(stats.get("cmdstat_hget", {"calls": 0})["calls"])

    before = await looks()
    requests = [asyncio.create_task(api.http.get("/me", headers=header)) for _ in range(20)]
    reading = api.app.state.desk.gate._reading
    await until(lambda: reading, "the first looks")
    requests[0].cancel()
    answers = await asyncio.gather(*requests[1:])
    assert {answer.status_code for answer in answers} == {200}
    assert await looks() - before == 1
    assert not reading


async def test_keys_of_the_settings_outlast_an_emptied_redis(server: RedisServer) -> None:
    text, key = make(frozenset({Scope.READ}))
    other, second = make(frozenset({Scope.ADMIN}))
    given = f"{key.stored()},\n{second.stored()}"
    async with answering(server.url, work, works=False, API_KEYS=given) as api:
        await api.client.redis.flushall()
        assert (await api.http.get("/me")).status_code == 401
        assert (await api.http.get("/me", headers={"Authorization": f"Bearer {text}"})).status_code == 200
        assert (await api.http.get("/me", headers={"Authorization": f"Bearer {other}"})).status_code == 200


async def test_without_any_key_this_machine_may_do_all_by_a_name_of_its_own(server: RedisServer) -> None:
    async with answering(server.url, work, works=False, API_ALLOWED_HOSTS="rota.test,other") as api:
        assert (await api.http.get("/me")).json()["scopes"] == ["admin"]
        for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "ROTA.test", "sub.localhost"):
            assert (await api.http.get("/queues", headers={"Host": host})).status_code == 200, host
        for host in ("evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example"):
            answer = await api.http.get("/queues", headers={"Host": host})
            assert (answer.status_code, answer.json()["type"]) == (421, "urn:rota:problem:wrong-host"), host
        forwarded = await api.http.get("/queues", headers={"X-Forwarded-For": "198.51.100.7"})
        assert forwarded.status_code == 401
        await made(api.client.redis, "read")
        api.app.state.desk.gate._looked = 0.0
        assert (await api.http.get("/queues")).status_code == 401


async def test_in_production_an_api_without_keys_does_not_start(server: RedisServer, tmp_path: Path) -> None:
    settings = load({"REDIS_URL": server.url, "APP_ENV": "production"})
    with pytest.raises(NoKey):
        async with rota.api.lifespan(rota.api.create(settings, registry_of([work]))):
            raise AssertionError("it has started")
    variables = environment(
        ROOT,
        REDIS_URL=server.url,
        APP_ENV="production",
        LOG_FORMAT="console",
        MODE="api",
        API_PORT="0",
        JOBS_PACKAGE="tests.faults.jobs_for_faults",
    )
    with contextlib.closing(Worker(tmp_path / "log", variables)) as process:
        assert await process.ended() == EXIT_WRONG
        last = process.log.read_text("utf-8").splitlines()[-1]
        assert last.startswith("rota: in production the API needs a key, and there is none")


async def test_with_a_key_it_starts_in_production(server: RedisServer, redis: Redis) -> None:
    header, _ = await made(redis, "read")
    async with answering(server.url, work, works=False, APP_ENV="production", LOG_FORMAT="console") as api:
        assert (await api.http.get("/queues")).status_code == 401
        assert (
            await api.http.get("/queues", headers=header | {"Host": "api.example.com"})
        ).status_code == 200


async def test_redis_away_is_503_with_a_key_too(own_server: RedisServer) -> None:
    async with answering(own_server.url, work, works=False) as api:
        header, _ = await made(api.client.redis, "read")
        own_server.stop()
        answer = await api.http.get("/me", headers=header)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        own_server.start()
