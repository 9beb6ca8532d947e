"""A pipeline as a value: its stages in order, under a name; how its arguments and its result become JSON and back."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack, cast, get_args, overload

from pydantic_core import from_json, to_json

from rota.errors import InvalidPayload
from rota.model.flows.handle import FlowHandle, FlowSource
from rota.model.job import Job, Promise
from rota.model.options import EnqueueOptions, refuse_unknown
from rota.model.run import enqueuer, sync_enqueuer
from rota.model.sync import SyncFlowHandle, SyncSource
from rota.names import check_id

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

#: What an item that dies, or is cancelled, does to the whole: end it, or leave None in the item's place.
OnFailure = Literal["stop", "continue"]
ON_FAILURE: tuple[OnFailure, ...] = get_args(OnFailure)


class FlowFields(TypedDict, total=False):
    """The keyword arguments of `Pipeline.options`."""

    id: str | None
    delay: float | timedelta | None
    at: datetime | None
    keep_result: float | None
    on_taken: Literal["refuse", "existing"] | None
    tenant: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Each:
    """A stage that runs a job, or a pipeline, once for each item of a list."""

    stage: "Job[Any, Any] | Pipeline[Any, Any]"
    on_failure: OnFailure = "stop"


@dataclass(frozen=True, slots=True)
class FlowCall(Promise[R_co]):
    """A pipeline and the JSON of its arguments."""

    pipeline: "Pipeline[Any, Any]"
    arguments: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pipeline(Generic[P, R]):
    """A frozen value: stages in order, under a name. `pipeline(...)` and `each(...)` make one.

    Enqueue a pipeline like a job: `handle = await client.enqueue(make_video, user_id="u1")`.
    """

    name: str
    stages: tuple[Job[Any, Any] | Each, ...]
    enqueue_options: EnqueueOptions = field(default=EnqueueOptions(), repr=False)

    def options(self, **options: Unpack[FlowFields]) -> "Pipeline[P, R]":
        """Return a copy to enqueue with other options: `make_video.options(id="video-u1", delay=60)`.

        `delay` (seconds, or a timedelta) or `at` (a datetime with a time zone) says when the first stage may start.
        `keep_result` is for how many seconds the result can be read. `id` names the run; where a run of that id is not
        over, `on_taken="refuse"` (the default) raises JobExists and "existing" returns a handle of that run. `tenant`
        is whose run it is, with all its jobs. Options of a single stage belong to its job:
        `pipeline(first, second.options(timeout=60))`.

        Raises TypeError for an unknown option, ValueError for a value that is not allowed.
        """
        refuse_unknown("option of a pipeline", options, tuple(FlowFields.__annotations__))
        changed = self.enqueue_options.changed(options)
        if changed.on_taken not in (None, "refuse", "existing"):
            raise ValueError(
                f"on_taken is {changed.on_taken!r}; for a pipeline choose one of: refuse, existing"
            )
        if changed.id is not None:
            check_id(changed.id)
        return replace(self, enqueue_options=changed)

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> FlowCall[R]:
        """Return this pipeline with checked arguments. Raises InvalidPayload."""
        return FlowCall(self, self.bind(args, kwargs))

    async def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> FlowHandle[R]:
        """Enqueue this pipeline by the client that is there, which is found and raises as for `Job.enqueue`."""
        return await enqueuer(self.name).enqueue(self, *args, **kwargs)

    def enqueue_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> SyncFlowHandle[R]:
        """Enqueue this pipeline from a plain function, by the client that is found as for `Job.enqueue_sync`."""
        return sync_enqueuer(self.name).enqueue(self, *args, **kwargs)

    @overload
    def handle(self, client: FlowSource, id: str, /) -> FlowHandle[R]: ...
    @overload
    def handle(self, client: SyncSource, id: str, /) -> SyncFlowHandle[R]: ...
    def handle(self, client: FlowSource | SyncSource, id: str, /) -> FlowHandle[R] | SyncFlowHandle[R]:  # noqa: A002
        """Return a handle of the run with this id: the run's own id, or the one given in `options`."""
        return client.flow(id, self)

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> bytes:
        """Return the arguments as JSON: an object of them by name, or the list where `each` comes first.

        Raises InvalidPayload.
        """
        first = self.stages[0]
        if isinstance(first, Job):
            return first.payload.bind(args, kwargs)
        if len(args) != 1 or kwargs:
            raise InvalidPayload(self.name, {"": "it begins with each, and takes one list"})
        return _bind_list(self, args[0])

    def parse(self, value: Any) -> Any:
        """Return the typed result for its JSON value. Raises InvalidResult."""
        last = self.stages[-1]
        if isinstance(last, Job):
            return last.result.parse(value)
        parse = last.stage.result.parse if isinstance(last.stage, Job) else last.stage.parse
        return [item if item is None and last.on_failure == "continue" else parse(item) for item in value]


def _bind_list(pipeline: Pipeline[Any, Any], items: Any) -> bytes:
    """Return the JSON of the list that goes into a pipeline whose first stage is an `each`."""
    if isinstance(items, str | bytes) or not isinstance(items, Sequence):
        raise InvalidPayload(pipeline.name, {"": f"each needs a list, and {type(items).__name__} came"})
    stage = cast(Each, pipeline.stages[0]).stage
    return b"[%b]" % b",".join(_bind_item(stage, item) for item in items)


def _bind_item(stage: Job[Any, Any] | Pipeline[Any, Any], item: Any) -> bytes:
    first = stage if isinstance(stage, Job) else stage.stages[0]
    if isinstance(first, Each):
        return _bind_list(cast("Pipeline[Any, Any]", stage), item)
    return to_json(from_json(first.payload.bind((item,)))[first.payload.positional[0]])
