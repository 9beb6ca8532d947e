"""The handle of one run of a pipeline, to look at, wait for, cancel and retry it, and what such a look shows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic_core import from_json

from rota.errors import JobError
from rota.model.state import State

R = TypeVar("R")

RetryAnswer = Literal["retried", "stopping", "refused"]


@dataclass(frozen=True, slots=True)
class StageInfo:
    """How far one stage of a run is.

    `each` tells whether the stage runs once for each item of a list. `total` is the number of its jobs, None while that
    is not known.
    """

    name: str
    each: bool
    total: int | None = None
    completed: int = 0
    dead: int = 0
    cancelled: int = 0

    @property
    def share(self) -> float:
        """The part of the stage's jobs that have ended, from 0 to 1."""
        over = self.completed + self.dead + self.cancelled
        return 0.0 if self.total is None else over / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True)
class FlowInfo:
    """One run of a pipeline as it is now.

    `state` is active, completed, dead or cancelled. Of a dead run, `failed` is the id of the job that ended it, and
    `error` the error of that job. Times are in UTC.
    """

    id: str
    name: str
    state: State
    stages: tuple[StageInfo, ...]
    started_at: datetime
    finished_at: datetime | None = None
    error: JobError | None = None
    failed: str = ""

    @property
    def percent(self) -> float:
        """How far the whole run is, from 0 to 100; each stage counts the same."""
        if self.state is State.COMPLETED:
            return 100.0
        return round(100 * sum(stage.share for stage in self.stages) / len(self.stages), 1)


class FlowClient(Protocol):
    """The client behind the handle of a run: the methods that the handle calls."""

    async def status(self, flow_id: str) -> FlowInfo:
        """Return a run as it is now. Raises JobNotFound."""

    async def result(self, flow_id: str, timeout: float | None) -> bytes:
        """Wait for the JSON of a run's result. Raises JobFailed, JobCancelled, ResultTimeout, JobNotFound."""

    async def cancel(self, flow_id: str) -> Literal["cancelled", "finished"]:
        """Cancel a run, with all its jobs that are not over."""

    async def retry(self, flow_id: str) -> RetryAnswer:
        """Let a dead run go on. Raises JobNotFound."""


class FlowSource(Protocol):
    """A client, as `Pipeline.handle` takes it."""

    def flow(self, flow_id: str, pipeline: Any, /) -> "FlowHandle[Any]":
        """Return a handle of a pipeline's run by its id."""


class FlowHandle(Generic[R]):
    """One run of a pipeline: `client.enqueue` returns it, `client.flow` and `Pipeline.handle` make it from an id.

    `id` is the run's id in Redis. `created` is False where the enqueue found a run of the same id that is not over,
    which the handle then names. `result()` is typed as the last stage is; a handle that was made without the pipeline
    returns the JSON value itself.
    """

    __slots__ = ("_flows", "_parse", "created", "id")

    def __init__(
        self,
        flows: FlowClient,
        id: str,  # noqa: A002 - the field's word
        parse: Callable[[Any], R] | None = None,
        *,
        created: bool = True,
    ) -> None:
        self._flows = flows
        self._parse = parse
        self.id = id
        self.created = created

    async def status(self) -> FlowInfo:
        """Return how far the run is.

        Raises JobNotFound when Redis no longer holds the run, ServerError.
        """
        return await self._flows.status(self.id)

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the last stage's result, at most `timeout` seconds (None: without end).

        Raises JobFailed, with the error and the id of the job that ended the run; JobCancelled; ResultTimeout, and the
        run goes on; JobNotFound when the result is no longer kept; InvalidResult; ServerError.
        """
        raw = await self._flows.result(self.id, timeout)
        value = from_json(raw)
        parsed: R = value if self._parse is None else self._parse(value)
        return parsed

    async def cancel(self) -> Literal["cancelled", "finished"]:
        """Cancel the run: jobs that wait are removed, jobs that run are asked to stop.

        Returns "cancelled", or "finished" if the run was over. Raises ServerError.
        """
        return await self._flows.cancel(self.id)

    async def retry(self) -> RetryAnswer:
        """Let a dead run go on at the stage where it died, with the results that it has.

        Returns "retried"; "stopping" while other jobs of the run are still being stopped, so try again in a moment; or
        "refused" for a run that is not dead. Raises JobNotFound, ServerError.
        """
        return await self._flows.retry(self.id)

    def __repr__(self) -> str:
        return f"<FlowHandle {self.id}>"
