"""The supervisor: one process, from its settings to its exit status. The jobs here send the signals themselves."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rota import Client
from rota.app.recycling import EXIT_RECYCLE
from rota.app.supervisor import Supervisor
from rota.errors import LifespanFailed
from rota.model.info import JobInfo
from rota.model.job import Job, job
from rota.model.registry import Registry
from rota.model.run import Run
from rota.model.state import State
from rota.process.services import EXIT_FAILED
from rota.server import connections
from rota.server.target import RedisTarget
from rota.settings.load import load
from rota.settings.settings import ConfigError
from rota.worker.worker import QueueWorker
from tests.servers import RedisServer, free_port
from tests.waiting import until

T = TypeVar("T")


@pytest.fixture(autouse=True)
def spared() -> Iterator[None]:
    """Keep signals from ending the tests, whatever goes wrong."""
    before = {signum: signal.signal(signum, lambda *_: None) for signum in (signal.SIGTERM, signal.SIGINT)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


#: The deps of every `send` that has run; a word for every `stop` that has begun; why recycling was asked for.
SENT: list[Any] = []
BEGUN: list[str] = []
RECYCLED: list[str] = []


@job
async def stop(
    run: Run, signals: int = 1, then: float = 0.0, after_sent: int = 0, after_recycled: int = 0
) -> Any:
    """Send SIGTERM to this process, as often as `signals` says, and go on for a while."""
    BEGUN.append(run.id)
    await until(lambda: len(SENT) >= after_sent and len(RECYCLED) >= after_recycled)
    for _ in range(signals):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.05)
    await asyncio.sleep(then)
    return run.deps


@job(queue="email")
async def send(run: Run, after_begun: int = 0) -> Any:
    await until(lambda: len(BEGUN) >= after_begun)
    SENT.append(run.deps)
    return run.deps


class Resources:
    """A lifespan that counts."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.log: list[str] = []
        self._fault = fault

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[str]:
        if self._fault is not None:
            raise self._fault
        self.log.append("opened")
        yield "deps"
        self.log.append("closed")


class Process:
    """A supervisor in this process, with jobs that were enqueued before it started."""

    def __init__(self, url: str, resources: Resources | None = None, **variables: str) -> None:
        self.resources = resources or Resources()
        self._url = url
        self._settings = load({"REDIS_URL": url, "BOOT_TIMEOUT": "0.3", **variables})
        for words in (SENT, BEGUN, RECYCLED):
            words.clear()
        self._by_queue: dict[str, dict[str, Job[Any, Any]]] = {
            "default": {"stop": stop},
            "email": {"send": send},
        }

    def supervisor(self, parent: int | None = None) -> Supervisor:
        registry = Registry((stop, send), "default", self.resources.lifespan, self._by_queue)
        return Supervisor(self._settings, registry, parent)

    def run(self, parent: int | None = None) -> int:
        return self.supervisor(parent).run()

    def enqueue(self, *calls: tuple[Job[Any, Any], dict[str, Any]]) -> list[str]:
        async def put(client: Client) -> list[str]:
            return [(await client.enqueue(job, **arguments)).id for job, arguments in calls]

        return asyncio.run(self._with_client(put))

    def status(self, queue: str, job_id: str) -> JobInfo:
        async def look(client: Client) -> JobInfo:
            return await client.status(queue, job_id)

        return asyncio.run(self._with_client(look))

    async def _with_client(self, act: Callable[[Client], Awaitable[T]]) -> T:
        async with Client(connections.async_client(RedisTarget.from_url(self._url))) as client:
            return await act(client)


@pytest.fixture
def process(server: RedisServer) -> Process:
    return Process(server.url)


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == event]


def test_it_works_on_every_queue_until_a_signal_and_ends_with_0(process: Process) -> None:
    sent, stopped = process.enqueue((send, {}), (stop, {"after_sent": 1}))
    assert process.run() == 0
    assert process.status("default", stopped).state is State.COMPLETED
    assert process.status("email", sent).state is State.COMPLETED


def test_resources_are_opened_once_given_to_all_jobs_and_closed_at_the_end(process: Process) -> None:
    sent, stopped = process.enqueue((send, {}), (stop, {"after_sent": 1}))
    process.run()
    assert process.resources.log == ["opened", "closed"]
    assert process.status("default", stopped).result == "deps"
    assert process.status("email", sent).result == "deps"


def test_it_says_what_it_works_on_and_why_it_ends(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    process.enqueue((stop, {"then": 0.1}))
    with caplog.at_level(logging.INFO, "rota"):
        process.run()
    (ready,) = logged(caplog, "worker.ready")
    assert vars(ready)["queues"] == {"default": 10, "email": 10}
    (draining,) = logged(caplog, "worker.draining")
    assert (vars(draining)["why"], vars(draining)["running"]) == ("SIGTERM", 1)
    (stopped,) = logged(caplog, "worker.stopped")
    assert (vars(stopped)["status"], vars(stopped)["why"]) == (0, "SIGTERM")


def test_a_second_signal_does_not_wait(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    (hurried,) = process.enqueue((stop, {"signals": 2, "then": 60}))
    started_at = time.monotonic()
    assert process.run() == 0
    assert time.monotonic() - started_at < 20
    info = process.status("default", hurried)
    assert (info.state, info.attempts) == (State.WAITING, 0)
    assert logged(caplog, "worker.hurried")


@pytest.fixture
def eager_recycling(server: RedisServer) -> Process:
    return Process(server.url, RECYCLE_AFTER_JOBS="1")


def test_after_enough_jobs_it_drains_and_asks_to_be_started_anew(
    eager_recycling: Process, caplog: pytest.LogCaptureFixture
) -> None:
    eager_recycling.enqueue((send, {}))
    with caplog.at_level(logging.INFO, "rota"):
        assert eager_recycling.run() == EXIT_RECYCLE
    (recycling,) = logged(caplog, "worker.recycling")
    assert (vars(recycling)["reason"], vars(recycling)["jobs"]) == ("jobs", 1)
    assert [vars(one)["why"] for one in logged(caplog, "worker.draining")] == ["recycle:jobs"]


def test_a_signal_to_one_that_drains_to_be_recycled_lets_it_finish_and_end_for_good(
    eager_recycling: Process, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    recycle = Supervisor._recycle

    def noted(supervisor: Supervisor, reason: str) -> None:
        recycle(supervisor, reason)
        RECYCLED.append(reason)

    monkeypatch.setattr(Supervisor, "_recycle", noted)
    # The one is not over before the other runs, which would wait for the next process otherwise.
    _, stopped = eager_recycling.enqueue(
        (send, {"after_begun": 1}), (stop, {"after_recycled": 1, "then": 0.3})
    )
    assert eager_recycling.run() == 0
    assert eager_recycling.status("default", stopped).state is State.COMPLETED
    assert not logged(caplog, "worker.hurried")


def test_a_signal_that_comes_twice_by_way_of_the_parent_counts_once(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    (stopped,) = process.enqueue((stop, {"signals": 2, "then": 0.3}))
    assert process.run(parent=os.getppid()) == 0
    assert process.status("default", stopped).state is State.COMPLETED
    assert not logged(caplog, "worker.hurried")


def test_it_ends_when_its_parent_is_gone(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    nobody = os.getpid()
    with caplog.at_level(logging.INFO, "rota"):
        assert process.run(parent=nobody) == 0
    assert [vars(one)["why"] for one in logged(caplog, "worker.draining")] == ["orphaned"]


def test_a_worker_that_fails_by_a_bug_takes_the_process_down_in_order(
    process: Process, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    main = QueueWorker.main

    async def broken(worker: QueueWorker) -> None:
        if worker.queue_name == "arq:queue:email":
            raise TypeError("a bug of ours")
        await main(worker)

    monkeypatch.setattr(QueueWorker, "main", broken)
    assert process.run() == EXIT_FAILED
    (failed,) = logged(caplog, "worker.failed")
    assert vars(failed)["queue"] == "arq:queue:email"
    assert process.resources.log == ["opened", "closed"]


def test_each_worker_that_fails_is_reported(
    process: Process, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(worker: QueueWorker) -> None:
        raise TypeError(f"a bug of ours in {worker.queue_name}")

    monkeypatch.setattr(QueueWorker, "main", broken)
    with caplog.at_level(logging.INFO, "rota"):
        assert process.run() == EXIT_FAILED
    failed = {vars(record)["queue"] for record in logged(caplog, "worker.failed")}
    assert failed == {"arq:queue:email", "arq:queue:default"}
    (stopped,) = logged(caplog, "worker.stopped")
    assert (vars(stopped)["status"], vars(stopped)["why"]) == (EXIT_FAILED, "failed")


def test_a_process_is_well_while_its_resources_are_opened_and_closed(
    process: Process,
) -> None:
    answers: list[tuple[str, int, str]] = []

    @contextlib.asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        answers.append(health("opens"))
        yield
        answers.append(health("closes"))

    def health(moment: str) -> tuple[str, int, str]:
        reply = supervisor._probes.healthz()
        return moment, reply.status, json.loads(reply.body)["status"]

    process.enqueue((stop, {}))
    process.resources.lifespan = slow  # type: ignore[method-assign, assignment]
    supervisor = process.supervisor()
    assert supervisor.run() == 0
    assert answers == [("opens", 200, "starting"), ("closes", 200, "draining")]


def test_resources_that_cannot_be_opened_end_the_boot(server: RedisServer) -> None:
    with pytest.raises(LifespanFailed, match="no database"):
        Process(server.url, Resources(ConnectionError("no database"))).run()
    assert_nothing_is_left()


def test_a_signal_while_the_server_is_still_sought_ends_it_too() -> None:
    process = Process(f"redis://127.0.0.1:{free_port()}/0", BOOT_TIMEOUT="30")
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    started_at = time.monotonic()
    assert process.run() == 0
    assert time.monotonic() - started_at < 20
    assert process.resources.log == []


def test_without_any_queue_there_is_nothing_to_run(server: RedisServer) -> None:
    settings = load({"REDIS_URL": server.url})
    with pytest.raises(ConfigError, match="'jobs' has no jobs, so there is no queue to work on"):
        Supervisor(settings, Registry((), "default", None, {})).run()


def test_the_health_file_is_touched_while_it_works(server: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "alive"
    process = Process(server.url, HEALTH_FILE=str(file))
    process.enqueue((stop, {"then": 0.6}))
    process.run()
    assert file.exists()


def test_nothing_is_left_behind(process: Process) -> None:
    process.enqueue((stop, {}))
    process.run()
    assert_nothing_is_left()


def assert_nothing_is_left() -> None:
    assert "rota-leases" not in {thread.name for thread in threading.enumerate()}
    loop = asyncio.new_event_loop()
    assert not loop.remove_signal_handler(signal.SIGTERM)
    loop.close()
