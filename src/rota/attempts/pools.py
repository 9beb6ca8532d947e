"""Where handlers run that must not run on the event loop: threads, and child processes, one a slot.

A thread cannot be killed: told to stop, it keeps its slot until it ends, or for five seconds; after that the attempt
is settled without it and the process asks to be recycled. A child process is killed, and its neighbours do not notice.
"""

import asyncio
import contextlib
import contextvars
import json
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from rota.attempts.child import LENGTHS, frame
from rota.engine.execution import PATIENCE, Execution
from rota.errors import (
    Cancel,
    ChildDied,
    InvalidPayload,
    InvalidResult,
    RemoteError,
    ResultTooLarge,
    Retry,
    Snooze,
)
from rota.model.job import Job
from rota.model.run import Run
from rota.names import printable
from rota.telemetry.logs.records import retell
from rota.wire.envelopes import error_of

logger = logging.getLogger("rota.pools")

#: What takes the JSON that a handler has saved.
Keep = Callable[[bytes], None]

#: What a killed child has written is read in this time, seconds.
LAST_WORDS = 1.0

#: A child imports what its parent can import.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from rota.attempts.child import main; main(int(sys.argv[1]))"
)


class Threads:
    """An executor of our own, sized to the slots: asyncio's would stall the jobs beyond its few threads.

    `on_stuck` is called when a thread did not end in time; it goes on running, so the process should be recycled.
    """

    def __init__(self, size: int, on_stuck: Callable[[], object], patience: float = PATIENCE) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix="rota-job")
        self._on_stuck = on_stuck
        self._patience = patience

    async def call(
        self, execution: Execution, run: Run, handler: Callable[..., Any], arguments: Mapping[str, Any]
    ) -> Any:
        """Run `handler` in a thread; what it returns or raises. CancelledError if it had to be left behind."""
        loop = asyncio.get_running_loop()
        abandoned: asyncio.Future[None] = loop.create_future()

        def interrupt() -> None:
            run.cancelled = True
            loop.call_later(self._patience, abandoned.cancel)

        execution.interrupt = interrupt
        if execution.cause is not None:
            interrupt()
        context = contextvars.copy_context()
        work = loop.run_in_executor(self._executor, partial(context.run, handler, run, **arguments))
        try:
            await asyncio.wait({work, abandoned}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # What middleware does after the thread is stopped as any coroutine is.
            execution.interrupt = execution.cancel_task
        if work.done():
            return work.result()
        work.add_done_callback(lambda future: future.cancelled() or future.exception())
        logger.error("thread.stuck", extra={"job_id": printable(execution.claim.id), "job": run.job})
        self._on_stuck()
        raise asyncio.CancelledError

    def close(self) -> None:
        """Take no more work; threads that still run are left behind."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Processes:
    """Child processes, started when first needed and kept; at most one a slot."""

    def __init__(self) -> None:
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()

    async def call(
        self,
        execution: Execution,
        run: Run,
        job: Job[Any, Any],
        arguments: bytes,
        *,
        result_limit: int | None = None,
    ) -> bytes:
        """Run `job` in a child; its result as JSON. Raises what the handler raised, as far as it crosses a pipe.

        The child is killed when the execution is stopped. A result of more than `result_limit` bytes stays in it.
        """
        child = await self._idle_child() or await self._start()

        def interrupt() -> None:
            child.kill()
            execution.cancel_task()

        execution.interrupt = interrupt
        try:
            if execution.cause is not None:
                raise asyncio.CancelledError
            head = _head(job, run) | {"result_limit": result_limit}
            result = await child.run(head, arguments, run, execution.keep)
        except (ChildDied, asyncio.CancelledError):
            child.kill()
            self._all.discard(child)
            await child.last_words(execution.keep)
            await child.reap()
            raise
        except Exception:
            self._idle.append(child)
            raise
        finally:
            # From here on the child may be another job's.
            execution.interrupt = execution.cancel_task
        self._idle.append(child)
        return result

    async def _idle_child(self) -> "_Child | None":
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
            # It died while it had nothing to do, which is no job's fault.
            self._all.discard(child)
            await child.reap()
        return None

    async def _start(self) -> "_Child":
        child = await _Child.start()
        self._all.add(child)
        return child

    @property
    def pids(self) -> list[int]:
        """The children that live."""
        return [child.pid for child in self._all]

    async def close(self) -> None:
        """End every child."""
        for child in self._all:
            child.kill()
        for child in self._all:
            await child.reap()
        self._all.clear()
        self._idle.clear()


class _Child:
    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._lengths: tuple[int, int] | None = None

    @classmethod
    async def start(cls) -> "_Child":
        # Started from this thread, never forked from a pool's: no lock of ours is copied in the middle of its use.
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - it returns at once, and runs our own program
                [sys.executable, "-c", _BOOT, str(theirs.fileno()), json.dumps(sys.path)],
                pass_fds=(theirs.fileno(),),
            )
        try:
            reader, writer = await asyncio.open_connection(sock=ours, limit=2**20)
            child = cls(process, reader, writer)
            await child._receive()
        except BaseException:
            # Stopped while it booted: it is in nobody's list yet.
            process.kill()
            process.wait()
            ours.close()
            raise
        return child

    @property
    def alive(self) -> bool:
        return self._process.poll() is None and not self._reader.at_eof()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def run(self, head: dict[str, Any], arguments: bytes, run: Run, keep: Keep) -> bytes:
        self._writer.write(frame(head, arguments))
        while True:
            answer, body = await self._receive()
            if "percent" in answer:
                run.progress(answer["percent"], answer["message"])
            elif "checkpoint" in answer:
                keep(body)
            elif "log" in answer:
                retell(answer["log"])
            elif "result" in answer:
                return body
            else:
                raise _raised(answer, body)

    async def last_words(self, keep: Keep) -> None:
        """After a kill: what it saved before, and we have not read yet. What it came to counts no more."""
        with contextlib.suppress(ChildDied, TimeoutError):
            # A process that the handler started may hold the other end open.
            async with asyncio.timeout(LAST_WORDS):
                while True:
                    answer, body = await self._receive()
                    if "checkpoint" in answer:
                        keep(body)
                    elif "log" in answer:
                        retell(answer["log"])

    async def _receive(self) -> tuple[dict[str, Any], bytes]:
        """The next frame. Cancelled in the midst of one, the next call goes on where this one was."""
        try:
            if self._lengths is None:
                self._lengths = LENGTHS.unpack(await self._reader.readexactly(LENGTHS.size))
            head, body = self._lengths
            raw = await self._reader.readexactly(head + body)
        except (asyncio.IncompleteReadError, OSError):
            raise ChildDied(await self.reap()) from None
        self._lengths = None
        return json.loads(raw[:head]), raw[head:]

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)

    async def reap(self) -> int:
        self._writer.close()
        while (status := self._process.poll()) is None:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.01)
        return status


def _head(job: Job[Any, Any], run: Run) -> dict[str, Any]:
    return {
        "module": job.handler.__module__,
        "qualname": job.handler.__qualname__,
        "id": run.id,
        "job": run.job,
        "queue": run.queue,
        "attempt": run.attempt,
        "max_attempts": run.max_attempts,
        "enqueued_ms": round(run.enqueued_at.timestamp() * 1000),
        "headers": dict(run.headers),
        "waited": run.waited,
        "last_checkpoint": run.last_checkpoint,
        "checkpoint_limit": run.checkpoint_limit,
        "snoozes": run.snoozes,
        "log_level": logging.getLogger().level,
    }


def _raised(answer: dict[str, Any], body: bytes) -> Exception:
    match answer.get("signal"):
        case "retry":
            return Retry(answer["delay"], answer["reason"])
        case "snooze":
            return Snooze(answer["delay"])
        case "cancel":
            return Cancel(answer["reason"])
    return _error(answer, body)


def _error(answer: dict[str, Any], body: bytes) -> Exception:
    match answer["error"]:
        case "InvalidPayload":
            return InvalidPayload(answer["job"], answer["problems"])
        case "InvalidResult":
            return InvalidResult(answer["job"], answer["problems"])
        case "ResultTooLarge":
            return ResultTooLarge(answer["job"], answer["size"], answer["limit"])
    error = error_of(body)
    return RemoteError(error.type, error.message, error.traceback, may_retry=answer["may_retry"])
