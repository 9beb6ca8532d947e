"""A pipeline is a row of jobs in which each gets what the one before it returned: a frozen value, typed end to end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import (
    Any,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    get_args,
    overload,
)

from pydantic_core import from_json, to_json

from rota.errors import InvalidPayload
from rota.model.flows.handle import FlowHandle, FlowSource
from rota.model.job import Job, Promise
from rota.model.options import EnqueueOptions, refuse_unknown
from rota.names import check_id, check_name

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

# What goes from one stage to the next; a type checker names the place where two do not fit.
Between1And2 = TypeVar("Between1And2")
Between2And3 = TypeVar("Between2And3")
Between3And4 = TypeVar("Between3And4")
Between4And5 = TypeVar("Between4And5")
Between5And6 = TypeVar("Between5And6")
Between6And7 = TypeVar("Between6And7")
Between7And8 = TypeVar("Between7And8")

OnFailure = Literal["stop", "continue"]

_POLICIES: tuple[OnFailure, ...] = get_args(OnFailure)
_NAME_LIMIT = 100


class FlowFields(TypedDict, total=False):
    """The keyword arguments of `Pipeline.options`."""

    id: str | None
    delay: float | timedelta | None
    at: datetime | None
    keep_result: float | None
    on_taken: Literal["refuse", "existing"] | None


class Items(Protocol[T_co]):
    """What `each` goes through: a list, a tuple, any sequence but a text."""

    def __iter__(self) -> Iterator[T_co]: ...
    def __len__(self) -> int: ...
    # A text's takes texts alone, and so a text is none of these.
    def __contains__(self, value: object, /) -> bool: ...
    def __getitem__(self, index: int, /) -> T_co: ...


class First(Protocol[P, R_co]):
    """What a pipeline may begin with: its arguments are those of the enqueue."""

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Promise[R_co]: ...


class Stage(Protocol[T_contra, R_co]):
    """What may follow: it takes one argument, what came out of the stage before it."""

    def call(self, value: T_contra, /) -> Promise[R_co]: ...


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
    """Stages in order, under a name. Enqueue it as a job: `client.enqueue(make_video, user_id="u1")`."""

    name: str
    stages: tuple[Job[Any, Any] | Each, ...]
    enqueue_options: EnqueueOptions = field(default=EnqueueOptions(), repr=False)

    def options(self, **options: Unpack[FlowFields]) -> "Pipeline[P, R]":
        """A copy to enqueue with: `id`, `delay` or `at` of its first stage, `keep_result`, `on_taken`.

        Seconds, and meanings as at a job's `options`. What concerns one stage is said at its job. Raises TypeError
        for another name, ValueError for a value that cannot be.
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
        """This pipeline with checked arguments. Raises InvalidPayload."""
        return FlowCall(self, self.bind(args, kwargs))

    def handle(self, client: FlowSource, id: str, /) -> FlowHandle[R]:  # noqa: A002 - the field's word
        """Return a handle of the run of this pipeline that has this id, its own or the one that you gave it."""
        return FlowHandle(client.flows, id, self.parse)

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> bytes:
        """The JSON of the arguments: an object of them by name, or the list where `each` comes first.

        Raises InvalidPayload.
        """
        first = self.stages[0]
        if isinstance(first, Job):
            return first.payload.bind(args, kwargs)
        if len(args) != 1 or kwargs:
            raise InvalidPayload(self.name, {"": "it begins with each, and takes one list"})
        return _written(self, args[0])

    def parse(self, value: Any) -> Any:
        """The typed result from its JSON value; raises InvalidResult."""
        last = self.stages[-1]
        if isinstance(last, Job):
            return last.result.parse(value)
        parse = last.stage.result.parse if isinstance(last.stage, Job) else last.stage.parse
        return [item if item is None and last.on_failure == "continue" else parse(item) for item in value]


@overload
def each(stage: Stage[T, R], /, *, on_failure: Literal["stop"] = "stop") -> Pipeline[[Items[T]], list[R]]: ...
@overload
def each(
    stage: Stage[T, R], /, *, on_failure: Literal["continue"]
) -> Pipeline[[Items[T]], list[R | None]]: ...
def each(stage: Any, /, *, on_failure: OnFailure = "stop") -> Any:
    """Run `stage`, a job or a pipeline, for each item of the list that comes in; out comes the list of their results.

    Results are in the order of the items. An item that dies, or is cancelled, ends the whole (`on_failure="stop"`) or
    leaves None in its place ("continue"). Raises TypeError for a stage that cannot be, ValueError for another policy.
    """
    if on_failure not in _POLICIES:
        raise ValueError(f"on_failure is {on_failure!r}; choose one of: {', '.join(_POLICIES)}")
    name = check_stage(stage, "each")
    return Pipeline(name=name, stages=(Each(stage, on_failure),))


@overload
def pipeline(first: First[P, R], /, *, name: str | None = None) -> Pipeline[P, R]: ...
@overload
def pipeline(
    first: First[P, Between1And2], second: Stage[Between1And2, R], /, *, name: str | None = None
) -> Pipeline[P, R]: ...
@overload
def pipeline(
    first: First[P, Between1And2],
    second: Stage[Between1And2, Between2And3],
    third: Stage[Between2And3, R],
    /,
    *,
    name: str | None = None,
) -> Pipeline[P, R]: ...
@overload
def pipeline(
    first: First[P, Between1And2],
    second: Stage[Between1And2, Between2And3],
    third: Stage[Between2And3, Between3And4],
    fourth: Stage[Between3And4, R],
    /,
    *,
    name: str | None = None,
) -> Pipeline[P, R]: ...
@overload
def pipeline(
    first: First[P, Between1And2],
    second: Stage[Between1And2, Between2And3],
    third: Stage[Between2And3, Between3And4],
    fourth: Stage[Between3And4, Between4And5],
    fifth: Stage[Between4And5, R],
    /,
    *,
    name: str | None = None,
) -> Pipeline[P, R]: ...
@overload
def pipeline(
    first: First[P, Between1And2],
    second: Stage[Between1And2, Between2And3],
    third: Stage[Between2And3, Between3And4],
    fourth: Stage[Between3And4, Between4And5],
    fifth: Stage[Between4And5, Between5And6],
    sixth: Stage[Between5And6, R],
    /,
    *,
    name: str | None = None,
) -> Pipeline[P, R]: ...
@overload
def pipeline(
    first: First[P, Between1And2],
    second: Stage[Between1And2, Between2And3],
    third: Stage[Between2And3, Between3And4],
    fourth: Stage[Between3And4, Between4And5],
    fifth: Stage[Between4And5, Between5And6],
    sixth: Stage[Between5And6, Between6And7],
    seventh: Stage[Between6And7, R],
    /,
    *,
    name: str | None = None,
) -> Pipeline[P, R]: ...
@overload
def pipeline(
    first: First[P, Between1And2],
    second: Stage[Between1And2, Between2And3],
    third: Stage[Between2And3, Between3And4],
    fourth: Stage[Between3And4, Between4And5],
    fifth: Stage[Between4And5, Between5And6],
    sixth: Stage[Between5And6, Between6And7],
    seventh: Stage[Between6And7, Between7And8],
    eighth: Stage[Between7And8, R],
    /,
    *,
    name: str | None = None,
) -> Pipeline[P, R]: ...
def pipeline(*stages: Any, name: str | None = None) -> Any:
    """Put jobs in a row: `pipeline(write_script, each(paint_scene), merge)`.

    The first stage takes the arguments of the enqueue, each later one what came out of the stage before it. A stage is
    a job, `each(...)`, or a pipeline, whose stages then stand in its place. A pipeline of more than eight is made of
    pipelines. Raises TypeError, at import, for a stage that cannot be, ValueError for a name that is not allowed.
    """
    if not stages:
        raise TypeError("a pipeline has at least one stage: pipeline(first, second)")
    flat: list[Job[Any, Any] | Each] = []
    for number, stage in enumerate(stages, 1):
        if number > 1:
            check_stage(stage, f"stage {number} of a pipeline")
        else:
            _check_kind(stage, "stage 1 of a pipeline")
        flat += stage.stages if isinstance(stage, Pipeline) else (stage,)
    chosen = "-".join(_name_of(stage) for stage in flat)[:_NAME_LIMIT] if name is None else name
    return Pipeline(name=check_name("pipeline", chosen), stages=tuple(flat))


def check_stage(stage: Any, place: str) -> str:
    """The name of something that may get what another stage returned. Raises TypeError, and says why it may not."""
    _check_kind(stage, place)
    if isinstance(stage, Job):
        _check_input(stage, place)
        return stage.name
    first = cast("Pipeline[Any, Any]", stage).stages[0]
    if isinstance(first, Job):
        _check_input(first, place)
    return cast("Pipeline[Any, Any]", stage).name


def _check_kind(stage: Any, place: str) -> None:
    if not isinstance(stage, Job | Pipeline):
        raise TypeError(
            f"{place} is {type(stage).__name__}; it is a function that @job has decorated, each(...), or a pipeline"
        )
    if stage.enqueue_options.id is not None:
        raise TypeError(
            f"{place}, {stage.name}, has an id; ids of stages are the pipeline's: give that one the id"
        )


def _check_input(job: Job[Any, Any], place: str) -> None:
    names, required = job.payload.positional, job.payload.required
    if not names:
        raise TypeError(
            f"{place}, {job.name}, takes no argument by position; it takes what the stage before returns"
        )
    if more := [name for name in required if name != names[0]]:
        raise TypeError(
            f"{place}, {job.name}, needs {', '.join(more)} too; a stage takes one argument, what the stage before "
            "returns, and others have defaults"
        )


def _name_of(stage: Job[Any, Any] | Each) -> str:
    return stage.name if isinstance(stage, Job) else stage.stage.name


def _written(pipeline: Pipeline[Any, Any], value: Any) -> bytes:
    """The JSON of what goes into a pipeline that begins with `each`."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InvalidPayload(pipeline.name, {"": f"each needs a list, and {type(value).__name__} came"})
    stage = cast(Each, pipeline.stages[0]).stage
    return b"[%b]" % b",".join(_item(stage, item) for item in value)


def _item(stage: Job[Any, Any] | Pipeline[Any, Any], item: Any) -> bytes:
    first = stage if isinstance(stage, Job) else stage.stages[0]
    if isinstance(first, Each):
        return _written(cast("Pipeline[Any, Any]", stage), item)
    return to_json(from_json(first.payload.bind((item,)))[first.payload.positional[0]])
