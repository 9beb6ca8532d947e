"""The environment of the demo: a database without other jobs, a mail server and a worker process, gone at the end."""

import asyncio
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import quote

import redis
from aiosmtpd.smtp import SMTP, Envelope, Session

from rota import Client, RotaError
from rota.names import wire_id
from rota.server import connections
from rota.server.place import checkout, locate
from rota.server.target import RedisTarget
from rota.settings.load import load
from rota.settings.settings import Settings
from rota.wire.keys import (
    IN_PROGRESS,
    JOB,
    LOG_OF_JOB,
    RESULT,
    RETRY,
    QueueKeys,
    queue_key,
)

#: The demo's queues, and how many jobs of each its worker runs at once.
QUEUES = {"default": 4, "email": 3, "media": 2, "reports": 2}
#: The namespace of the demo's events and of its leader, which do not mix with those of other jobs.
NAMESPACE = "demo"
#: Where the jobs are.
SRC = Path(__file__).parents[2] / "src"
#: Two recipients that the demo's mail server does not simply accept.
BUSY_AT_FIRST, UNKNOWN_HERE = "busy@example.org", "nobody@example.org"

_RUNNING = "demo:running"
_DATABASES = range(15, 0, -1)
#: The keys that idle queues leave behind.
_TRACES = ("seen", "step", "wake", "stats", "causes")
_MANY_KEYS = 1_000
#: The keys that begin so end with a job's id.
_OF_A_JOB = (JOB, RESULT, RETRY, IN_PROGRESS, LOG_OF_JOB)
#: How long results are kept, in seconds.
_KEPT = 3600
_FAREWELL = 15.0
#: Where the dashboard is, unless another process has the port.
DASHBOARD = "http://127.0.0.1:8000/ui/"
#: What the worker's log says of the dashboard.
_DASHBOARD = re.compile(r"\bapi\.ready\b.*\bdashboard=(\S+)")


class Place:
    """The demo's database, for the jobs that are named `(queue, name)`."""

    def __init__(self, target: RedisTarget, jobs: Sequence[tuple[str, str]], *, usual: bool) -> None:
        self.target = target
        self.usual = usual
        self._ids = [wire_id(queue, name) for queue, name in jobs]
        self._redis = connections.async_client(target)
        self._kept = False

    def client(self) -> Client:
        """Return a client of the demo's queues."""
        return Client(connections.async_client(self.target), Settings(namespace=NAMESPACE))

    async def keep(self) -> None:
        """Keep the finished jobs for an hour, to be looked at; otherwise `release` removes them."""
        self._kept = True
        ours = await (self._shared() if self.usual else self._redis.keys("*"))
        for key in ours:
            await self._redis.expire(key, _KEPT)

    async def claim(self) -> bool:
        """Take the database if it is empty, after removing what an earlier demo left. Return False if it is not."""
        try:
            if await self._redis.dbsize() > _MANY_KEYS or await self._redis.exists(_RUNNING):
                return False
            await self._forget()
            if not all(self._is_trace(key.decode("utf-8", "replace")) for key in await self._redis.keys("*")):
                return False
            return bool(await self._redis.set(_RUNNING, os.getpid(), nx=True, ex=300))
        except redis.ResponseError:
            return False  # no such database, or no permission

    async def release(self) -> None:
        if not self._kept:
            await self._forget()
            await self._redis.delete(*(QueueKeys.of(queue_key(queue)).wake for queue in QUEUES))
        await self._redis.delete(_RUNNING)

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)

    async def _shared(self) -> list[bytes]:
        """Return the keys of the demo's namespace that its worker makes. The database holds few others."""
        return [key for key in await self._redis.keys(f"{NAMESPACE}:*") if key.decode() != _RUNNING]

    async def _forget(self) -> None:
        shared = await self._shared()
        ids = [*self._ids, *await self._made(shared)]
        causes = {queue: await self._redis.keys(f"{queue_key(queue)}:cause:*") for queue in QUEUES}
        pipe = self._redis.pipeline(transaction=True)
        pipe.delete(*shared, *(prefix + one for prefix in _OF_A_JOB for one in ids))
        for queue in QUEUES:
            keys = QueueKeys.of(queue_key(queue))
            pipe.delete(*(f"{keys.dead}:{one}" for one in ids))
            for line in (keys.queue, keys.active, keys.dead, *causes[queue]):
                pipe.zrem(line, *ids)
            for table in (keys.runs, keys.progress, keys.terms):
                pipe.hdel(table, *ids)
        await pipe.execute(raise_on_error=False)

    async def _made(self, shared: Sequence[bytes]) -> list[str]:
        """Return the jobs that the demo's own ones and its leader have made: those of pipelines, and ticks."""
        flow = f"{NAMESPACE}:flow:"
        flows = (key.decode().removeprefix(flow) for key in shared if key.startswith(flow.encode()))
        begins = [f"{one}." for one in flows if ":" not in one] + ["cron:"]
        found = [await self._redis.keys(f"{prefix}{one}*") for prefix in (JOB, RESULT) for one in begins]
        return sorted({key.decode().split(":", 2)[2] for keys in found for key in keys})

    def _is_trace(self, key: str) -> bool:
        return key.startswith(tuple(f"{queue_key(queue)}:{trace}" for queue in QUEUES for trace in _TRACES))


@contextlib.asynccontextmanager
async def place(jobs: Sequence[tuple[str, str]]) -> AsyncIterator[Place]:
    """Yield a database of the Redis in the settings, or of the checkout's embedded server. Raises RotaError."""
    settings = load()
    server = await asyncio.to_thread(locate, settings.redis)
    try:
        found = await _find(server.target, settings, jobs)
        try:
            yield found
        finally:
            await found.release()
            await found.close()
    finally:
        server.close()


async def _find(target: RedisTarget, settings: Settings, jobs: Sequence[tuple[str, str]]) -> Place:
    first = await connections.open(target, boot_timeout=settings.boot_timeout)
    await first.aclose(close_connection_pool=True)
    for db in (target.db, *(db for db in _DATABASES if db != target.db)):
        candidate = Place(replace(target, db=db), jobs, usual=db == target.db)
        if await candidate.claim():
            return candidate
        await candidate.close()
    raise RotaError(f"every database of {target} holds something; the demo wants an empty one to itself")


def media() -> Path:
    """Return the folder for the files that the demo's jobs make."""
    return checkout() / ".rota" / "demo"


class MailServer:
    """A mail server that accepts every recipient but two."""

    def __init__(self) -> None:
        self.port = 0
        self.taken = self.refused = self.put_off = 0

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, to: str, ___: list[str]) -> str:
        """Answer a recipient: refuse one, and put another off once."""
        if to == UNKNOWN_HERE:
            self.refused += 1
            return "550 5.1.1 there is nobody of this name here"
        if to == BUSY_AT_FIRST and not self.put_off:
            self.put_off += 1
            return "451 4.2.1 the mailbox is busy, try again later"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, __: Session, ___: Envelope) -> str:
        """Accept a mail, and count it as taken."""
        self.taken += 1
        return "250 OK"


@contextlib.asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    """Run a mail server on a free port of this machine."""
    mails = MailServer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mails, loop=loop, hostname="demo"), "127.0.0.1", 0)
    mails.port = server.sockets[0].getsockname()[1]
    try:
        yield mails
    finally:
        server.close()


class Worker:
    """The worker process, `python -m rota` as in production."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.pid = process.pid
        self.log = log
        self._process = process

    async def ended(self) -> int:
        """Wait until the worker has ended, and return its exit status."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Stop the worker with SIGTERM, and wait. Raises RotaError unless it ends in order."""
        try:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            async with asyncio.timeout(_FAREWELL):
                status = await self.ended()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            raise
        if status:
            raise RotaError(f"the worker ended with status {status}; {self.last_words()}")

    async def dashboard(self) -> str:
        """Return the address of the dashboard, once it is open. Raises RotaError where the worker ends before."""
        while self._process.returncode is None:
            if (found := _DASHBOARD.search(self.log.read_text("utf-8", "replace"))) is not None:
                return found[1]
            await asyncio.sleep(0.1)
        raise RotaError(f"the worker ended before the dashboard was open; {self.last_words()}")

    def last_words(self) -> str:
        """Say where the log is, with its last line."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return f"see {self.log}" + (f", which ends: {lines[-1]}" if lines else "")


@contextlib.asynccontextmanager
async def worker(place: Place, mail_port: int, *, has_dashboard: bool = False) -> AsyncIterator[Worker]:
    """Run a worker on the demo's queues, with the demo's settings and no others.

    :param has_dashboard: whether the process serves the dashboard too.
    """
    log = checkout() / ".rota" / "demo-worker.log"
    log.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rota-demo-") as folder, log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "rota"),
            env=worker_variables(place.target, mail_port, folder)
            # What people do on the dashboard to many jobs, the leader does. Without, nothing is planned to come later.
            | ({"MODE": "all"} if has_dashboard else {"LEADER": "false"}),
            cwd=folder,  # no `.env` here
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        worker = Worker(process, log)
        try:
            yield worker
        finally:
            if process.returncode is None:
                await worker.stop()


def worker_variables(target: RedisTarget, mail_port: int, folder: str) -> dict[str, str]:
    """Return this process's environment, with the demo's settings in place of those of the service and the mailer."""
    ours = {name.upper() for name in Settings.model_fields}
    others = {
        name: value
        for name, value in os.environ.items()
        if name.removesuffix("_FILE") not in ours and not name.startswith(("QUEUES__", "SMTP_"))
    }
    demo = {
        "MODE": "worker",
        "NAMESPACE": NAMESPACE,
        "WORKER_QUEUES": ",".join(QUEUES),
        "SECRETS_DIR": folder,
        "MEDIA_DIR": str(media()),
    }
    demo |= {f"QUEUES__{queue.upper()}__CONCURRENCY": str(limit) for queue, limit in QUEUES.items()}
    demo["KEEP_RESULT"] = f"{_KEPT}s"
    demo |= {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mail_port),
        "SMTP_TLS": "none",
        "SMTP_FROM": "demo@example.org",
    }
    return others | _redis_variables(target) | demo | {"PYTHONPATH": str(SRC)}


def _redis_variables(target: RedisTarget) -> dict[str, str]:
    password = quote(target.password or "", safe="")
    variables = {"REDIS_URL": target.safe_url.replace(":***@", f":{password}@", 1)}
    if target.sentinel_password is not None:
        variables["REDIS_SENTINEL_PASSWORD"] = target.sentinel_password
    if target.tls is not None:
        options = {f"REDIS_SSL_{name.upper()}": value for name, value in asdict(target.tls).items()}
        variables |= {name: str(value) for name, value in options.items() if value is not None}
    return variables
