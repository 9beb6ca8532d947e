"""What a worker process answers over HTTP, and that neither its jobs, its Redis nor other clients keep it from it."""

import asyncio
import contextlib
import json
import signal
import socket
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families as parsed

from rota import Client
from rota.telemetry.metrics.series import SERIES
from tests.faults.fleet import Fleet, sized
from tests.faults.jobs_for_faults.on_loop import block, work
from tests.processes import Worker
from tests.servers import RedisServer
from tests.waiting import until


@dataclass
class Answers:
    """A worker's endpoint, asked from outside and in a thread: the test's own loop goes on."""

    port: int

    @classmethod
    def of(cls, worker: Worker) -> "Answers":
        (ready,) = worker.events("endpoint.ready")
        return cls(ready["port"])

    async def get(self, path: str) -> tuple[int, str]:
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()

    async def status(self, path: str) -> int:
        return (await self.get(path))[0]

    async def says(self, path: str) -> str:
        status: str = json.loads((await self.get(path))[1])["status"]
        return status

    async def families(self) -> dict[str, Metric]:
        _, page = await self.get("/metrics")
        return {family.name: family for family in parsed(page)}

    async def value(self, name: str, **labels: str) -> float:
        """Return the sum of a series' samples with these labels."""
        return sum(
            sample.value
            for family in (await self.families()).values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def becomes(self, path: str, status: int, seconds: float = 20.0) -> None:
        async def so() -> bool:
            return await self.status(path) == status

        await until(so, f"{path} becomes {status}", seconds)


async def answers_of(fleet: Fleet, **settings: Any) -> tuple[Worker, Answers]:
    (worker,) = await fleet.start(**settings)
    answers = Answers.of(worker)
    await answers.becomes("/readyz", 200)
    return worker, answers


# What a scrape returns


async def test_a_scrape_has_every_series_of_a_process_with_its_kind_and_labels_and_no_other(
    fleet: Fleet, client: Client
) -> None:
    worker, answers = await answers_of(fleet)
    await client.enqueue(work, seconds=0)
    await fleet.all_ended([entry.id for entry in fleet.ledger.entries("start")])

    async def counted() -> bool:
        return await answers.value("arq_jobs_finished_total", outcome="completed") == 1

    await until(counted, "the job is counted")
    families = await answers.families()
    expected = {series.name.removesuffix("_total"): series for series in SERIES if series.scope == "process"}
    ours = {name for name in families if not name.startswith("process_")}
    assert ours == set(expected)
    assert {"process_resident_memory_bytes", "process_cpu_seconds"} <= set(families)
    for name, series in expected.items():
        family = families[name]
        assert family.type == {"info": "gauge"}.get(series.type, series.type)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(series.labels), sample
    # Whatever is counted by the client or by chance aside, each has a value from the first scrape on.
    without = {name for name, family in families.items() if not family.samples}
    # The outbox has figures where a process leads and has a database.
    assert without <= {"arq_jobs_enqueued", "arq_outbox_waiting", "arq_outbox_oldest_seconds"}
    assert worker.alive


async def test_the_numbers_are_those_of_what_ran(fleet: Fleet, client: Client) -> None:
    _, answers = await answers_of(fleet, queue_concurrency=4)
    handles = await client.enqueue_many(work.call(seconds=0.5) for _ in range(8))

    async def busy() -> bool:
        return await answers.value("arq_worker_slots_busy", queue="default") == 4

    await until(busy, "all slots are busy")
    for handle in handles:
        await handle.result(20)

    async def over() -> bool:
        return await answers.value("arq_jobs_finished_total", outcome="completed") == 8

    await until(over, "all are counted")
    assert await answers.value("arq_jobs_started_total", queue="default", task="work") == 8
    assert await answers.value("arq_jobs_finished_total") == 8
    assert await answers.value("arq_worker_slots", queue="default") == 4
    assert await answers.value("arq_worker_slots_busy") == 0
    assert 4 <= await answers.value("arq_worker_slot_seconds_total", queue="default") < 8
    assert 4 <= await answers.value("arq_job_duration_seconds_sum", task="work") < 8
    assert await answers.value("arq_job_wait_seconds_count", task="work") == 8
    assert await answers.value("arq_job_payload_bytes_count", queue="default") == 8


async def test_made_up_names_and_broken_payloads_are_rejected_and_make_no_series(
    fleet: Fleet, client: Client
) -> None:
    _, answers = await answers_of(fleet, unknown_delay=0.1, unknown_grace=0.3)

    async def names() -> set[tuple[str, str]]:
        return {
            (sample.labels["queue"], sample.labels["task"])
            for family in (await answers.families()).values()
            for sample in family.samples
            if "task" in sample.labels
        }

    before = await names()
    for number in range(100):
        await client.enqueue_by_name(f"made-up-{number}", {"seconds": 0})
    await client.enqueue_by_name("work", {"seconds": "never"})

    async def given_up() -> bool:
        return await answers.value("arq_jobs_finished_total", outcome="dead") == 101

    await until(given_up, "all are dead")
    assert await answers.value("arq_jobs_rejected_total", reason="invalid") == 1
    assert await answers.value("arq_jobs_rejected_total", reason="unknown") >= 200
    assert await names() - before == {("default", "other")}


async def test_a_lost_job_is_recovered_by_the_worker_that_claims_it_again(
    fleet: Fleet, client: Client
) -> None:
    (killed,) = await fleet.start(lease=1)
    handle = await client.enqueue(work, seconds=3)
    await until(lambda: fleet.ledger.entries("start"), "it runs")
    killed.kill()
    survivor, answers = await answers_of(fleet, lease=1)
    await handle.result(20)
    assert await answers.value("arq_jobs_recovered_total", queue="default") == 1
    (told,) = survivor.events("job.recovered")
    assert (told["job"], told["job_id"], told["lost"]) == ("default:work", handle.id, 1)
    assert f"-{killed.pid}-" in told["worker"]
    (started,) = survivor.events("job.started")
    assert started["waited"] < 1, "what the lost attempt took is no wait"


async def test_a_loss_is_counted_in_one_process_though_the_job_goes_on_in_another(
    fleet: Fleet, client: Client
) -> None:
    (killed,) = await fleet.start(lease=1)
    handle = await client.enqueue(work, seconds=4)
    await until(lambda: fleet.ledger.entries("start"), "it runs")
    killed.kill()
    first, answers = await answers_of(fleet, lease=1, drain_timeout=0.1)
    await until(lambda: len(fleet.ledger.entries("start")) == 2, "it runs again")
    recovered = await answers.value("arq_jobs_recovered_total")
    first.send(signal.SIGTERM)
    assert await first.ended() == 0
    _, answers = await answers_of(fleet, lease=1)
    await handle.result(20)
    assert len(fleet.ledger.entries("start")) == 3
    assert recovered + await answers.value("arq_jobs_recovered_total") == 1


async def test_losses_are_zero_for_every_queue_from_the_first_scrape_on(fleet: Fleet) -> None:
    _, answers = await answers_of(fleet)
    (family,) = [
        family for name, family in (await answers.families()).items() if name == "arq_jobs_recovered"
    ]
    found = {
        sample.labels["queue"]: sample.value for sample in family.samples if sample.name.endswith("_total")
    }
    assert found == dict.fromkeys(("default", "rated", "slotted", "mixed"), 0)


# A blocked loop


async def test_a_blocked_loop_is_scraped_all_the_same_and_is_healthy_only_before_and_after(
    fleet: Fleet, client: Client
) -> None:
    worker, answers = await answers_of(fleet, loop_block_report=2)
    assert await answers.status("/healthz") == 200
    await client.enqueue(block, seconds=sized(14, 5))
    await until(lambda: fleet.ledger.entries("start"), "it blocks")
    began = time.monotonic()
    assert await answers.value("arq_worker_slots_busy", queue="default") == 1
    await answers.becomes("/healthz", 503, 4)
    assert await answers.status("/readyz") == 503
    assert await answers.value("arq_worker_event_loop_lag_seconds") > 1
    assert await answers.status("/metrics") == 200
    assert time.monotonic() - began < 5, "the loop is blocked still"
    await answers.becomes("/healthz", 200)
    await answers.becomes("/readyz", 200)
    (report,) = worker.events("loop.blocked")
    assert "time.sleep(seconds)" in report["stack"]
    await until(lambda: worker.says("loop.free"), "the thread that watches has looked again")
    (free,) = worker.events("loop.free")
    assert free["blocked"] >= sized(14, 5) - 0.6


# Readiness


async def test_a_worker_is_not_ready_while_its_redis_stands_still_and_is_healthy_nevertheless(
    own_fleet: Fleet, own_server: RedisServer
) -> None:
    _, answers = await answers_of(own_fleet)
    with own_server.frozen():
        await answers.becomes("/readyz", 503)
        assert await answers.says("/readyz") == "Redis does not answer"
        assert await answers.status("/healthz") == 200
        assert await answers.status("/metrics") == 200
    await answers.becomes("/readyz", 200)
    assert await answers.value("arq_redis_reconnects_total") == 1, "four queues saw one outage"


async def test_a_worker_is_not_ready_while_its_redis_is_away_also_when_long_jobs_have_all_slots(
    own_fleet: Fleet, own_client: Client, own_server: RedisServer
) -> None:
    _, answers = await answers_of(own_fleet, queue_concurrency=1, worker_queues="default")
    await own_client.enqueue(work, seconds=sized(60, 20))
    await until(lambda: own_fleet.ledger.entries("start"), "it runs")
    own_server.stop()
    await answers.becomes("/readyz", 503)
    own_server.start()
    await answers.becomes("/readyz", 200, 10)
    assert not own_fleet.ledger.entries("end")


async def test_a_paused_queue_is_ready_and_a_draining_worker_is_not(fleet: Fleet, client: Client) -> None:
    worker, answers = await answers_of(fleet)
    await client.pause("default")
    await asyncio.sleep(0.5)  # a worker that took the pause for a fault would say so by now
    assert await answers.status("/readyz") == 200
    await client.resume("default")
    await client.enqueue(work, seconds=2)
    await until(lambda: fleet.ledger.entries("start"), "it runs")
    worker.send(signal.SIGTERM)
    await answers.becomes("/readyz", 503, 2)
    assert await answers.says("/readyz") == "draining"
    assert await answers.status("/healthz") == 200, "a drain is no reason to kill it"
    assert await answers.value("arq_worker_draining") == 1
    assert await worker.ended() == 0
    assert fleet.ledger.entries("end")


async def test_a_worker_that_waits_for_its_redis_is_alive_and_not_ready(
    own_fleet: Fleet, own_server: RedisServer
) -> None:
    own_server.stop()
    worker = own_fleet.spawn(boot_timeout=20)
    await until(lambda: worker.says("endpoint.ready"), "it answers")
    answers = Answers.of(worker)
    assert await answers.status("/healthz") == 200
    assert await answers.says("/readyz") == "starting"
    own_server.start()
    await answers.becomes("/readyz", 200)


# Clients


async def test_clients_that_send_nothing_delay_neither_a_scrape_nor_a_job(
    fleet: Fleet, client: Client
) -> None:
    _, answers = await answers_of(fleet)
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", answers.port)))
            silent.sendall(b"GET /metrics HTTP/1.1\r\n")
        began = time.monotonic()
        assert await answers.status("/metrics") == 200
        handle = await client.enqueue(work, seconds=0)
        await handle.result(5)
        assert time.monotonic() - began < 3


async def test_scrapes_under_load_see_counters_that_only_rise_and_add_up(
    fleet: Fleet, client: Client
) -> None:
    _, answers = await answers_of(fleet, queue_concurrency=20)
    number = round(sized(5000, 1000))
    await client.enqueue_many(work.call(seconds=0) for _ in range(number))
    seen: list[tuple[float, float]] = []

    async def done() -> bool:
        families = await answers.families()
        finished = sum(sample.value for sample in families["arq_jobs_finished"].samples)
        started = sum(sample.value for sample in families["arq_jobs_started"].samples)
        seen.append((started, finished))
        return finished >= number

    await until(done, "all have run", 60)
    assert seen == sorted(seen)
    assert all(started - finished <= 20 + 200 for started, finished in seen)
    assert seen[-1] == (number, number)


async def test_two_workers_with_the_same_settings_have_a_port_each_and_the_log_says_which(
    fleet: Fleet,
) -> None:
    (first,) = await fleet.start()
    port = Answers.of(first).port
    (second,) = await fleet.start(metrics_port=port)
    (taken,) = second.events("endpoint.port_taken")
    assert taken["asked"] == port
    assert taken["port"] == Answers.of(second).port != port
    for worker in (first, second):
        assert await Answers.of(worker).status("/healthz") == 200


async def test_an_endpoint_that_is_off_listens_nowhere(fleet: Fleet, client: Client) -> None:
    (worker,) = await fleet.start(metrics_port="off")
    assert not worker.says("endpoint.ready")
    handle = await client.enqueue(work, seconds=0)
    await handle.result(5)
