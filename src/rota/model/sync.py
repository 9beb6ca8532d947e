"""The handles of code without an event loop: the same answers, and each call blocks until it has one."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic_core import from_json

from rota.model.flows.handle import FlowClient, FlowHandle, FlowInfo, RetryAnswer
from rota.model.handle import Handle, JobClient, result_of
from rota.model.info import CancelAnswer, JobInfo, RescheduleAnswer
from rota.model.log.lines import LogLine

R = TypeVar("R")
T = TypeVar("T")


class Bridge(Protocol):
    """The way from a blocking call to a client on an event loop that runs in another thread."""

    def ask(self, question: Callable[[Any], Awaitable[T]], *, longer: float | None = 0.0) -> T:
        """Ask the client, and return its answer.

        It may take `longer` seconds more than any call to Redis may (None: without end). Raises ServerError.
        """

    def tell(self, question: Callable[[Any], Awaitable[object]]) -> None:
        """Ask the client, and wait for no answer. What goes wrong is let go."""

    def close(self) -> None:
        """Close all that the bridge has opened by itself."""


class SyncSource(Protocol):
    """A client for code without an event loop, as `Job.handle` and `Pipeline.handle` take it."""

    def queue_of(self, job: Any, /) -> str:
        """Return the queue that `job` belongs to."""

    def handle(self, queue: str, job_id: str, job: Any, /) -> "SyncHandle[Any]":
        """Return a handle of a job by its id."""

    def flow(self, flow_id: str, pipeline: Any, /) -> "SyncFlowHandle[Any]":
        """Return a handle of a pipeline's run by its id."""


class _Blocking(Generic[R]):
    """A handle whose methods block: the id of what was enqueued, and how to parse its result."""

    __slots__ = ("_bridge", "_parse", "created", "id")

    def __init__(
        self,
        bridge: Bridge,
        id: str,  # noqa: A002 - the field's word
        parse: Callable[[Any], R] | None = None,
        *,
        created: bool = True,
    ) -> None:
        self._bridge = bridge
        self._parse = parse
        self.id = id
        self.created = created


class SyncHandle(_Blocking[R]):
    """One enqueued job, as a SyncClient returns it: a Handle whose methods block.

    `id`, `queue` and `created` are those of Handle.
    """

    __slots__ = ("queue",)

    def __init__(
        self,
        bridge: Bridge,
        queue: str,
        id: str,  # noqa: A002 - the field's word
        parse: Callable[[Any], R] | None = None,
        *,
        created: bool = True,
    ) -> None:
        super().__init__(bridge, id, parse, created=created)
        self.queue = queue

    def status(self) -> JobInfo:
        """Return the job as it is now.

        Raises JobNotFound when Redis no longer holds the job, ServerError.
        """
        return self._ask(lambda client: client.status(self.queue, self.id))

    def result(self, timeout: float | None = None) -> R:
        """Wait for the job's result, at most `timeout` seconds (None: without end, until Ctrl-C).

        Raises JobFailed for a dead job, with its error; JobCancelled; ResultTimeout, and the job goes on; JobNotFound
        when the result is no longer kept (`keep_result`); InvalidResult; ServerError.
        """
        info = self._ask(lambda client: client.wait(self.queue, self.id, timeout), longer=timeout)
        return result_of(info, self._parse, self.id)

    def log(self, *, after: str | None = None) -> list[LogLine]:
        """Return what the job's handler has logged, or what of it comes after a position; see `Client.log`.

        Raises JobNotFound, ValueError, ServerError.
        """
        return self._ask(lambda client: client.log(self.queue, self.id, after=after))

    def cancel(self) -> CancelAnswer:
        """Cancel the job; the answers are those of `Handle.cancel`. Raises ServerError."""
        return self._ask(lambda client: client.cancel(self.queue, self.id))

    def reschedule(
        self, *, delay: float | timedelta | None = None, at: datetime | None = None
    ) -> RescheduleAnswer:
        """Make the job due at another time, by default now; see `Client.reschedule`. Raises ServerError."""
        return self._ask(lambda client: client.reschedule(self.queue, self.id, delay=delay, at=at))

    def _ask(self, question: Callable[[JobClient], Awaitable[T]], longer: float | None = 0.0) -> T:
        return self._bridge.ask(question, longer=longer)

    def __repr__(self) -> str:
        return f"<SyncHandle {self.queue} {self.id}>"


class SyncFlowHandle(_Blocking[R]):
    """One run of a pipeline, as a SyncClient returns it: a FlowHandle whose methods block.

    `id` and `created` are those of FlowHandle.
    """

    __slots__ = ()

    def status(self) -> FlowInfo:
        """Return how far the run is.

        Raises JobNotFound when Redis no longer holds the run, ServerError.
        """
        return self._ask(lambda flows: flows.status(self.id))

    def result(self, timeout: float | None = None) -> R:
        """Wait for the last stage's result, at most `timeout` seconds (None: without end, until Ctrl-C).

        Raises what `FlowHandle.result` raises.
        """
        raw = self._ask(lambda flows: flows.result(self.id, timeout), longer=timeout)
        value = from_json(raw)
        parsed: R = value if self._parse is None else self._parse(value)
        return parsed

    def cancel(self) -> Literal["cancelled", "finished"]:
        """Cancel the run; the answers are those of `FlowHandle.cancel`. Raises ServerError."""
        return self._ask(lambda flows: flows.cancel(self.id))

    def retry(self) -> RetryAnswer:
        """Let a dead run go on; the answers are those of `FlowHandle.retry`. Raises JobNotFound, ServerError."""
        return self._ask(lambda flows: flows.retry(self.id))

    def _ask(self, question: Callable[[FlowClient], Awaitable[T]], longer: float | None = 0.0) -> T:
        return self._bridge.ask(lambda client: question(client.flows), longer=longer)

    def __repr__(self) -> str:
        return f"<SyncFlowHandle {self.id}>"


def sync_handle(bridge: Bridge, handle: Handle[R], parse: Callable[[Any], R] | None) -> SyncHandle[R]:
    """Return the blocking handle of the job that `handle` names."""
    return SyncHandle(bridge, handle.queue, handle.id, parse, created=handle.created)


def sync_flow_handle(
    bridge: Bridge, handle: FlowHandle[R], parse: Callable[[Any], R] | None
) -> SyncFlowHandle[R]:
    """Return the blocking handle of the run that `handle` names."""
    return SyncFlowHandle(bridge, handle.id, parse, created=handle.created)
