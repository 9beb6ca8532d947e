"""Child processes for the handlers that would keep the event loop busy: the worker's side; `child` is the other one.

A child is killed when its job is stopped, with the programs that it has started, and its neighbours do not notice. It
leads a session of its own: its process group is what it has started, and a terminal's signals do not reach it.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from traceback import FrameSummary
from typing import Any

from rota.attempts.off_loop.frames import LENGTHS, frame, revive
from rota.attempts.off_loop.stacks import Stacks
from rota.engine.execution import Execution
from rota.errors import ChildDied
from rota.model.job import Job
from rota.model.run import Run
from rota.telemetry.logs.records import retell

#: Takes a checkpoint that a handler has saved, as JSON.
Keep = Callable[[bytes], None]

#: How long a worker reads what a killed child had written, in seconds.
LAST_WORDS = 1.0

#: How often a worker looks whether a child that has a job still runs, in seconds. Its socket tells nothing while a
#: process that the handler forked holds the other end open.
LOOK = 0.25

#: A child imports from the same places as its worker, and collects garbage when it has.
_BOOT = (
    "import gc; gc.disable(); import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from rota.attempts.off_loop.child import main; main(int(sys.argv[1]), int(sys.argv[3]))"
)


class Processes:
    """The child processes of a worker process. They are started when first needed, and kept; at most one a slot."""

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
        """Run `job` in a child with `arguments` (JSON); return its result as JSON.

        Raises what the handler raises, as far as that can be sent, and ChildDied. The child is killed when the
        execution is stopped. A result of more than `result_limit` bytes stays in the child.
        """
        child = await self._take_idle() or await self._start()
        try:
            with _interrupting(execution, child):
                result = await child.run(job, run, arguments, execution.keep, result_limit)
        except (ChildDied, asyncio.CancelledError):
            await self._bury(child, execution.keep)
            raise
        except Exception:
            self._idle.append(child)
            raise
        self._idle.append(child)
        return result

    async def _take_idle(self) -> "_Child | None":
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
            # It died while it had nothing to do, so no job has failed.
            self._all.discard(child)
            await child.reap()
        return None

    async def _start(self) -> "_Child":
        child = await _Child.start()
        self._all.add(child)
        return child

    async def _bury(self, child: "_Child", keep: Keep) -> None:
        child.kill()
        self._all.discard(child)
        await child.last_words(keep)
        await child.reap()

    @property
    def pids(self) -> list[int]:
        """The process ids of the children."""
        return [child.pid for child in self._all]

    async def close(self) -> None:
        """Kill every child, and wait until all have ended."""
        for child in self._all:
            child.kill()
        for child in self._all:
            await child.reap()
        self._all.clear()
        self._idle.clear()


@contextlib.contextmanager
def _interrupting(execution: Execution, child: "_Child") -> Iterator[None]:
    """Let the execution be interrupted by killing `child`. Raises CancelledError if it was stopped before."""

    def interrupt() -> None:
        child.kill()
        execution.cancel_task()

    execution.interrupt = interrupt
    execution.elsewhere = child.stack
    try:
        if execution.cause is not None:
            raise asyncio.CancelledError
        yield
    finally:
        # From here on the child may be another job's.
        execution.interrupt = execution.elsewhere = None


class _Child:
    """One child process, and the socket to it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stacks: Stacks,
    ) -> None:
        self._process = process
        self._stacks = stacks
        self._reader = reader
        self._writer = writer
        self._lengths: tuple[int, int] | None = None
        self._status: int | None = None
        self._looking: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls) -> "_Child":
        """Start a child and wait until it is ready. Raises ChildDied."""
        # Started from this thread, never forked from a pool's: no lock of ours is copied in the middle of its use.
        ours, theirs = socket.socketpair()
        stacks = Stacks()
        with theirs, stacks.written_by_child() as fd:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - it returns at once, and runs our own program
                [sys.executable, "-c", _BOOT, str(theirs.fileno()), json.dumps(sys.path), str(fd)],
                pass_fds=(theirs.fileno(), fd),
                start_new_session=True,
            )
        try:
            reader, writer = await asyncio.open_connection(sock=ours, limit=2**20)
            child = cls(process, reader, writer, stacks)
            await child._receive()
        except BaseException:
            # Stopped while it booted: it is not in the list of children yet.
            _kill_group(process.pid)
            process.wait()
            ours.close()
            stacks.close()
            raise
        return child

    @property
    def alive(self) -> bool:
        return self._look() is None and not self._reader.at_eof()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def run(
        self, job: Job[Any, Any], run: Run, arguments: bytes, keep: Keep, result_limit: int | None
    ) -> bytes:
        """Run one job; return its result as JSON. Raises what the handler raises, ChildDied."""
        head = {
            "module": job.handler.__module__,
            "qualname": job.handler.__qualname__,
            "run": run.facts.wire(),
            "result_limit": result_limit,
            "log_level": logging.getLogger().level,
        }
        self._writer.write(frame(head, arguments))
        with self._watched():
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
                    raise revive(answer, body)

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Look four times a second, while the block runs, whether the process has ended."""
        self._look_again(False)
        try:
            yield
        finally:
            if self._looking is not None:
                self._looking.cancel()

    def _look_again(self, ended: bool) -> None:
        if ended:
            # A process beyond its group holds the socket. What was written in time has been read.
            self._writer.close()
        has_ended = self._look() is not None
        self._looking = asyncio.get_running_loop().call_later(LOOK, self._look_again, has_ended)

    def _look(self) -> int | None:
        """Return the status of the process, None while it runs. What it has started ends with it."""
        if self._status is None and (status := self._process.poll()) is not None:
            self._status = status
            _kill_group(self.pid)
        return self._status

    async def last_words(self, keep: Keep) -> None:
        """Read what a killed child had written before: checkpoints and logs. How its job ended counts no more."""
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
        """Read the next frame. If a call is cancelled in the middle of a frame, the next call reads the rest of it."""
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
        """Kill the process and what it has started."""
        if self._look() is None:
            _kill_group(self.pid)

    async def reap(self) -> int:
        """Wait until the process has ended; return its status."""
        self._writer.close()
        while (status := self._look()) is None:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.01)
        self._stacks.close()
        return status

    def stack(self) -> list[FrameSummary]:
        """Return where the handler is; nothing where the process does not say. May be called from any thread."""
        return self._stacks.ask(self._process)


def _kill_group(pid: int) -> None:
    """Kill the process group that the process `pid` leads or has led."""
    # A group of which all have ended is gone. On macOS, one of which all are zombies may not be signalled.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
