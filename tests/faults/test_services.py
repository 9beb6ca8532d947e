"""A bug in a service: it is logged and survived, and one that stays ends the process in order, by name."""

import json
import signal
from pathlib import Path

import pytest

from rota import Client, State
from rota.process.services import EXIT_FAILED, FAILURES
from tests.faults.fleet import Fleet, records
from tests.waiting import until


@pytest.mark.parametrize(
    "service", ["leases", "loop-beat", "heartbeat", "recycling", "tidy", "parent", "leader", "housekeeper"]
)
async def test_a_service_that_fails_is_restarted_and_one_that_goes_on_failing_ends_the_process(
    fleet: Fleet, client: Client, tmp_path: Path, service: str
) -> None:
    stays = tmp_path / "stays"
    # Without renewals, jobs have to be handed back at once; in all other cases what runs may finish.
    drain_timeout = 60 if service == "leases" else 0.2
    worker = fleet.spawn(
        jobs_package="tests.faults.jobs_with_bugs",
        bug_in=service,
        bug_stays=stays,
        recycle_after_memory="1TiB",
        drain_timeout=drain_timeout,
        leader_lease=1,
    )
    await until(lambda: worker.says("service.failed"), f"it fails: {worker.log}")
    # Memory is looked at only once a job has ended.
    first = await client.enqueue_by_name("work", {"seconds": 0})
    await first.result(20)
    handle = await client.enqueue_by_name("work", {"seconds": 60})
    await until(lambda: fleet.ledger.running(worker.pid), "a job runs nevertheless")
    assert len(worker.events("service.failed")) == 1, "it works after its first failure"
    stays.touch()
    assert await worker.ended() == EXIT_FAILED

    failed = worker.events("service.failed")
    assert [(line["service"], line["failures"]) for line in failed] == [
        (service, number) for number in range(1, FAILURES)
    ]
    assert all("a bug of ours" in line["exception"] and line["again_in"] > 0 for line in failed)
    (given_up,) = worker.events("service.given_up")
    assert (given_up["service"], given_up["error"]) == (service, "TypeError: a bug of ours")
    assert "Traceback" in given_up["exception"]
    last = json.loads(worker.log.read_text("utf-8").splitlines()[-1])
    assert (last["event"], last["status"], last["why"]) == (
        "worker.stopped",
        EXIT_FAILED,
        f"service:{service}",
    )
    info = await handle.status()
    assert (info.state, info.attempts) == (State.WAITING, 0)
    assert await records(client, "interrupted") == {handle.id: 1}
    assert not await records(client, "lost")


@pytest.mark.parametrize(("process", "service"), [("exporter", "watch"), ("autoscaler", "autoscaler")])
async def test_so_it_is_in_the_processes_that_run_no_jobs(
    fleet: Fleet, tmp_path: Path, process: str, service: str
) -> None:
    stays = tmp_path / "stays"
    ended = fleet.spawn(
        process,
        jobs_package="tests.faults.jobs_with_bugs",
        bug_in=service,
        bug_stays=stays,
        autoscaler_dry_run="true",
        autoscaler_interval="0.5s",
    )
    await until(lambda: ended.says("service.failed"), f"it fails: {ended.log}")
    stays.touch()
    assert await ended.ended() == EXIT_FAILED
    (given_up,) = ended.events("service.given_up")
    assert (given_up["service"], given_up["error"]) == (service, "TypeError: a bug of ours")
    assert len(ended.events("service.failed")) == FAILURES - 1


async def test_a_service_that_ignores_its_cancellation_does_not_hold_up_the_end(
    fleet: Fleet, client: Client
) -> None:
    worker = fleet.spawn(jobs_package="tests.faults.jobs_with_bugs", bug_in="deaf", drain_timeout=60)
    await until(lambda: worker.says("worker.ready"), f"it is ready: {worker.log}")
    handle = await client.enqueue_by_name("work", {"seconds": 0.5})
    await until(lambda: fleet.ledger.running(worker.pid), "a job runs")
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    assert [line["service"] for line in worker.events("service.stuck")] == ["heartbeat"]
    assert (await handle.status()).state is State.COMPLETED
