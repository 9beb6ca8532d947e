"""The log of a job from the handler to who reads it: however the attempt ends, whatever was logged, by any client."""

import asyncio
import json
import logging
import threading
import time
from pathlib import Path

import pytest

from rota import Client, Job, JobNotFound, Run, SyncClient, connect_sync, job
from rota.errors.secrets import SECRETS
from rota.settings.load import load
from rota.wire.keys import LOG_OF_JOB
from tests.integration.project import Project
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import serving

SECRET = "open-sesame"


@job(max_attempts=1, timeout=0.2)
async def dawdle(run: Run) -> None:
    run.log.info("begun")
    try:
        await asyncio.sleep(60)
    finally:
        run.log.warning("stopped by %s", run.stopped_by)


@job(max_attempts=1, timeout=0.2)
def dawdle_in_a_thread(run: Run) -> None:
    run.log.info("begun")
    while not run.cancelled:
        time.sleep(0.01)
    run.log.warning("stopped by %s", run.stopped_by)


@job(process=True)
def dawdle_in_a_process(run: Run) -> None:
    run.log.info("begun")
    logging.getLogger("library").warning("going on")
    time.sleep(60)


@job
async def wait(run: Run) -> None:
    run.log.info("begun")
    try:
        await asyncio.sleep(60)
    finally:
        run.log.info("ended")


class ODD:
    """The text that `say` logs."""

    text = "a line"


@job
async def say(run: Run) -> None:
    run.log.info(ODD.text, extra={"text": ODD.text})


@job(process=True)
def whisper(run: Run) -> None:
    run.log.info("the password is %s", SECRET, extra={"key": SECRET, "keys": [SECRET]})


@job
async def outlive(run: Run) -> None:
    run.log.info("begun")
    task = asyncio.create_task(speak_late())
    threading.Thread(target=logging.getLogger("library").info, args=("no context",)).start()
    await asyncio.sleep(0)
    LATE.append(task)


ODD_JOB = r"""
from rota import Run, job

@job
async def oddly(run: Run) -> None:
    run.log.info("\x1b[2J\u202e\nforged\x00 \ud800")
"""


LATE: list["asyncio.Task[None]"] = []


async def speak_late() -> None:
    await asyncio.sleep(0.3)
    logging.getLogger("library").info("too late")


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def messages(client: Client, job_id: str) -> list[str]:
    return [line.message for line in await client.log("default", job_id)]


@pytest.mark.parametrize("dawdling", [dawdle, dawdle_in_a_thread])
async def test_an_attempt_that_is_stopped_has_all_that_it_logged(
    server: RedisServer, dawdling: Job[[], None]
) -> None:
    async with serving(server.url, dawdling) as works:
        handle = await works.client.enqueue(dawdling)
        await works.client.wait("default", handle.id, 20)
        assert await messages(works.client, handle.id) == ["begun", "stopped by timeout"]
        letter, result = await asyncio.gather(
            works.client.redis.pttl(f"arq:queue:default:dead:{handle.id}"),
            works.client.redis.pttl(f"{LOG_OF_JOB}{handle.id}"),
        )
        assert abs(letter - result) < 60_000, "a dead letter's log stays as long as the letter"
        await works.client.delete_dead("default", handle.id)
        assert await works.client.log("default", handle.id) == []


async def test_what_a_child_process_has_logged_stays_when_it_is_killed(server: RedisServer) -> None:
    async with serving(server.url, dawdle_in_a_process) as works:
        handle = await works.client.enqueue(dawdle_in_a_process)
        await until(lambda: messages(works.client, handle.id), "a line was written while it ran")
        await handle.cancel()
        await works.client.wait("default", handle.id, 20)
        assert await messages(works.client, handle.id) == ["begun", "going on"]


async def test_a_cancelled_one_too_and_what_is_logged_after_the_end_is_not_kept(server: RedisServer) -> None:
    async with serving(server.url, wait, outlive) as works:
        handle = await works.client.enqueue(wait)
        await until(lambda: messages(works.client, handle.id), "a line was written while it ran")
        await handle.cancel()
        await works.client.wait("default", handle.id, 20)
        assert await messages(works.client, handle.id) == ["begun", "ended"]
        late = await works.client.enqueue(outlive)
        await late.result(20)
        await LATE.pop()
        assert await messages(works.client, late.id) == ["begun"]


@pytest.mark.parametrize(
    "text",
    ["\x00", "\ud800", "a\nb\r\x1b[2J", "\u202e", "\n" * 10, "ü" * 1_000_000],
    ids=["NUL", "half a pair", "controls", "right to left", "newlines", "a megabyte"],
)
async def test_whatever_is_logged_is_read_again(
    server: RedisServer, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ODD, "text", text)
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's own cannot report such a line
    async with serving(server.url, say) as works:
        handle = await works.client.enqueue(say)
        await handle.result(20)
        (line,) = await handle.log()
    shown = text.replace("\ud800", "\ufffd")
    assert (line.message, line.fields.get("text")) == (shown, shown) or "characters …]" in line.message
    assert len(line.message) <= 4100


async def test_the_secrets_of_the_process_are_not_in_it(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SECRETS, "_all", set())
    monkeypatch.setattr(SECRETS, "_long", None)
    SECRETS.keep(SECRET)
    async with serving(server.url, whisper) as works:
        handle = await works.client.enqueue(whisper)
        await handle.result(20)
        (line,) = await handle.log()
        raw = await works.client.redis.hgetall(f"{LOG_OF_JOB}{handle.id}")
    assert line.message == "the password is ***"
    assert line.fields == {"key": "***", "keys": ["***"]}
    assert SECRET not in str(raw)


@pytest.mark.parametrize(
    "variables", [{"KEEP_LOG": "false"}, {"QUEUES__DEFAULT__KEEP_LOG": "false"}, {"KEEP_RESULT": "0"}]
)
async def test_no_log_is_kept_where_a_setting_says_so_or_no_record_is(
    server: RedisServer, variables: dict[str, str]
) -> None:
    async with serving(server.url, say, **variables) as works:
        handle = await works.client.enqueue(say)

        async def is_over() -> bool:
            return not await works.client.redis.exists(f"arq:job:{handle.id}")

        await until(is_over)

        async def is_gone() -> bool:
            return not await works.client.redis.exists(f"{LOG_OF_JOB}{handle.id}")

        # Where no record is kept, the log goes a millisecond later.
        await until(is_gone)


async def test_a_blocking_client_reads_it_as_well(server: RedisServer) -> None:
    async with serving(server.url, say) as works:
        handle = await works.client.enqueue(say)
        await handle.result(20)

    def read(client: SyncClient) -> None:
        (line,) = client.log("default", handle.id)
        assert line.message == "a line"
        assert client.handle("default", handle.id).log() == [line]
        assert client.handle("default", handle.id).log(after=line.position) == []
        with pytest.raises(ValueError, match=r"take that of a line: line\.position"):
            client.log("default", handle.id, after="17")
        with pytest.raises(JobNotFound):
            client.log("default", "nosuch")

    def read_and_close() -> None:
        with connect_sync(load({"REDIS_URL": server.url})) as client:
            read(client)

    await asyncio.to_thread(read_and_close)


def test_the_command_line_shows_and_follows_it(
    server: RedisServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path, capfd, server.url)
    project.write(
        "jobs/__init__.py",
        """
import asyncio
from rota import Run, job

@job
async def count(run: Run, most: int, pause: float = 0) -> None:
    for number in range(1, most + 1):
        run.log.info("counted", extra={"number": number})
        await asyncio.sleep(pause)
""",
    )
    project.write("jobs/odd.py", ODD_JOB)
    project.rota("log", "default", "nosuch").refused("nosuch", status=3)
    worker = project.process("worker", METRICS_PORT="off")
    try:
        project.rota("enqueue", "count", '{"most": 7}', "--id", "seven", "--wait", "30s")
        head, *lines = project.rota("log", "default", "seven").out.splitlines()
        assert head.startswith("attempt 1, ")
        assert [line.split(" ", 1)[1] for line in lines] == [
            f"info    counted number={n}" for n in range(1, 8)
        ]
        values = [
            json.loads(line) for line in project.rota("log", "default", "seven", "--json").out.splitlines()
        ]
        assert [value["fields"] for value in values] == [{"number": n} for n in range(1, 8)]
        shown = project.rota("show", "default", "seven")
        assert "7 lines" in shown.out
        assert "number=7" in shown.out
        assert "number=2" not in shown.out
        assert "rota log default default:seven" in shown.err
        assert json.loads(project.rota("show", "default", "seven", "--json").out)["log_lines"] == 7

        project.rota("enqueue", "oddly", "--id", "odd", "--wait", "30s")
        rows = project.rota("log", "default", "odd").out.splitlines()
        assert rows[1].endswith(r"\x1b[2J\u202e")
        assert rows[2:] == ["    forged\\x00 \ufffd"]
        assert all(row.isprintable() for row in rows)

        project.rota("enqueue", "count", '{"most": 3, "pause": 0.7}', "--id", "slow")
        following = project.process("log", "default", "slow", "--follow")
        out, err = following.communicate(timeout=30)
        assert (following.returncode, err) == (0, "")
        assert out.count("attempt 1") == 1
        assert [line.rpartition("=")[2] for line in out.splitlines()[1:]] == ["1", "2", "3"]
    finally:
        worker.terminate()
        worker.communicate(timeout=30)
