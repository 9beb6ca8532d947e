"""A thread that is asked, by a list in Redis, where a running job is, and answers while the event loop is blocked.

It costs a worker that nobody asks two commands in four minutes.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from redis.exceptions import RedisError

from rota.engine.execution import Execution
from rota.engine.stacks.looking import stack_of
from rota.names import printable
from rota.wire.claims import decode_id
from rota.wire.keys import STACK, stack_answer_key, stack_key

logger = logging.getLogger("rota.worker")

#: One call waits on the server for at most this long, in seconds.
LONGEST = 240.0
#: An answer is kept for this many seconds.
KEPT = 10
#: The pauses after a fault of Redis grow up to this, in seconds.
PAUSE = 10.0
#: How often it is looked whether the workers are there that may be asked, in seconds.
LOOK = 0.2
#: The pauses in which the thread is given time to end, in seconds; it ends with the process in any case.
_ENDING = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)

#: The executions of each worker of the process, by the worker's id, and by the job's.
Executions = Mapping[str, Mapping[str, Execution]]


class StackTeller:
    """The service that tells where running jobs are. One serves all queues of a process.

    :param connect: makes the plain Redis client on which it waits, whose calls may block for LONGEST.
    :param executions: returns what the workers run, empty while there are no workers yet.
    """

    name = "stacks"
    may_end = False

    def __init__(self, connect: Callable[[], Any], executions: Callable[[], Executions]) -> None:
        self._connect = connect
        self._executions = executions
        self._redis: Any = None

    async def run(self) -> None:
        """Answer until cancelled. Raises the error that ended the thread."""
        while not (workers := list(self._executions())):  # noqa: ASYNC110 - workers set no event
            await asyncio.sleep(LOOK)
        loop, stop = asyncio.get_running_loop(), threading.Event()
        failure: asyncio.Future[None] = loop.create_future()
        answering = _Answering(self._connect, self._executions, loop, stop, failure)
        keys = [stack_key(worker) for worker in workers]
        thread = threading.Thread(target=answering.run, args=(keys,), name="rota-stacks", daemon=True)
        thread.start()
        try:
            await failure
        finally:
            stop.set()
            # A call that is about to begin cannot be hung up yet.
            for pause in _ENDING:
                answering.hang_up()
                if not thread.is_alive():
                    break
                await asyncio.sleep(pause)


class _Answering:
    """The thread of a teller, and its connection."""

    def __init__(
        self,
        connect: Callable[[], Any],
        executions: Callable[[], Executions],
        loop: asyncio.AbstractEventLoop,
        stop: threading.Event,
        failure: "asyncio.Future[None]",
    ) -> None:
        self._connect = connect
        self._executions = executions
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._stop = stop
        self._failure = failure
        self._redis: Any = None

    def run(self, keys: list[str]) -> None:
        """Answer what is asked in the lists `keys`, until told to stop."""
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                self._redis = self._redis or self._connect()
                if self._stop.is_set():
                    return
                asked = self._redis.blpop(keys, timeout=LONGEST)
                pause = 0.0
                if asked is not None:
                    self._answer(*asked)
            except (RedisError, OSError):
                # The parts that must get through log it.
                self.hang_up()
                self._redis, pause = None, min(PAUSE, pause * 2 + 0.5)
            except Exception as error:
                self._fail(error)
                return

    def hang_up(self) -> None:
        """End the call that waits, from any thread."""
        redis = self._redis
        if redis is not None:
            with contextlib.suppress(RedisError, OSError):
                redis.connection_pool.disconnect()

    def _answer(self, key: bytes, asked: bytes) -> None:
        request, _, member = asked.partition(b" ")
        job_id = decode_id(member)
        worker = key.decode().removeprefix(STACK)
        execution = self._executions().get(worker, {}).get(job_id)
        stack = None if execution is None else stack_of(execution, self._loop, self._loop_thread)
        logger.info("job.stack_asked", extra={"job_id": printable(job_id), "found": stack is not None})
        answer = b"null" if stack is None else stack.wire()
        self._redis.set(stack_answer_key(request.decode("ascii", "replace")), answer, ex=KEPT)

    def _fail(self, error: Exception) -> None:
        def raise_in() -> None:
            if not self._failure.done():
                self._failure.set_exception(error)

        if not self._stop.is_set():
            self._loop.call_soon_threadsafe(raise_in)
