"""The blocking client against a real server and a real worker: in threads, forked processes, and at the end of one."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

import rota
from rota import (
    InvalidPayload,
    JobExists,
    JobFailed,
    ResultTimeout,
    Run,
    ServerError,
    State,
    SyncClient,
    connect_sync,
    job,
    pipeline,
)
from rota.settings.load import load
from tests.servers import RedisServer
from tests.waiting import wait_until
from tests.workers import serving

_checked_in: list[threading.Thread] = []


def _noted(value: int) -> int:
    _checked_in.append(threading.current_thread())
    return value


@job
async def add(run: Run, a: int, b: int = 1) -> int:
    return a + b


@job
async def checked(run: Run, a: Annotated[int, AfterValidator(_noted)]) -> int:
    return a


@job(max_attempts=1)
async def fail(run: Run) -> None:
    raise ValueError("no")


@job
async def tenant(run: Run) -> str:
    return run.headers["tenant"]


@job(queue="slow")
async def sleep(run: Run, seconds: float) -> None:
    await asyncio.sleep(seconds)


twice = pipeline(add, add)


def client_of(server: RedisServer, *, timeout: float = 10.0) -> SyncClient:
    return connect_sync(load({"REDIS_URL": server.url}), timeout=timeout)


async def test_it_does_what_the_other_client_does(server: RedisServer) -> None:
    def work() -> None:
        with client_of(server) as client:
            handle = client.enqueue(add, 2, b=3)
            assert handle.result(timeout=20) == 5
            assert handle.status().state is State.COMPLETED
            many = client.enqueue_many(add.call(number) for number in range(3))
            assert [one.result(timeout=20) for one in many] == [1, 2, 3]
            assert client.enqueue_by_name("add", {"a": 4}).result(timeout=20) == 5
            run = client.enqueue(twice, 1)
            assert run.result(timeout=20) == 3
            assert twice.handle(client, run.id).status().state is State.COMPLETED
            batch = client.batch([add.call(1), fail.call()], id="b")
            assert batch.wait(timeout=20).dead == 1
            assert client.find_batch("b").status().completed == 1
            with pytest.raises(JobFailed, match="ValueError: no"):
                batch.handles[1].result(timeout=20)
            assert client.retry("default", batch.handles[1].id).cancel() in (
                "cancelled",
                "requested",
                "finished",
            )
            later = client.enqueue(add.options(id="u1", delay=timedelta(hours=1)), 1)
            with pytest.raises(JobExists):
                client.enqueue(add.options(id="u1"), 1)
            assert [info.id for info in client.jobs("default", "delayed")] == [later.id]
            assert add.handle(client, "u1").cancel() == "cancelled"
            with rota.headers(tenant="acme"):
                headed = client.enqueue(tenant)
            assert headed.result(timeout=20) == "acme"

    async with serving(server.url, add, fail, tenant):
        await asyncio.to_thread(work)


def test_a_wait_ends_with_its_time(server: RedisServer) -> None:
    with client_of(server) as client:
        handle = client.enqueue(add, 1)
        with pytest.raises(ResultTimeout):
            handle.result(timeout=0.05)
        with pytest.raises(ResultTimeout):
            client.wait("default", handle.id, timeout=0)


def test_arguments_are_checked_in_the_calling_thread(server: RedisServer) -> None:
    # Where validators may use what belongs to the thread, such as a database connection.
    _checked_in.clear()
    with client_of(server) as client:
        client.enqueue(checked, 1)
        with pytest.raises(InvalidPayload):
            client.enqueue(add, "x")  # type: ignore[arg-type]
    assert set(_checked_in) == {threading.current_thread()}


def test_many_threads_share_one_client(server: RedisServer) -> None:
    with client_of(server) as client, ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda number: client.enqueue(add, number).id, range(200)))
        assert len(set(ids)) == 200
        assert client.counts("default")[State.WAITING] == 200


def test_an_absent_server_is_told_at_once_and_found_when_it_is_back(own_server: RedisServer) -> None:
    with client_of(own_server) as client:
        own_server.stop()
        for _ in range(2):
            with pytest.raises(ServerError, match="is not listening"):
                client.enqueue(add, 1)
        own_server.start()
        client.enqueue(add, 1)
        own_server.stop()
        with pytest.raises(ServerError, match="is not listening"):
            client.enqueue(add, 1)
        own_server.start()
        assert client.enqueue(add, 1).created


def test_a_frozen_server_costs_no_more_than_the_timeout(own_server: RedisServer) -> None:
    with client_of(own_server, timeout=0.5) as client:
        client.enqueue(add, 1)
        with own_server.frozen(), pytest.raises(ServerError, match=r"the client's timeout, 0\.5 s"):
            client.enqueue(add, 1)
        assert client.counts("default")[State.WAITING] >= 1


def test_wrong_settings_are_told_at_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "what")
    with connect_sync() as client, pytest.raises(rota.ConfigError, match="REDIS_URL"):
        client.enqueue(add, 1)


def test_a_client_that_is_closed_lets_waiting_threads_go(server: RedisServer) -> None:
    client = client_of(server)
    handle = client.enqueue(add, 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(handle.result)
        time.sleep(0.1)
        client.close()
        with pytest.raises(RuntimeError, match="is closed"):
            waiting.result(10)


def test_a_call_whose_connection_is_closed_with_its_client_says_that_the_client_is_closed(
    server: RedisServer,
) -> None:
    client = client_of(server)

    async def cut(_: object) -> None:
        closing = threading.Thread(target=client.close)
        closing.start()
        time.sleep(0.05)  # on the loop itself, which cannot cancel this call meanwhile
        raise ServerError("the connection is closed", transient=True)

    with pytest.raises(RuntimeError, match="is closed"):
        client.bridge.ask(cut)


def test_a_forgotten_client_ends_its_thread(server: RedisServer) -> None:
    def threads() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one.name == "rota-client"]

    client = client_of(server)
    client.enqueue(add, 1)
    assert len(threads()) == 1
    del client
    wait_until(lambda: not threads(), "the thread ends")


# In processes of their own


def ran(script: str, server: RedisServer, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", script],
        env={"REDIS_URL": server.url, "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=30)
    assert err == ""
    assert process.returncode == 0
    return out


def test_a_process_ends_without_a_word_whether_the_client_was_closed_or_not(server: RedisServer) -> None:
    script = """
import rota
client = rota.connect_sync()
client.enqueue_by_name("add", {"a": 1})
"""
    ended(ran(script, server))
    ended(ran(script + "client.close()", server))
    assert server.client().zcard("arq:queue:default") == 2


FORKS = """
import os, gc, rota
client = rota.connect_sync()
client.enqueue_by_name("add", {"a": 0})
handle = client.enqueue_by_name("mul", {"a": 0})
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        for number in range(20):
            client.enqueue_by_name("add", {"a": number})
            handle.status()
            gc.collect()
        raise SystemExit(0)
    children.append(child)
for number in range(20):
    client.enqueue_by_name("add", {"a": number})
for child in children:
    assert os.waitpid(child, 0)[1] == 0
print(client.enqueue_by_name("add", {"a": 1}).status().state)
"""


def test_forked_processes_have_connections_of_their_own(server: RedisServer) -> None:
    assert ended(ran(FORKS, server)) == "waiting\n"
    assert server.client().zcard("arq:queue:default") == 1 + 1 + 4 * 20 + 1


def test_ctrl_c_ends_a_wait_and_the_client_goes_on(server: RedisServer) -> None:
    script = """
import rota
client = rota.connect_sync()
handle = client.enqueue_by_name("add", {"a": 1})
try:
    print("waiting", flush=True)
    handle.result()
except KeyboardInterrupt:
    print(handle.status().state)
"""
    process = ran(script, server)
    assert process.stdout
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert ended(process) == "waiting\n"
