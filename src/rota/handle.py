"""A handle: one job that was enqueued, to look at, wait for and cancel."""

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar

from rota.cancellation import CancelAnswer
from rota.errors import JobCancelled, JobFailed
from rota.job import Job, Promise
from rota.state import State
from rota.view import JobInfo

if TYPE_CHECKING:
    from rota.client import Client

P = ParamSpec("P")
R = TypeVar("R")
H_co = TypeVar("H_co", covariant=True)


class Handle(Generic[R]):
    """One enqueued job. `id` is its id on the wire; `created` is False where the id was taken by a live job."""

    __slots__ = ("_client", "_job", "created", "id", "queue")

    def __init__(
        self,
        client: "Client",
        queue: str,
        id: str,  # noqa: A002 - the field's word
        job: Job[Any, R] | None = None,
        *,
        created: bool = True,
    ) -> None:
        self._client = client
        self._job = job
        self.queue = queue
        self.id = id
        self.created = created

    async def status(self) -> JobInfo:
        """The job as it is now. Raises JobNotFound for one that Redis no longer holds."""
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
        parsed: R = info.result if self._job is None else self._job.result.parse(info.result)
        return parsed

    async def cancel(self) -> CancelAnswer:
        """Cancel the job: `cancelled` if it waited, `requested` if a worker has it, `finished` if it is over."""
        return await self._client.cancel(self.queue, self.id)

    def __repr__(self) -> str:
        return f"<Handle {self.queue} {self.id}>"


class Enqueueable(Protocol[P, H_co]):
    """A job or a pipeline: what may be enqueued, the arguments it takes, and the handle that comes of it."""

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Promise[Any]: ...
    def handle(self, client: "Client", id: str, /) -> H_co: ...  # noqa: A002 - the field's word
