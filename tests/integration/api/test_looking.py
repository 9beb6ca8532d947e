"""What else is seen over HTTP: schedules, workers, names of jobs, failures, the log and the history."""

from collections.abc import AsyncIterator

import pytest

from rota import Run, every, job
from rota.app.declaring import Declaring, release_of, schedules_of
from rota.services.scheduler import Scheduler
from rota.settings.load import load
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer
from tests.workers import Term, registry_of


@every("0 4 * * *", tz="Europe/Berlin")
@job
async def clean_up(run: Run) -> None:
    """Remove the files that nobody has opened for a year."""
    run.log.warning("cleaned", extra={"files": 3})


@job(max_attempts=1)
async def fail(run: Run, number: int) -> None:
    raise ValueError(f"no number {number}")


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with answering(server.url, clean_up, fail) as found:
        yield found


async def test_schedules_are_seen_run_and_paused(api: Api, server: RedisServer) -> None:
    settings = load({"REDIS_URL": server.url})
    await Declaring(api.client.redis, settings, release_of(settings, registry_of([clean_up]))).declare()
    await Scheduler(schedules_of(settings), Term(), lambda: None).look(api.client.redis)
    assert [one["name"] for one in (await api.http.get("/schedules")).json()["items"]] == ["default:clean_up"]
    path = "/schedules/default:clean_up"
    assert (await api.http.get(path)).json()["job"] == "default:clean_up"
    ran = await api.http.post(f"{path}/run")
    assert (ran.status_code, ran.json()["name"]) == (202, "default:clean_up")
    await api.client.wait("default", ran.json()["id"], 10)
    assert (await api.http.post(f"{path}/pause")).json()["paused_since"] is not None
    assert (await api.http.post(f"{path}/resume")).json()["paused_since"] is None
    for send in (api.http.get, api.http.post):
        assert (await send("/schedules/none" + ("" if send == api.http.get else "/run"))).status_code == 404


async def test_the_log_of_a_job_is_read_from_a_line_on(api: Api) -> None:
    done = await api.post("/jobs/clean_up", {}, Prefer="wait=10")
    path = f"/jobs/default/{done.json()['id']}/log"
    (line,) = (await api.http.get(path)).json()["items"]
    assert (line["message"], line["fields"], line["attempt"]) == ("cleaned", {"files": 3}, 1)
    assert (await api.http.get(path, params={"after": line["position"]})).json()["items"] == []
    assert (await api.http.get(path, params={"after": "x"})).status_code == 422
    assert (await api.http.get("/jobs/default/none/log")).status_code == 404


async def test_failures_are_grouped_by_cause(api: Api) -> None:
    for number in range(3):
        await api.post("/jobs/fail", {"payload": {"number": number}}, Prefer="wait=10")
    (group,) = (await api.http.get("/failures")).json()["items"]
    assert (group["queue"], group["count"], group["tasks"]) == ("default", 3, ["fail"])
    assert group["error"]["type"] == "ValueError"
    assert (await api.http.get("/failures", params={"queue": "other"})).json()["items"] == []
    assert (await api.http.get(f"/failures/{group['cause']}")).json()["items"] == [group]
    assert (await api.http.get("/failures/none")).status_code == 404
    assert (await api.http.get("/failures", params={"queue": "No"})).status_code == 422


async def test_names_of_jobs_have_their_policy_and_schema(api: Api) -> None:
    items = (await api.http.get("/kinds")).json()["items"]
    assert [one["name"] for one in items] == ["default:clean_up", "default:fail"]
    assert items[0]["schedules"] == ["default:clean_up"]
    assert items[0]["description"] == "Remove the files that nobody has opened for a year."
    found = (await api.http.get("/kinds/fail")).json()
    assert (found["max_attempts"], found["payload"]["required"]) == (1, ["number"])
    assert (await api.http.get("/kinds/none")).status_code == 404


async def test_the_history_of_a_queue_has_points_and_percentiles(api: Api) -> None:
    found = (await api.http.get("/queues/default/history", params={"period": "2h", "step": "1h"})).json()
    assert (found["step"], len(found["points"]) >= 2, found["marks"]) == (3600, True, [])
    assert found["total"]["wait"] == {"p50": None, "p95": None, "p99": None}
    for wrong in ({"period": "soon"}, {"period": "100d"}, {"step": "7s"}):
        assert (await api.http.get("/queues/default/history", params=wrong)).status_code == 422


async def test_without_heartbeats_there_are_no_workers(api: Api) -> None:
    assert (await api.http.get("/workers")).json() == {"items": []}
