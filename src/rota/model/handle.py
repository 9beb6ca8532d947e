"""A handle names one enqueued job, to look at, wait for and cancel; a client does the work."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from rota.errors import JobCancelled, JobFailed
from rota.model.info import CancelAnswer, JobInfo
from rota.model.state import State

R = TypeVar("R")


class JobClient(Protocol):
    """What a handle asks of its client."""

    async def status(self, queue: str, job_id: str) -> JobInfo:
        """Look at a job. Raises JobNotFound."""

    async def wait(self, queue: str, job_id: str, timeout: float | None = None) -> JobInfo:
        """Wait until a job is over, at most `timeout` seconds. Raises ResultTimeout, JobNotFound."""

    async def cancel(self, queue: str, job_id: str) -> CancelAnswer:
        """Cancel a job."""

    def queue_of(self, job: Any) -> str:
        """Return the queue that `job` belongs to."""


class Handle(Generic[R]):
    """One enqueued job. `id` is its id on the wire; `created` is False where the id was taken by a live job.

    `parse` makes the typed result of its JSON value; without it `result()` gives the JSON value itself.
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
        """Look at the job as it is now. Raises JobNotFound for one that Redis no longer holds."""
        return await self._client.status(self.queue, self.id)

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the job's result, at most `timeout` seconds (None: as long as it takes).

        Raises JobFailed for a dead job, JobCancelled, ResultTimeout, JobNotFound.
        """
        info = await self._client.wait(self.queue, self.id, timeout)
        if info.state is State.CANCELLED:
            raise JobCancelled(self.id, info.reason)
        if info.state is State.DEAD:
            error = info.error
            raise JobFailed(
                error.type if error else "unknown",
                error.message if error else "",
                self.id,
                error.traceback if error else None,
            )
        parsed: R = info.result if self._parse is None else self._parse(info.result)
        return parsed

    async def cancel(self) -> CancelAnswer:
        """Cancel the job: `cancelled` if it waited, `requested` if a worker has it, `finished` if it is over."""
        return await self._client.cancel(self.queue, self.id)

    def __repr__(self) -> str:
        return f"<Handle {self.queue} {self.id}>"
