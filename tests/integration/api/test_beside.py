"""Workers and the API in one process: MODE=all, and MODE=api in development."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest

from rota.api import beside
from rota.app.respawn import EXIT_AWAY
from tests.processes import ROOT, Worker, environment
from tests.servers import RedisServer
from tests.waiting import until

VARIABLES = {
    "API_PORT": "0",
    "LOG_FORMAT": "json",
    "JOBS_PACKAGE": "tests.faults.jobs_for_faults",
    "METRICS_PORT": "off",
}
#: For how long the handler that blocks its loop does so, in seconds.
BLOCKED = 3.0


@contextlib.asynccontextmanager
async def running(
    folder: Path, url: str, **variables: str
) -> AsyncIterator[tuple[Worker, httpx2.AsyncClient]]:
    own = environment(ROOT, REDIS_URL=url, FAULTS_LEDGER=str(folder / "ledger"), **(VARIABLES | variables))
    (folder / "ledger").touch()
    with contextlib.closing(Worker(folder / "log", own)) as process:
        await until(lambda: process.says("worker.ready"), f"ready: {process.log}")
        (ready,) = process.events("api.ready")
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{ready['port']}", timeout=20) as http:
            yield process, http


@pytest.mark.parametrize(
    "mode", [{"MODE": "all"}, {"MODE": "api"}, {"MODE": "api", "ENABLE_JOB_RUNNER": "on"}]
)
async def test_a_job_that_is_enqueued_is_run_by_the_same_process(
    server: RedisServer, tmp_path: Path, mode: dict[str, str]
) -> None:
    async with running(tmp_path, server.url, **mode) as (process, http):
        answer = await http.post(
            "/jobs/work", json={"payload": {"seconds": 0.1}}, headers={"Prefer": "wait=10"}
        )
        assert (answer.status_code, answer.json()["status"]) == (200, "COMPLETED")
        process.send(signal.SIGTERM)
        assert await process.ended() == 0
        assert process.says("api.stopped")
        assert process.says("worker.stopped")


async def test_a_handler_that_blocks_its_loop_delays_no_request(server: RedisServer, tmp_path: Path) -> None:
    async with running(tmp_path, server.url, MODE="all") as (_, http):
        path = (await http.post("/jobs/block", json={"payload": {"seconds": BLOCKED}})).headers["location"]
        while (await http.get(path)).json()["state"] == "waiting":
            await asyncio.sleep(0.02)
        begin, asked = time.monotonic(), 0
        while (await http.get(path)).json()["state"] == "active":
            asked += 1
            await asyncio.sleep(0.02)
        assert asked >= 5, (
            f"{asked} answers in {time.monotonic() - begin:.1f} s in which the loop was blocked"
        )


async def test_a_stream_ends_at_once_and_a_running_job_is_finished(
    server: RedisServer, tmp_path: Path
) -> None:
    async with running(tmp_path, server.url, MODE="all") as (process, http):
        path = (await http.post("/jobs/work", json={"payload": {"seconds": 2}})).headers["location"]
        while (await http.get(path)).json()["state"] == "waiting":
            await asyncio.sleep(0.02)
        async with http.stream("GET", "/events") as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            process.send(signal.SIGTERM)
            async with asyncio.timeout(5):
                async for _ in lines:
                    pass
            assert not process.says("worker.stopped"), "the stream has ended before the job has"
        assert await process.ended() == 0
        assert process.says("job.completed")


async def test_without_redis_it_ends_with_one_sentence(tmp_path: Path) -> None:
    own = environment(ROOT, REDIS_URL="redis://127.0.0.1:1/0", MODE="all", BOOT_TIMEOUT="0.5", **VARIABLES)
    with contextlib.closing(Worker(tmp_path / "log", own)) as process:
        assert await process.ended() == EXIT_AWAY
        (last,) = process.events("process.failed")
        assert last["error"].startswith("redis://127.0.0.1:1/0 is not listening")


async def test_an_api_that_ends_by_itself_takes_its_process_with_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker without the API that was asked for would look as if all were well."""
    sent: list[int] = []

    class Broken:
        async def serve(self, _: object, ready: Callable[[], object]) -> None:
            ready()
            raise RuntimeError("no more")

    monkeypatch.setattr("os.kill", lambda _, signum: sent.append(signum))
    own = beside._Beside(Broken())  # type: ignore[arg-type]
    own.start()
    await until(lambda: sent, "the process is told")
    own.end()
    assert own.has_failed
    assert sent == [signal.SIGTERM]
    (record,) = [one for one in caplog.records if one.getMessage() == "api.ended"]
    assert "no more" in str(record.exc_info)
