"""The table of all ways to leave a handler: each way, in each kind of handler, by itself or when it is told to stop.

Every case ends as promised, in bounded time, with one final record and its reason in the log. All cases that do not
disturb one another run in one worker at once. FAULTS_SCALE=1 runs the whole table; RESULTS.md has its last run.
"""

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job as ArqJob

from rota import Client, Handle, Job, job_deserializer, job_serializer
from tests.faults.fleet import FULL, Fleet
from tests.faults.jobs_that_leave import NEVER, WAYS, in_process, in_thread, on_loop, pass_by
from tests.processes import ROOT, Worker, environment, start
from tests.servers import RedisServer
from tests.streams import events_in
from tests.waiting import until

#: A worker that has left something behind ends within this time, in seconds.
BOUND = 20.0


class End(NamedTuple):
    """The end of a case: the job's state and reason, the attempts that are spent, and its one final record."""

    state: str
    reason: str
    attempts: int
    record: str


DEAD = End("dead", "failed", 1, "dead")
#: How a handler ends that nothing stops.
BY_WAY = dict.fromkeys(WAYS, DEAD) | {
    "return": End("completed", "", 1, "completed"),
    "block": End("completed", "", 1, "completed"),
    "too much": End("dead", "result_too_large", 1, "dead"),
    "no JSON": End("dead", "invalid_result", 1, "dead"),
    "Retry": End("delayed", "", 1, "retried"),
    "Snooze": End("delayed", "", 0, "snoozed"),
    "Cancel": End("cancelled", "not wanted", 1, "cancelled"),
    "sleep": End("active", "", 1, ""),
    "deaf": End("active", "", 1, ""),
}
PUT_BACK = End("waiting", "", 0, "interrupted")
#: How each ends that was told to stop, whatever it is and does.
BY_CAUSE = {
    "timeout": End("dead", "timeout", 1, "dead"),
    "cancel": End("cancelled", "cancelled", 1, "cancelled"),
    "drain": PUT_BACK,
    "second signal": PUT_BACK,
    "recycling": PUT_BACK,
}
Kind = Job[Any, Any]
Case = tuple[str, str]
KINDS: dict[str, Kind] = {one.name: one for one in (on_loop, in_thread, in_process)}
#: What ends a whole worker.
FATAL = ("os._exit", "kill -9")
#: The ways that a sample tries in child processes: a process takes a while to start, and is killed, whatever it does.
IN_PROCESS = ("return", "sleep", "SystemExit", "too much", "Retry", "os._exit")


def cases(cause: str) -> Iterator[Case]:
    """Yield the cases that run in one worker, each a kind of handler and its way."""
    for kind in KINDS:
        for way in WAYS:
            told = cause != "nothing"
            ends_worker = kind != "in_process" and way in FATAL
            # A thread that sleeps is as deaf as one that does not listen; a child is killed, whatever it does.
            is_deaf = way == "deaf" or (kind == "in_thread" and way == "sleep")
            twice = kind != "on_loop" and way == "deaf"
            sampled = kind != "in_process" or way in IN_PROCESS[:2] or (not told and way in IN_PROCESS)
            if ends_worker or twice or (told and way == "block"):
                continue
            if FULL or (sampled and (not is_deaf or cause in ("nothing", "cancel"))):
                yield kind, way


async def came(handle: Handle[Any], final: dict[str, list[str]]) -> End:
    info = await handle.status()
    return End(str(info.state), info.reason, info.attempts, "+".join(final.get(handle.id, [])))


async def final_records(client: Client) -> dict[str, list[str]]:
    """Return the types of the records that end an attempt, by job."""
    found: dict[str, list[str]] = {}
    for event in events_in(await client.redis.xrange("rota:events")):
        if event.type in ("completed", "retried", "snoozed", "dead", "cancelled", "interrupted", "lost"):
            found.setdefault(event.id, []).append(event.type)
    return {job_id: sorted(kinds) for job_id, kinds in found.items()}


async def stop(cause: str, worker: Worker, client: Client, handles: list[Handle[Any]]) -> None:
    """Send what tells the worker or its jobs to stop, for `cause`."""
    match cause:
        case "cancel":
            for handle in handles:
                assert await handle.cancel() == "requested"
        case "drain":
            worker.send(signal.SIGTERM)
        case "second signal":
            worker.send(signal.SIGTERM)
            await until(lambda: worker.says("worker.draining"), "it drains")
            worker.send(signal.SIGTERM)
        case "recycling":
            await client.enqueue(pass_by)


@pytest.mark.parametrize("cause", ["nothing", *BY_CAUSE])
async def test_every_way_out_of_every_kind_of_handler_ends_as_promised(
    fleet: Fleet, client: Client, cause: str
) -> None:
    settings = {"recycle_after_jobs": 1} if cause == "recycling" else {}
    (worker,) = await fleet.start(
        jobs_package="tests.faults.jobs_that_leave",
        queue_concurrency=100,
        result_limit="100KB",
        drain_timeout=60 if cause == "second signal" else 0.3,
        **settings,
    )
    handles: dict[Case, Handle[Any]] = {}
    for kind, way in cases(cause):
        options: dict[str, Any] = {"max_attempts": 2 if way == "Retry" and cause == "nothing" else 1}
        options |= {"timeout": 2.0} if cause == "timeout" else {}
        chosen = KINDS[kind].options(**options)
        handles[kind, way] = await client.enqueue(chosen, way=way, at_once=cause == "nothing")
    promised = {case: BY_CAUSE.get(cause, BY_WAY[case[1]]) for case in handles}
    if cause != "timeout":
        await until(lambda: len(fleet.ledger.times("start")) == len(handles), "all run", 60)
    told_at = time.monotonic()
    await stop(cause, worker, client, list(handles.values()))

    async def table() -> dict[Case, End]:
        final = await final_records(client)
        return {case: await came(handle, final) for case, handle in handles.items()}

    waited_for = dict(handles)

    async def all_ended() -> bool:
        while waited_for:
            case = next(iter(waited_for))
            if str((await waited_for[case].status()).state) != promised[case].state:
                return False
            del waited_for[case]
        return True

    await until(all_ended, f"all end: {worker.log}", 30)
    assert await table() == promised
    records = {
        (f"job.{promised[case].record}", handle.id)
        for case, handle in handles.items()
        if promised[case].record
    }
    # A worker writes its log once it has Redis' answer, and Redis knew before.
    await until(
        lambda: records <= {(event["event"], event.get("job_id")) for event in worker.events()},
        f"all is logged: {worker.log}",
    )
    await has_ended(worker, cause, told_at, any(way in NEVER for _, way in handles))


async def has_ended(worker: Worker, cause: str, told_at: float, deaf: bool) -> None:
    """Wait until the worker has ended, if it is to: it was told, or something in it ends with the process alone."""
    if cause in ("drain", "second signal", "recycling"):
        assert await worker.ended(BOUND) == (75 if cause == "recycling" else 0)
        assert time.monotonic() - told_at < BOUND
    elif deaf and cause != "nothing" and worker.says("handler.stuck"):
        assert await worker.ended(BOUND) == 75
    else:
        assert worker.alive


@pytest.mark.parametrize("way", FATAL if FULL else FATAL[:1])
@pytest.mark.parametrize("kind", ["on_loop", "in_thread"])
async def test_a_handler_that_ends_its_worker_is_lost_and_given_up(
    fleet: Fleet, client: Client, kind: str, way: str
) -> None:
    settings: dict[str, Any] = {"jobs_package": "tests.faults.jobs_that_leave", "max_lost": 1, "lease": 1}
    (worker,) = await fleet.start(**settings)
    handle = await client.enqueue(KINDS[kind], way=way, at_once=True)
    await worker.ended()
    (other,) = await fleet.start(**settings)
    await client.wait("default", handle.id, 20)
    info = await handle.status()
    assert (info.state, info.reason) == ("dead", "lost")
    assert (await final_records(client))[handle.id] == ["dead", "lost"]
    assert other.alive


# arq's functions, in a bare worker

#: What each comes to by itself: whether the job succeeded, or that it waits for another try, or goes on.
ON_ARQ: dict[str, str] = dict.fromkeys(WAYS, "failed") | {
    "return": "succeeded",
    "block": "succeeded",
    "too much": "succeeded",
    "Retry": "deferred",
    "sleep": "in_progress",
    "deaf": "in_progress",
}
#: arq's outcomes follow what the function does when it is cancelled. One that lets it through has failed, or is
#: queued again by a shutdown; so is one that is left behind.
TOLD_ON_ARQ = {
    "timeout": ON_ARQ | {"sleep": "failed", "deaf": "failed"},
    "cancel": ON_ARQ | {"sleep": "failed", "deaf": "failed"},
    "drain": ON_ARQ | {"sleep": "queued", "deaf": "queued", "CancelledError": "queued"},
}
TOLD_ON_ARQ["second signal"] = TOLD_ON_ARQ["drain"]
#: What arq's log says of a job that came to each end: one of these.
SAID = {
    "succeeded": ("●",),
    "failed": ("failed", "aborted", "max retries", "error serializing result"),
    "deferred": ("retrying",),
    "queued": ("will be run again",),
}


@pytest.mark.parametrize("cause", ["nothing", *TOLD_ON_ARQ])
async def test_so_it_is_with_functions_of_arq(
    redis: ArqRedis, server: RedisServer, tmp_path: Path, cause: str
) -> None:
    redis.job_serializer, redis.job_deserializer = job_serializer, job_deserializer
    deaf = FULL or cause == "nothing"
    ways = [way for way in WAYS if way not in (*FATAL, "Snooze", "Cancel") and (deaf or way != "deaf")]
    function = "leave_soon" if cause == "timeout" else "leave"
    jobs: dict[str, ArqJob] = {}
    for way in ways:
        job = await redis.enqueue_job(function, way, cause == "nothing")
        assert job is not None
        jobs[way] = job
    promised = {way: TOLD_ON_ARQ.get(cause, ON_ARQ)[way] for way in ways}
    log = tmp_path / "log"
    with bare_worker(server, log, wait=60 if cause == "second signal" else 0) as process:
        if cause in ("cancel", "drain", "second signal"):
            await until(lambda: log.read_text("utf-8").count("→") >= len(ways), "all run", 20)
        if cause == "cancel":
            await asyncio.gather(*(job.abort(timeout=0.01) for job in jobs.values()), return_exceptions=True)
        for _ in range({"drain": 1, "second signal": 2}.get(cause, 0)):
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)  # signals that arrive at once are one

        async def table() -> dict[str, str]:
            return {way: await came_on_arq(job) for way, job in jobs.items()}

        await until(lambda: equals(table, promised), f"all end as promised: {log}", 20)
        if cause in ("drain", "second signal"):
            await until(lambda: process.poll() is not None, "it ends", BOUND)
        lines = log.read_text("utf-8").splitlines()
    for way, job in jobs.items():
        own = "".join(line for line in lines if job.job_id in line)
        assert promised[way] == "in_progress" or any(word in own for word in SAID[promised[way]]), way


async def equals(table: Any, promised: dict[str, str]) -> bool:
    return bool(await table() == promised)


async def came_on_arq(job: ArqJob) -> str:
    info = await job.result_info()
    if info is not None:
        return "succeeded" if info.success else "failed"
    return str((await job.status()).value)


@contextlib.contextmanager
def bare_worker(server: RedisServer, log: Path, *, wait: int) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a bare worker in a process of its own, which logs to `log`, while a block lasts."""
    variables = environment(ROOT, FAULTS_LEDGER="/dev/null")
    module = "tests.faults.jobs_that_leave.on_arq"
    with log.open("wb") as out:
        process = start(
            *(str(server.port), str(wait)), module=module, cwd=ROOT, environment=variables, stderr=out
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
