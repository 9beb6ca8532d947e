"""A handle names one run of a pipeline, to look at, wait for, cancel and retry; a client does the work."""

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
    """How far one stage is. `total` is None until it is known how many jobs it has."""

    name: str
    each: bool
    total: int | None = None
    completed: int = 0
    dead: int = 0
    cancelled: int = 0

    @property
    def share(self) -> float:
        """What part of it is over, from 0 to 1."""
        over = self.completed + self.dead + self.cancelled
        return 0.0 if self.total is None else over / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True)
class FlowInfo:
    """One run of a pipeline as it is now.

    `state` is active, completed, dead or cancelled. `percent` counts each stage alike. Of a dead one, `error` is what
    the job `failed` died of.
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
        """How far the whole is, from 0 to 100."""
        if self.state is State.COMPLETED:
            return 100.0
        return round(100 * sum(stage.share for stage in self.stages) / len(self.stages), 1)


class FlowClient(Protocol):
    """What a handle asks of its client."""

    async def status(self, flow_id: str) -> FlowInfo:
        """Look at a run. Raises JobNotFound."""

    async def result(self, flow_id: str, timeout: float | None) -> bytes:
        """Wait for the JSON of a run's result. Raises JobFailed, JobCancelled, ResultTimeout, JobNotFound."""

    async def cancel(self, flow_id: str) -> Literal["cancelled", "finished"]:
        """Cancel a run as a whole."""

    async def retry(self, flow_id: str) -> RetryAnswer:
        """Let a dead run go on. Raises JobNotFound."""


class FlowSource(Protocol):
    """What a pipeline's handle is made from: a client."""

    @property
    def flows(self) -> FlowClient:
        """What the client does with runs of pipelines."""


class FlowHandle(Generic[R]):
    """One run of a pipeline. `created` is False where its id belonged to a run that is not over.

    `parse` makes the typed result of its JSON value; without it `result()` gives the JSON value itself.
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
        """Look at how far the run is. Raises JobNotFound for one that Redis no longer holds."""
        return await self._flows.status(self.id)

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the last stage's result, at most `timeout` seconds (None: as long as it takes).

        Raises JobFailed with the error of the job that ended it, JobCancelled, ResultTimeout, JobNotFound.
        """
        raw = await self._flows.result(self.id, timeout)
        value = from_json(raw)
        parsed: R = value if self._parse is None else self._parse(value)
        return parsed

    async def cancel(self) -> Literal["cancelled", "finished"]:
        """Cancel the whole: what waits is taken away, what runs is asked to stop; `finished` if it was over."""
        return await self._flows.cancel(self.id)

    async def retry(self) -> RetryAnswer:
        """Let a dead one go on at the stage where it died, with the results that it has.

        `retried`; `stopping` while other jobs of it are still being stopped: try again in a moment; `refused` for one
        that is not dead. Raises JobNotFound.
        """
        return await self._flows.retry(self.id)

    def __repr__(self) -> str:
        return f"<FlowHandle {self.id}>"
