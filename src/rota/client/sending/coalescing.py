"""Coalescing: enqueues of one process that meet on their way to Redis go there together.

The first of a queue goes at once. Those that come while it is under way wait for its answer, and then go in one call of
the script. So a web process with many requests makes few calls over one connection, and code that enqueues one job
after the other waits for nothing.

Of a crowd only half goes in a call, and the other half as soon as that is answered, before the callers of the first
half are told: while these go on, Redis has work. So a hundred callers enqueue a quarter more, with as many calls.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from redis.exceptions import DataError, OutOfMemoryError, ReadOnlyError, ResponseError

from rota.server.faults import ServerError

#: The most jobs that one call of the script puts: it keeps a call near 2 ms of Redis' time.
MOST_JOBS = 200
#: As many that wait go together, before half of them does.
_CROWD = 25
#: The most bytes of payloads that go together: a small job should not wait for megabytes of others.
MOST_BYTES = 1_048_576
#: Where the payload is among the values of a job.
_PAYLOAD = 1
#: Refusals that are about the server, and so about each job of a call.
_OF_ALL = (OutOfMemoryError, ReadOnlyError)

#: Calls the script for jobs of one queue, by its name and the jobs' values; returns an answer for each job.
Call = Callable[[str, Sequence[Any]], Awaitable[Sequence[Any]]]


class Shape(NamedTuple):
    """How many values a script takes of each job, and which of them are names that come once in a call.

    Within a call, a job that was put a moment before cannot be replaced yet.
    """

    width: int
    names: tuple[int, ...]


class _Waiting(NamedTuple):
    """An enqueue that waits for its turn: where its caller gets the answers of its jobs, and their values."""

    answers: asyncio.Future[Sequence[Any]]
    values: Sequence[Any]


# As `_Waiting._make`, which calls it through two functions more.
_waiting = partial(tuple.__new__, _Waiting)


class Coalescer:
    """Puts jobs on queues, with one call of the script under way for each queue.

    :param call: calls the script. It raises ServerError, with the fault as its cause.
    """

    def __init__(self, call: Call, shape: Shape) -> None:
        self._call = call
        self._shape = shape
        # As many values fill a call.
        self._full = MOST_JOBS * shape.width
        # By queue, and only while a call of that queue is under way.
        self._waiting: dict[str, list[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, queue: str, values: Sequence[Any]) -> Awaitable[Sequence[Any]]:
        """Put jobs on a queue, at most `MOST_JOBS`; return what gives the answer for each. Raises what `call` raises.

        What is returned is awaited at once. A caller that is cancelled while it waits puts nothing, and takes nothing
        from the others.
        """
        if len(values) >= self._full:
            # It fills a call by itself.
            return self._call(queue, values)
        waiting = self._waiting.get(queue)
        if waiting is None:
            return self._go_first(queue, values)
        # No coroutine is around this: with many callers, each would take 0.3 µs for every job.
        answers = asyncio.get_running_loop().create_future()
        waiting.append(_waiting((answers, values)))
        return answers

    async def _go_first(self, queue: str, values: Sequence[Any]) -> Sequence[Any]:
        self._waiting[queue] = []
        is_well = True
        try:
            return await self._call(queue, values)
        except ServerError as error:
            is_well = not _is_unanswered(error)
            raise
        finally:
            self._go_on(queue, is_well, 1)

    def close(self) -> None:
        """Refuse those that wait for their turn."""
        for waiting in self._waiting.values():
            for one in waiting:
                _fail(one, ServerError("the client was closed before the job was sent: it is not enqueued"))
            waiting.clear()

    def _go_on(self, queue: str, is_well: bool, answered: int) -> None:
        """Send the next that wait, in a task of their own: the callers before them need not wait for these.

        `answered` is how many there are of those. Where Redis did not answer, all that wait go at once, so that nobody
        waits for more than two timeouts.
        """
        waiting = self._waiting[queue]
        if not waiting:
            del self._waiting[queue]
            return
        half = (len(waiting) + answered + 1) // 2
        most = min(MOST_JOBS, max(half, _CROWD)) if is_well else MOST_JOBS
        groups = [_next(waiting, self._shape, most)]
        while not is_well and groups[-1]:
            groups.append(_next(waiting, self._shape, most))
        if not groups[0]:
            del self._waiting[queue]
            return
        sending = self._send_next(queue, groups[0]) if is_well else self._send_all(queue, groups[:-1])
        # Of no caller's context: a trace, or a job's log, has its own enqueue alone.
        task = asyncio.get_running_loop().create_task(sending, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_next(self, queue: str, group: Sequence[_Waiting]) -> None:
        try:
            is_well, answers = await self._ask(queue, group)
        except BaseException:
            self._give_up(queue, group)
            raise
        self._go_on(queue, is_well, len(group))
        self._tell(group, answers)

    async def _send_all(self, queue: str, groups: Sequence[Sequence[_Waiting]]) -> None:
        try:
            is_well = all(await asyncio.gather(*(self._send(queue, group) for group in groups)))
        except BaseException:
            self._give_up(queue, list(chain.from_iterable(groups)))
            raise
        self._go_on(queue, is_well, 0)

    def _give_up(self, queue: str, group: Sequence[_Waiting]) -> None:
        """Cancel those that are sent, and those that wait, as the event loop ends."""
        for one in [*group, *self._waiting.pop(queue)]:
            one.answers.cancel()

    async def _send(self, queue: str, group: Sequence[_Waiting]) -> bool:
        """Send enqueues in one call, and tell each what became of it. Return whether Redis has answered."""
        is_well, answers = await self._ask(queue, group)
        self._tell(group, answers)
        return is_well

    async def _ask(self, queue: str, group: Sequence[_Waiting]) -> tuple[bool, Sequence[Any] | None]:
        """Send enqueues in one call. Return whether Redis has answered, and its answers if each is yet to be told."""
        try:
            return True, await self._call(queue, list(chain.from_iterable([one.values for one in group])))
        except Exception as error:
            return await self._share(queue, group, error), None

    def _tell(self, group: Sequence[_Waiting], answers: Sequence[Any] | None) -> None:
        if answers is None:
            return
        width, at = self._shape.width, 0
        for waits, values in group:
            jobs = len(values) // width
            # A caller may have left.
            if not waits.done():
                waits.set_result(answers[at : at + jobs])
            at += jobs

    async def _share(self, queue: str, group: Sequence[_Waiting], error: Exception) -> bool:
        """Tell each enqueue of a call that failed; where one alone may be to blame, it is found out by halves.

        A call that was refused has put nothing. What became of one that was not answered nobody knows, and all of its
        enqueues are told so.
        """
        is_unanswered = _is_unanswered(error)
        if len(group) > 1 and not is_unanswered and not isinstance(error.__cause__, _OF_ALL):
            middle = len(group) // 2
            return await self._send(queue, group[:middle]) & await self._send(queue, group[middle:])
        for one in group:
            _fail(one, _again(error))
        return not is_unanswered


def _fail(one: _Waiting, error: Exception) -> None:
    """Raise an error in the caller, unless it has left."""
    if not one.answers.done():
        one.answers.set_exception(error)


def _next(waiting: list[_Waiting], shape: Shape, most: int) -> list[_Waiting]:
    """Take `most` that go in the next call, or fewer, at least one if any waits whose caller has not left."""
    # Mostly all of the first go, which is found out with little more than a comprehension: 0.4 µs each in place of 2.
    first = waiting[:most]
    group = [one for one in first if not one.answers.done()]
    values = list(chain.from_iterable([one.values for one in group]))
    names, size = _names_and_size(values, shape)
    if 0 < len(values) <= MOST_JOBS * shape.width and len(set(names)) == len(names) and size <= MOST_BYTES:
        del waiting[: len(first)]
        return group
    return _those_that_fit(waiting, shape, most)


def _those_that_fit(waiting: list[_Waiting], shape: Shape, most: int) -> list[_Waiting]:
    group: list[_Waiting] = []
    names, jobs, size, taken = set[str](), 0, 0, 0
    for one in waiting:
        if not one.answers.done():
            own_names, own_size = _names_and_size(one.values, shape)
            jobs, size = jobs + len(one.values) // shape.width, size + own_size
            is_full = len(group) == most or jobs > MOST_JOBS or size > MOST_BYTES
            if group and (is_full or not names.isdisjoint(own_names)):
                break
            group.append(one)
            names.update(own_names)
        taken += 1
    del waiting[:taken]
    return group


def _names_and_size(values: Sequence[Any], shape: Shape) -> tuple[list[str], int]:
    """Return the names among the values of jobs, and the bytes of their payloads."""
    names = [name for place in shape.names for name in values[place :: shape.width]]
    return names, sum(map(len, values[_PAYLOAD :: shape.width]))


def _is_unanswered(error: Exception) -> bool:
    """Tell whether a call may have put its jobs although it failed."""
    return isinstance(error, ServerError) and not isinstance(error.__cause__, ResponseError | DataError)


def _again(error: Exception) -> Exception:
    """Return an error for one more caller: each gets its own, with a traceback of its own."""
    if not isinstance(error, ServerError):
        return error
    again = ServerError(str(error), error.transient)
    again.__cause__ = error.__cause__
    return again
