"""How pipelines are made, typed end to end: a type checker names the place where two stages do not fit."""

from collections.abc import Iterator
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, overload

from rota.model.flows.checks import check_first, check_later
from rota.model.flows.stages import ON_FAILURE, Each, OnFailure, Pipeline
from rota.model.job import Job, Promise
from rota.names import check_name

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

# What one stage returns and the next one takes.
Between1And2 = TypeVar("Between1And2")
Between2And3 = TypeVar("Between2And3")
Between3And4 = TypeVar("Between3And4")
Between4And5 = TypeVar("Between4And5")
Between5And6 = TypeVar("Between5And6")
Between6And7 = TypeVar("Between6And7")
Between7And8 = TypeVar("Between7And8")

_NAME_LIMIT = 100


class Items(Protocol[T_co]):
    """A sequence that `each` takes: a list, a tuple, any but a text."""

    def __iter__(self) -> Iterator[T_co]: ...
    def __len__(self) -> int: ...
    # This signature is what excludes a text: `str.__contains__` takes a `str` alone.
    def __contains__(self, value: object, /) -> bool: ...
    def __getitem__(self, index: int, /) -> T_co: ...


class First(Protocol[P, R_co]):
    """A job or a pipeline that may begin a pipeline: its arguments are those of the enqueue."""

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Promise[R_co]: ...


class Stage(Protocol[T_contra, R_co]):
    """A job or a pipeline that may follow in a pipeline: it takes one argument, what the stage before returned."""

    def call(self, value: T_contra, /) -> Promise[R_co]: ...


@overload
def each(stage: Stage[T, R], /, *, on_failure: Literal["stop"] = "stop") -> Pipeline[[Items[T]], list[R]]: ...
@overload
def each(
    stage: Stage[T, R], /, *, on_failure: Literal["continue"]
) -> Pipeline[[Items[T]], list[R | None]]: ...
def each(stage: Any, /, *, on_failure: OnFailure = "stop") -> Any:
    """Return a pipeline that runs `stage`, a job or a pipeline, for each item of a list: `each(paint_scene)`.

    The result is the list of the items' results, in the order of the items. An item that dies, or is cancelled, ends
    the whole (`on_failure="stop"`) or leaves None in its place ("continue").

    Raises TypeError for what cannot be a stage, ValueError for another `on_failure`.
    """
    if on_failure not in ON_FAILURE:
        raise ValueError(f"on_failure is {on_failure!r}; choose one of: {', '.join(ON_FAILURE)}")
    check_later(stage, "each")
    return Pipeline(name=stage.name, stages=(Each(stage, on_failure),))


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
    """Return a pipeline of these stages: `make_video = pipeline(write_script, each(paint_scene), merge)`.

    The first stage takes the arguments of the enqueue, each later stage what the stage before it returned. A stage is a
    job, `each(...)`, or another pipeline, whose stages then stand in its place. For more than eight stages make a
    pipeline of pipelines. `name` is how the pipeline is shown; without it, the names of its stages.

    Raises TypeError for what cannot be a stage, ValueError for a name that is not allowed; both at import.
    """
    if not stages:
        raise TypeError("a pipeline has at least one stage: pipeline(first, second)")
    for number, stage in enumerate(stages, 1):
        check = check_first if number == 1 else check_later
        check(stage, f"stage {number} of a pipeline")
    flat: list[Job[Any, Any] | Each] = []
    for stage in stages:
        flat += stage.stages if isinstance(stage, Pipeline) else (stage,)
    shown = "-".join(_name_of(stage) for stage in flat)[:_NAME_LIMIT] if name is None else name
    return Pipeline(name=check_name("pipeline", shown), stages=tuple(flat))


def _name_of(stage: Job[Any, Any] | Each) -> str:
    return stage.name if isinstance(stage, Job) else stage.stage.name
