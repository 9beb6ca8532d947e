"""The composition root: what a process is made of, from its settings down."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.worker import Worker

from rota.app import compose, connect
from rota.app.arq_functions import as_function
from rota.app.handlers import handlers_of, rules_of
from rota.attempts.attempt import Handler
from rota.attempts.off_loop.children import Processes
from rota.model.job import Job, job
from rota.model.outcome import Rules
from rota.model.policies.backoff import fixed, linear
from rota.model.registry import Registry
from rota.model.run import Run
from rota.server.place import checkout, locate
from rota.settings.load import load
from rota.settings.settings import Settings
from rota.worker.worker import QueueWorker
from tests.servers import RedisServer
from tests.waiting import until


@job(queue="email")
async def send(run: Run, to: str) -> str:
    return f"{run.id} {run.job} {run.queue} {run.attempt} {run.deps} to {to}"


@job(
    queue="email",
    timeout=9,
    max_attempts=2,
    backoff=fixed(3),
    keep_result=0,
    retry_on=(OSError,),
    give_up_on=(FileNotFoundError,),
)
def plain(run: Run, number: int) -> int:
    return number + 1


def settings(**variables: str) -> Settings:
    return load({"REDIS_URL": "redis://localhost:1", **variables})


def parts(own: Settings, *jobs: Job[Any, Any]) -> compose.ProcessParts:
    by_queue: dict[str, dict[str, Job[Any, Any]]] = {}
    for one in jobs:
        by_queue.setdefault(one.queue or "default", {})[one.name] = one
    registry = Registry(jobs, "default", None, by_queue)
    return compose.ProcessParts(own, registry, None, Processes(), None, lambda reason: None)


# Rules


def test_a_job_without_a_policy_has_that_of_its_queue_and_then_the_general_one() -> None:
    own = settings(MAX_ATTEMPTS="7", QUEUES__EMAIL__TIMEOUT="20", QUEUES__EMAIL__BACKOFF="linear")
    rules = rules_of(send, own.queue("email"))
    assert (rules.max_attempts, rules.timeout, rules.keep_result) == (7, 20, 3600)
    assert rules.backoff == linear(1, step=2)
    assert rules_of(send, own.queue("other")).timeout == 300


def test_whether_logs_are_kept_says_the_job_then_its_queue_then_the_general_setting() -> None:
    own = settings(KEEP_LOG="false", QUEUES__EMAIL__KEEP_LOG="true")
    assert [rules_of(send, own.queue(name)).keep_log for name in ("email", "other")] == [True, False]
    silent, loud = replace(send, keep_log=False), replace(send, keep_log=True)
    assert not rules_of(silent, own.queue("email")).keep_log
    assert rules_of(loud, own.queue("other")).keep_log


def test_the_policy_of_a_job_beats_both() -> None:
    own = settings(MAX_ATTEMPTS="7", QUEUES__EMAIL__TIMEOUT="20", QUEUES__EMAIL__KEEP_RESULT="5")
    assert rules_of(plain, own.queue("email")) == Rules(
        max_attempts=2,
        backoff=fixed(3),
        timeout=9,
        keep_result=0,
        retry_on=(OSError,),
        give_up_on=(FileNotFoundError,),
    )


def test_a_queue_that_no_job_declares_has_no_handlers() -> None:
    own = settings()
    shared = parts(own, send)
    assert list(handlers_of(shared.registry, own.queue("email"))) == ["send"]
    assert handlers_of(shared.registry, own.queue("reports")) == {}


# arq's settings


def test_each_queue_becomes_one_set_of_worker_settings() -> None:
    own = settings(QUEUES__EMAIL__CONCURRENCY="20", LEASE="12", MAX_ATTEMPTS="7")
    made = compose.worker_settings(parts(own, send, plain), "email")
    assert made["queue_name"] == "arq:queue:email"
    assert (made["max_jobs"], made["lease"], made["max_tries"]) == (20, 12, 7)
    assert [function.name for function in made["functions"]] == ["send", "plain"]
    assert [function.timeout_s for function in made["functions"]] == [300, 9]


async def test_a_queue_without_jobs_makes_a_worker_too(redis: ArqRedis) -> None:
    made = compose.worker_settings(parts(settings(QUEUES__REPORTS__CONCURRENCY="1")), "reports")
    worker = QueueWorker(**made, redis_pool=redis)
    assert worker.queue_name == "arq:queue:reports"


async def test_the_same_settings_run_on_a_stock_worker(redis: ArqRedis) -> None:
    made = compose.worker_settings(parts(settings(), send, plain), "email")
    ours = {"lease", "policy", "shared", "weight"}
    pool = ArqRedis(redis.connection_pool, job_serializer=made["job_serializer"])
    sent = await pool.enqueue_job("send", "ann", _queue_name="arq:queue:email")
    added = await pool.enqueue_job("plain", number=3, _queue_name="arq:queue:email")
    assert sent
    assert added
    worker = Worker(
        **{name: value for name, value in made.items() if name not in ours},
        redis_pool=pool,
        burst=True,
        poll_delay=0,
    )
    await worker.async_run()
    assert (worker.jobs_complete, worker.jobs_failed) == (2, 0)


async def test_as_arqs_function_a_job_gets_a_run_and_typed_arguments() -> None:
    own = settings().queue("email")
    ctx = {"job_id": "1", "job_try": 2, "deps": "deps"}
    function = as_function(Handler(send, rules_of(send, own)), "email", "send")
    assert await function.coroutine(ctx, "ann") == "1 send email 2 deps to ann"
    in_thread = as_function(Handler(plain, rules_of(plain, own)), "email", "plain")
    assert await in_thread.coroutine(ctx, number="3") == 4


# Servers and clients


def test_the_root_of_a_checkout_is_the_nearest_folder_with_a_project_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    (tmp_path / "pyproject.toml").touch()
    assert checkout() == tmp_path
    (tmp_path / "a" / "pyproject.toml").touch()
    assert checkout() == tmp_path / "a"


def test_a_named_server_is_used_as_it_is() -> None:
    server = locate(settings().redis)
    assert server.embedded is None
    assert server.target == settings().redis
    server.close()


async def test_without_one_the_server_of_the_checkout_is_joined_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="no worker is there"):
        client = await connect.connect(load({}))
    async with client:
        handle = await client.enqueue(send, to="ann")
        assert (await handle.status()).task == "send"
        socket = next((tmp_path / ".rota").rglob("*.sock"))
    await until(lambda: not socket.exists(), "the server ends")


async def test_a_client_has_what_the_settings_say(server: RedisServer) -> None:
    own = settings(
        REDIS_URL=server.url, NAMESPACE="shop", DEFAULT_QUEUE="orders", KEEP_RESULT="0", EVENTS_MAXLEN="5"
    )
    async with await connect.connect(own) as client:
        handle = await client.enqueue_by_name("greet")
        assert handle.queue == "orders"
        assert await client.redis.xlen("shop:events") == 1
        await handle.cancel()
        assert not await client.redis.keys("arq:result:*")
