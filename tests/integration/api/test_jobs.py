"""Jobs over HTTP: enqueued, seen, waited for, cancelled, brought back; every odd body is refused with a problem."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from rota import EnqueueIncomplete, Run, State, job
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer


class Address(BaseModel):
    street: str
    since: date


@job(queue="mail")
async def greet(run: Run, name: str, times: int = 1) -> str:
    return f"Hello, {name}" * times


@job
async def move(run: Run, to: Address, day: date) -> str:
    return f"{to.street} {day:%d.%m.%Y}"


@job(max_attempts=1)
async def fail(run: Run) -> None:
    raise ValueError("no")


@job
async def wait(run: Run) -> None:
    await asyncio.sleep(60)


JOBS = (greet, move, fail, wait)


async def over(api: Api, path: str) -> dict[str, Any]:
    """Wait until a job is over, and return it."""
    queue, job_id = path.split("/")[2:]
    await api.client.wait(queue, job_id, 10)
    found: dict[str, Any] = (await api.http.get(path)).json()
    return found


async def test_a_job_is_enqueued_and_found_at_its_path(api: Api) -> None:
    answer = await api.post("/jobs/mail:greet", {"payload": {"name": "Ann"}})
    assert answer.status_code == 202
    body = answer.json()
    assert (body["queue"], body["name"], body["created"]) == ("mail", "mail:greet", True)
    assert answer.headers["location"] == body["links"]["self"] == f"/jobs/mail/{body['id']}"
    found = await over(api, body["links"]["self"])
    assert (found["state"], found["status"], found["result"]) == ("completed", "COMPLETED", "Hello, Ann")
    assert "payload" not in found
    more = (await api.http.get(body["links"]["self"], params={"include": "payload,attempts"})).json()
    assert (more["payload"], more["attempts"]) == ({"name": "Ann"}, [])


async def test_a_request_may_wait_for_the_result(api: Api) -> None:
    answer = await api.post("/jobs/greet", {"payload": {"name": "Ann"}}, Prefer="wait=10")
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=10")
    assert answer.json()["result"] == "Hello, Ann"
    died = await api.post("/jobs/fail", {}, Prefer="respond-async, wait=10")
    assert (died.json()["status"], died.json()["error"]) == (
        "FAILED",
        {"type": "ValueError", "message": "no"},
    )
    still = await api.post("/jobs/wait", {}, Prefer="wait=0")
    assert still.status_code == 202


async def test_values_that_json_has_no_form_for_arrive_as_the_job_s_types(api: Api) -> None:
    payload = {"to": {"street": "Mill Lane", "since": "2020-02-29"}, "day": "2030-01-31"}
    answer = await api.post("/jobs/move", {"payload": payload}, Prefer="wait=10")
    assert answer.json()["result"] == "Mill Lane 31.01.2030"


async def test_options_are_those_of_the_client(idle: Api) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    options = {"run_at": at.isoformat(), "id": "a", "priority": 7, "queue": "slow", "keep_result": 5}
    answer = await idle.post("/jobs/greet", {"payload": {"name": "Ann"}, "options": options})
    assert answer.json()["id"] == "slow:a"
    info = await idle.client.status("slow", "a")
    assert info.state is State.DELAYED
    assert info.due_at is not None
    assert abs(info.due_at - at) < timedelta(milliseconds=2)
    taken = await idle.post("/jobs/greet", {"payload": {"name": "Ann"}, "options": options})
    assert (taken.status_code, taken.json()["type"]) == (409, "urn:rota:problem:job-exists")
    same = options | {"on_taken": "existing"}
    again = await idle.post("/jobs/greet", {"payload": {"name": "Ann"}, "options": same})
    assert (again.status_code, again.json()["created"]) == (202, False)


async def test_many_jobs_are_enqueued_together_or_not_at_all(idle: Api) -> None:
    good = {"name": "greet", "payload": {"name": "Ann"}}
    answer = await idle.post("/jobs", {"jobs": [good, good | {"options": {"delay": 60}}, {"name": "fail"}]})
    assert answer.status_code == 202
    assert [one["queue"] for one in answer.json()["jobs"]] == ["mail", "mail", "default"]
    wrong = {"jobs": [good, {"name": "gret"}, {"name": "greet", "payload": {"name": 1}}, 5, {"payload": {}}]}
    refused = await idle.post("/jobs", wrong)
    assert refused.status_code == 422
    places = [error["pointer"] for error in refused.json()["errors"]]
    assert places == ["/jobs/1", "/jobs/2/payload/name", "/jobs/3", "/jobs/4"]
    assert await idle.client.counts("mail") == {
        State.WAITING: 1, State.DELAYED: 1, State.ACTIVE: 0, State.DEAD: 0,
    }  # fmt: skip


@pytest.mark.parametrize("keys", [False, True])
async def test_requests_at_the_same_time_go_to_redis_together(idle: Api, keys: bool) -> None:
    def named(name: str) -> dict[str, str]:
        return {"Idempotency_Key": name} if keys else {}

    def body(name: str) -> dict[str, Any]:
        return {"payload": {"name": name}, "options": {"id": "taken" if name in ("3", "7") else f"id-{name}"}}

    async def calls() -> int:
        return int((await idle.client.redis.info("commandstats"))["cmdstat_evalsha"]["calls"])

    assert (await idle.post("/jobs/mail:greet", body("first"), **named("first"))).status_code == 202
    before = await calls()
    posts = (idle.post("/jobs/mail:greet", body(name), **named(name)) for name in map(str, range(30)))
    answers = await asyncio.gather(*posts)
    assert [number for number, one in enumerate(answers) if one.status_code == 409] in ([3], [7])
    assert [one.json()["id"] for one in answers if one.status_code == 202][:2] == ["mail:id-0", "mail:id-1"]
    assert await calls() - before < 10
    assert (await idle.client.counts("mail"))[State.WAITING] == 30


async def test_of_many_jobs_those_with_free_ids_are_enqueued_where_another_is_taken(idle: Api) -> None:
    taken = {"name": "fail", "options": {"id": "a", "delay": 60}}
    assert (await idle.post("/jobs", {"jobs": [taken]})).status_code == 202
    answer = await idle.post("/jobs", {"jobs": [taken, {"name": "fail"}]})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:rota:problem:job-exists")
    assert "default:a" in answer.json()["detail"]
    assert "whose ids and unique keys were free are enqueued" in answer.json()["detail"]
    assert (await idle.client.counts("default"))[State.WAITING] == 1


async def test_jobs_that_were_enqueued_before_redis_went_away_are_counted(
    idle: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise EnqueueIncomplete(["a", "b"], 5, "redis://127.0.0.1:1 is not listening")

    monkeypatch.setattr(idle.app.state.desk.client, "enqueue_many", broken)
    answer = await idle.post("/jobs", {"jobs": [{"name": "fail"}] * 5})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["detail"].startswith("2 of 5 jobs were enqueued")
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/jobs/gret", {}, 404, "no-such-name"),
        ("/jobs/greet", {"payload": {"nam": "x"}}, 422, "invalid-payload"),
        ("/jobs/greet", {"payload": ["Ann"]}, 422, "invalid-payload"),
        ("/jobs/greet", {"payload": {"name": "x"}, "delay": 5}, 422, "invalid-body"),
        ("/jobs/greet", {"payload": {"name": "x"}, "options": {"delay": -1}}, 422, "invalid-payload"),
        ("/jobs/greet", {"payload": {"name": "x"}, "options": {"run_at": "2030-01-01T00:00"}}, 422, "invalid-payload"),
        ("/jobs/greet", {"payload": {"name": "x"}, "options": {"delay": 1, "run_at": "2030-01-01T00:00Z"}}, 422,
         "invalid-payload"),
        ("/jobs/greet", {"payload": {"name": "x"}, "options": {"queue": "No Queue"}}, 422, "invalid-payload"),
        ("/jobs/greet", {"payload": {"name": "x" * 300_000}}, 413, "too-large"),
        ("/jobs/greet", [], 422, "invalid-body"),
        ("/jobs/greet", b"{", 400, "invalid-json"),
        ("/jobs/greet", b'{"payload": {"name": NaN}}', 400, "invalid-json"),
        ("/jobs/greet", b'{"payload": {"name": "\\ud800"}}', 400, "invalid-json"),
        ("/jobs/greet", '{"payload": {"name": "x"}}'.encode("utf-16"), 400, "invalid-json"),
        ("/jobs/greet", b'{"payload": {"name": "x", "times": 1e999}}', 422, "invalid-body"),
        ("/jobs/greet", b'{"payload": {"name": ' + b"[" * 70 + b"]" * 70 + b"}}", 422, "invalid-body"),
        ("/jobs/greet", b'{"payload": {"name": ' + b"[" * 100_000, 400, "invalid-json"),
        ("/jobs/greet", b'{"payload": {"name": "x", "times": ' + b"9" * 5000 + b"}}", 400, "invalid-json"),
        ("/jobs", {"jobs": []}, 422, "invalid-body"),
        ("/jobs", {"jobs": [{}] * 1001}, 422, "invalid-body"),
        ("/jobs", {"job": []}, 422, "invalid-body"),
        ("/nothing", {}, 404, "not-found"),
        ("/healthz", {}, 405, "not-allowed"),
    ],
)  # fmt: skip
async def test_what_cannot_be_enqueued_is_refused_with_a_problem(
    idle: Api, path: str, body: Any, status: int, kind: str
) -> None:
    answer = await idle.post(path, body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == (f"urn:rota:problem:{kind}", status)
    assert problem["instance"] == path
    assert problem["detail"]
    assert not any((await idle.client.counts("mail")).values())


async def test_a_body_that_is_no_json_by_its_type_is_refused(idle: Api) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"):
        answer = await idle.http.post("/jobs/fail", content=b"{}", headers={"Content-Type": kind})
        assert answer.status_code == 415, kind
    kind = 'application/json; charset="utf-8"; profile=x'
    assert (
        await idle.http.post("/jobs/fail", content=b"{}", headers={"Content-Type": kind})
    ).status_code == 202


async def test_no_value_of_a_payload_is_repeated_in_a_refusal(idle: Api) -> None:
    secret = "sk-very-secret"
    for payload in ({"name": {"x": secret}}, {"name": "x", "times": secret}, {"name": "x", secret: 1}):
        answer = await idle.post("/jobs/greet", {"payload": payload})
        assert answer.status_code == 422
        assert secret not in answer.text or secret in payload


async def test_a_job_that_waits_is_cancelled_and_run_now(idle: Api) -> None:
    path = (await idle.post("/jobs/fail", {"options": {"delay": 600}})).json()["links"]["self"]
    assert (await idle.post(f"{path}/run-now")).json() == {"answer": "rescheduled"}
    assert (await idle.http.get(path)).json()["state"] == "waiting"
    assert (await idle.http.get(f"{path}/result")).status_code == 202
    cancelled = await idle.post(f"{path}/cancel")
    assert (cancelled.status_code, cancelled.json()) == (200, {"answer": "cancelled"})
    again = await idle.post(f"{path}/cancel")
    assert (again.status_code, again.json()["type"]) == (409, "urn:rota:problem:wrong-state")
    assert (await idle.http.get(f"{path}/result")).json()["status"] == "CANCELLED"
    assert (await idle.post(f"{path}/run-now")).status_code == 409


async def test_a_running_job_is_asked_to_stop(api: Api) -> None:
    path = (await api.post("/jobs/wait", {})).json()["links"]["self"]
    while (await api.http.get(path)).json()["state"] != "active":
        await asyncio.sleep(0.02)
    assert (await api.post(f"{path}/cancel")).status_code == 202
    assert (await over(api, path))["state"] == "cancelled"


async def test_a_dead_job_is_brought_back_or_deleted(api: Api) -> None:
    path = (await api.post("/jobs/fail", {})).json()["links"]["self"]
    assert (await over(api, path))["state"] == "dead"
    back = await api.post(f"{path}/retry")
    assert (back.status_code, back.json()["created"]) == (202, True)
    assert (await over(api, path))["state"] == "dead"
    assert (await api.http.delete(path)).status_code == 204
    assert (await api.post(f"{path}/retry")).status_code == 409


@pytest.mark.parametrize("action", ["", "/result", "/cancel", "/retry", "/run-now"])
async def test_an_id_of_no_job_is_404(idle: Api, action: str) -> None:
    send = idle.http.get if action in ("", "/result") else idle.post
    for place in ("/jobs/mail/none", "/jobs/No Queue/none"):
        answer = await send(f"{place}{action}")
        assert answer.status_code == 404, answer.text
        assert answer.json()["status"] == 404


async def test_queues_are_seen_and_paused(idle: Api) -> None:
    await idle.post("/jobs/greet", {"payload": {"name": "Ann"}})
    listed = (await idle.http.get("/queues")).json()["items"]
    assert [one["name"] for one in listed] == ["default", "mail"]
    assert listed[1]["counts"] == {"waiting": 1, "delayed": 0, "active": 0, "dead": 0}
    assert (await idle.post("/queues/mail/pause")).json()["paused_since"] is not None
    assert (await idle.http.get("/queues/mail")).json()["paused_since"] is not None
    assert (await idle.post("/queues/mail/resume")).json()["paused_since"] is None
    assert (await idle.post("/queues/No/pause")).status_code == 404


async def test_redis_away_is_503_and_its_address_is_not_told(own_server: RedisServer) -> None:
    async with answering(own_server.url, *JOBS, works=False) as api:
        own_server.stop()
        for answer in (
            await api.post("/jobs/fail", {}),
            await api.http.get("/jobs/mail/x"),
            await api.http.get("/readyz"),
            await api.post("/queues/mail/pause"),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert str(own_server.port) not in answer.text
        assert (await api.http.get("/healthz")).status_code == 200
        own_server.start()
        assert (await api.http.get("/readyz")).status_code == 200
