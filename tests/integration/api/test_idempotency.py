"""A request with an Idempotency-Key may be sent again: it makes one job, whatever became of the first answer."""

import asyncio
from hashlib import sha256
from typing import Any

import httpx2
import pytest
from redis.exceptions import ConnectionError as Away

from rota import Run, State, job
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer

DAY_MS = 86_400_000
GREETING: dict[str, dict[str, Any]] = {
    "payload": {"name": "Ann", "times": 2},
    "options": {"priority": 1, "max_attempts": 2},
}


@job(queue="mail")
async def greet(run: Run, name: str, times: int = 1) -> str:
    return f"Hello, {name}" * times


@job(queue="mail")
async def part(run: Run, name: str, times: int = 1) -> None: ...


JOBS = (greet, part)


async def send(
    api: Api, key: str, body: Any = GREETING, path: str = "/jobs/greet", **headers: str
) -> httpx2.Response:
    return await api.post(path, body, Idempotency_Key=key, **headers)


async def waiting(api: Api) -> int:
    return (await api.client.counts("mail"))[State.WAITING]


def is_replayed(answer: httpx2.Response) -> bool:
    return answer.headers.get("idempotent-replayed") == "true"


async def test_the_same_request_gets_the_first_answer_again(idle: Api) -> None:
    first = await send(idle, "k")
    assert (first.status_code, is_replayed(first)) == (202, False)
    in_another_order = {name: dict(reversed(GREETING[name].items())) for name in ("options", "payload")}
    for again in (await send(idle, "k"), await send(idle, "k", in_another_order, "/jobs/mail:greet")):
        assert (again.status_code, is_replayed(again)) == (202, True)
        assert again.json() == first.json()
        assert again.headers["location"] == first.headers["location"]
    assert await waiting(idle) == 1
    assert not is_replayed(await send(idle, "K")), "another key is another request"
    assert await waiting(idle) == 2


async def test_a_key_is_remembered_for_a_day_by_its_hash(idle: Api) -> None:
    await send(idle, "k")
    key = f"rota:idempotency:{sha256(b'k').hexdigest()}"
    assert DAY_MS - 10_000 < await idle.client.redis.pttl(key) <= DAY_MS


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs/part", GREETING),
        ("/jobs/greet", GREETING | {"payload": {"name": "Bob", "times": 2}}),
        ("/jobs/greet", GREETING | {"payload": {"name": "Ann"}}),
        ("/jobs/greet", GREETING | {"options": {"priority": 1}}),
        ("/jobs/greet", {"payload": GREETING["payload"]}),
    ],
)
async def test_a_key_is_good_for_one_request_alone(idle: Api, path: str, body: Any) -> None:
    await send(idle, "k")
    other = await send(idle, "k", body, path)
    assert (other.status_code, other.json()["type"]) == (422, "urn:rota:problem:idempotency-mismatch")
    assert "Ann" not in other.text
    assert await waiting(idle) == 1


async def test_what_the_job_came_to_may_be_forgotten(api: Api) -> None:
    first = await send(api, "k", Prefer="wait=10")
    assert first.json()["result"] == "Hello, AnnHello, Ann"
    again = await send(api, "k", Prefer="wait=10")
    assert (again.status_code, again.json(), is_replayed(again)) == (200, first.json(), True)
    job_id = first.json()["id"]
    assert await api.client.redis.delete(f"arq:result:{job_id}") == 1
    for headers in ({}, {"Prefer": "wait=10"}):
        late = await send(api, "k", **headers)
        assert (late.status_code, late.json()["id"], is_replayed(late)) == (202, job_id, True)
    started = [one async for one in api.client.redis.scan_iter("arq:job:*")]
    assert started == []


async def test_requests_at_the_same_time_make_one_job(idle: Api) -> None:
    answers = await asyncio.gather(*(send(idle, "k") for _ in range(20)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(map(is_replayed, answers)) == [False] + [True] * 19
    assert await waiting(idle) == 1


async def test_an_answer_that_was_lost_is_given_again(idle: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    redis = idle.app.state.desk.client.redis
    execute = redis.execute_command

    async def lose(*command: Any, **options: Any) -> Any:
        await execute(*command, **options)
        raise Away("the connection was lost")

    await send(idle, "warm")  # the script is known from then on
    with monkeypatch.context() as patch:
        patch.setattr(redis, "execute_command", lose)
        assert (await send(idle, "k")).status_code == 503
    again = await send(idle, "k")
    assert (again.status_code, again.json()["created"], is_replayed(again)) == (202, True, True)
    assert await waiting(idle) == 2


async def test_a_request_that_was_refused_may_be_sent_again(idle: Api) -> None:
    named = GREETING | {"options": {"id": "ann"}}
    await idle.post("/jobs/greet", named)
    for _ in range(2):
        taken = await send(idle, "k", named)
        assert (taken.status_code, taken.json()["type"]) == (409, "urn:rota:problem:job-exists")
    await idle.post("/jobs/mail/ann/cancel")
    made = await send(idle, "k", named)
    assert (made.status_code, made.json()["created"], is_replayed(made)) == (202, True, False)


async def test_a_job_that_was_there_is_the_answer_again(idle: Api) -> None:
    named = GREETING | {"options": {"id": "ann", "on_taken": "existing"}}
    first = await idle.post("/jobs/greet", named)
    for replayed in (False, True):
        found = await send(idle, "k", named)
        assert (found.json()["id"], found.json()["created"]) == (first.json()["id"], False)
        assert is_replayed(found) == replayed


@pytest.mark.parametrize("key", [b"", b"a b", b"x" * 256, b"\xc3\xbc", b"a\tb"])
async def test_a_key_that_cannot_be_one_is_refused(idle: Api, key: bytes) -> None:
    answer = await idle.http.post("/jobs/greet", json=GREETING, headers=[(b"Idempotency-Key", key)])
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:rota:problem:invalid-header")
    assert await waiting(idle) == 0


async def test_the_longest_key_is_taken_and_two_are_not(idle: Api) -> None:
    assert (await send(idle, "!" + "~" * 254)).status_code == 202
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert (await idle.http.post("/jobs/greet", json=GREETING, headers=twice)).status_code == 400


async def test_many_jobs_at_once_take_no_key(idle: Api) -> None:
    answer = await send(idle, "k", {"jobs": [{"name": "greet", "payload": {"name": "Ann"}}]}, "/jobs")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:rota:problem:invalid-header")
    assert await waiting(idle) == 0


async def test_a_full_redis_takes_neither_job_nor_key(own_server: RedisServer) -> None:
    async with answering(own_server.url, *JOBS, works=False) as api:
        with own_server.client() as admin:
            admin.config_set("maxmemory", 1)
            full = await send(api, "k")
            assert (full.status_code, full.headers["retry-after"]) == (503, "2")
            admin.config_set("maxmemory", 0)
            assert admin.keys("*idempotency*") == []
        assert not is_replayed(await send(api, "k"))
        assert await waiting(api) == 1
