"""The handle of one enqueued job, to look at it, wait for it and cancel it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from rota.errors import JobCancelled, JobFailed
from rota.model.info import CancelAnswer, JobInfo, RescheduleAnswer
from rota.model.log.lines import LogLine
from rota.model.state import State

R = TypeVar("R")


class JobClient(Protocol):
    """The client behind a handle: the methods that a handle calls."""

    async def status(self, queue: str, job_id: str) -> JobInfo:
        """Return a job as it is now. Raises JobNotFound."""

    async def wait(self, queue: str, job_id: str, timeout: float | None = None) -> JobInfo:
        """Wait until a job is over, at most `timeout` seconds. Raises ResultTimeout, JobNotFound."""

    async def log(self, queue: str, job_id: str, *, after: str | None = None) -> list[LogLine]:
        """Return what the handler of a job has logged, or what of it comes after a position."""

    async def cancel(self, queue: str, job_id: str) -> CancelAnswer:
        """Cancel a job, or ask the worker that runs it to stop."""

    async def reschedule(
        self, queue: str, job_id: str, *, delay: float | timedelta | None = None, at: datetime | None = None
    ) -> RescheduleAnswer:
        """Make a job that waits due at another time."""

    def queue_of(self, job: Any, /) -> str:
        """Return the queue that `job` belongs to."""

    def handle(self, queue: str, job_id: str, job: Any, /) -> "Handle[Any]":
        """Return a handle of a job by its id."""


class Handle(Generic[R]):
    """One enqueued job: `client.enqueue` returns it, `client.handle` and `Job.handle` make it from a known id.

    `id` is the job's id in Redis: `<queue>:<id>` for an id that you gave. `created` is False where the enqueue found a
    live job with the same id or unique key, which the handle then names. `result()` is typed as the job's handler is; a
    handle that was made without the job returns the JSON value itself.
    """

    __slots__ = ("_client", "_parse", "created", "id", "queue")

    def __init__(
        self,
        client: JobClient,
        queue: str,
        id: str,  # noqa: A002 - the field's word
        parse: Callable[[Any], R] | None = None,
        *,
        created: bool = True,
    ) -> None:
        self._client = client
        self._parse = parse
        self.queue = queue
        self.id = id
        self.created = created

    async def status(self) -> JobInfo:
        """Return the job as it is now.

        Raises JobNotFound when Redis no longer holds the job, ServerError.
        """
        return await self._client.status(self.queue, self.id)

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the job's result, at most `timeout` seconds (None: without end).

        Raises JobFailed for a dead job, with its error; JobCancelled; ResultTimeout, and the job goes on; JobNotFound
        when the result is no longer kept (`keep_result`); InvalidResult; ServerError.
        """
        return result_of(await self._client.wait(self.queue, self.id, timeout), self._parse, self.id)

    async def log(self, *, after: str | None = None) -> list[LogLine]:
        """Return what the job's handler has logged, or what of it comes after a position; see `Client.log`.

        Raises JobNotFound, ValueError, ServerError.
        """
        return await self._client.log(self.queue, self.id, after=after)

    async def cancel(self) -> CancelAnswer:
        """Cancel the job.

        Returns "cancelled" for a job that waited, and is gone; "requested" for a job that runs, which its worker stops
        within a second unless it ends before; "finished" for a job that is over; "not found" where no record of it is
        kept. Raises ServerError.
        """
        return await self._client.cancel(self.queue, self.id)

    async def reschedule(
        self, *, delay: float | timedelta | None = None, at: datetime | None = None
    ) -> RescheduleAnswer:
        """Make the job due at another time, by default now; see `Client.reschedule`. Raises ServerError."""
        return await self._client.reschedule(self.queue, self.id, delay=delay, at=at)

    def __repr__(self) -> str:
        return f"<Handle {self.queue} {self.id}>"


def result_of(info: JobInfo, parse: Callable[[Any], R] | None, job_id: str) -> R:
    """Return the result of a job that is over; `job_id` is the id that it was asked for by.

    Raises JobFailed, JobCancelled, RefusedPayload for a result that this process has no key for, and what `parse`
    raises. A record that nobody with a key has written is a failure.
    """
    if info.state is State.CANCELLED:
        raise JobCancelled(job_id, info.reason)
    if info.state is State.DEAD:
        error = info.error
        raise JobFailed(
            error.type if error else "unknown",
            error.message if error else "",
            job_id,
            error.traceback if error else None,
        )
    if info.refused is not None:
        raise info.refused
    parsed: R = info.result if parse is None else parse(info.result)
    return parsed
