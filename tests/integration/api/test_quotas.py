"""How much a key may ask for: requests in a time, and jobs that are not over."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rota import Run, State, job
from rota.model.access.keys import make, scopes_of
from rota.model.access.rates import RequestRate
from rota.wire.access import AccessRecords
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer
from tests.waiting import until

Header = dict[str, str]


@job
async def work(run: Run) -> None: ...


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with answering(server.url, work, works=False) as found:
        yield found


async def key_of(api: Api, rate: str | None = None, burst: int | None = None, **bounds: Any) -> Header:
    """Make a key within these bounds; return the header that shows it."""
    text, key = make(scopes_of(["admin"]))
    key = key.bound(rate=None if rate is None else RequestRate.parse(rate, burst), **bounds)
    await AccessRecords(api.client.redis, "rota").put({key.id: key.write()})
    return {"Authorization": f"Bearer {text}"}


async def test_more_requests_than_the_rate_of_a_key_are_refused_until_there_is_room(api: Api) -> None:
    slow, fast = await key_of(api, "60/h", 2), await key_of(api, "20/s", 1)
    for left in ("1", "0"):
        answer = await api.http.get("/me", headers=slow)
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == '"key";q=2;w=120'
        assert answer.headers["ratelimit"].startswith(f'"key";r={left};t=')
    refused = await api.http.get("/queues", headers=slow)
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:rota:problem:too-many-requests")
    assert 50 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers.get_list("ratelimit") == [f'"key";r=0;t={refused.headers["retry-after"]}']
    assert (await api.http.get("/me", headers=fast)).status_code == 200, (
        "the rate of one key is not another's"
    )

    async def is_let() -> bool:
        return (await api.http.get("/me", headers=fast)).status_code == 200

    await until(is_let, "the next request is let in a twentieth of a second later")


async def test_however_many_come_at_once_no_more_are_let_in(api: Api) -> None:
    header = await key_of(api, "1/h", 20)
    answers = await asyncio.gather(*(api.http.get("/me", headers=header) for _ in range(60)))
    assert Counter(one.status_code for one in answers) == {200: 20, 429: 40}


async def test_a_key_without_a_rate_costs_nothing(api: Api) -> None:
    header = await key_of(api)
    answer = await api.http.get("/me", headers=header)
    assert "ratelimit" not in answer.headers
    assert (await api.post("/jobs/work", {}, **header)).status_code == 202
    assert await api.client.redis.keys("rota:keys:*") == []


async def test_a_quota_is_of_jobs_that_are_not_over(api: Api) -> None:
    header = await key_of(api, most_jobs=3)
    body = {"options": {"id": "one", "on_taken": "existing"}}
    for _ in range(5):
        assert (await api.post("/jobs/work", body, **header)).status_code == 202, "it is one job"
    taken = {"jobs": [{"name": "work"}, {"name": "work", "options": {"id": "one"}}]}
    assert (await api.post("/jobs", taken, **header)).status_code == 409
    assert (await api.client.counts("default"))[State.WAITING] == 2
    assert (await api.post("/jobs/work", {}, **header)).status_code == 202
    for path, more in (("/jobs/work", {}), ("/jobs", {"jobs": [{"name": "work"}]})):
        refused = await api.post(path, more, **header)
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:rota:problem:too-many-jobs")
        assert refused.headers["retry-after"] == "1"
        assert "3 jobs that are not over, and has 3" in refused.json()["detail"]
    assert (await api.client.cancel("default", "one")) == "cancelled"

    async def is_let() -> bool:
        return (await api.post("/jobs/work", {}, **header)).status_code == 202

    await until(is_let, "there is room once a job is over")
    assert (await api.client.counts("default"))[State.WAITING] == 3
    assert (await api.post("/jobs/work", {}, **await key_of(api))).status_code == 202


async def test_the_keys_of_a_tenant_share_its_quota(api: Api) -> None:
    first, second, other = [
        await key_of(api, tenant=tenant, most_jobs=1) for tenant in ("acme", "acme", "globex")
    ]
    answers = [(await api.post("/jobs/work", {}, **header)).status_code for header in (first, second, other)]
    assert answers == [202, 429, 202]


async def test_a_full_redis_lets_requests_look_and_one_that_is_away_is_503(own_server: RedisServer) -> None:
    async with answering(own_server.url, work, works=False) as api:
        header = await key_of(api, "1/h", 1, most_jobs=1)
        await api.client.redis.config_set("maxmemory", "1")
        for _ in range(2):
            assert (await api.http.get("/me", headers=header)).status_code == 200
        own_server.stop()
        for answer in (await api.http.get("/me", headers=header), await api.post("/jobs/work", {}, **header)):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        own_server.start()
