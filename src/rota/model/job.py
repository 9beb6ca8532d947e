"""A job is a handler with its policy: a frozen value, registered nowhere, found by looking at modules."""

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from types import FunctionType, MethodType
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from rota.model.handle import Handle, JobClient
from rota.model.options import EnqueueFields, EnqueueOptions, check_policy, check_priority, refuse_unknown
from rota.model.payload.payload import PayloadType, ResultType
from rota.model.policies.backoff import Backoff
from rota.model.policies.limits import RateLimit, SlotLimit
from rota.model.policies.uniqueness import Unique
from rota.model.run import Run
from rota.names import check_name, full_name

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Kind = Literal["async", "thread", "process"]
Exceptions = tuple[type[BaseException], ...]


class JobFields(TypedDict, total=False):
    """The keyword arguments of `@job`."""

    name: str | None
    queue: str | None
    timeout: float | None
    max_attempts: int | None
    backoff: Backoff | None
    keep_result: float | None
    retry_on: Exceptions | None
    give_up_on: Exceptions
    process: bool
    priority: int
    limit: RateLimit | None
    concurrency: SlotLimit | None
    unique: Unique | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job(Generic[P, R]):
    """A handler with its policy. None in a field leaves the queue's setting, then the global one.

    `timeout` and `keep_result` are seconds. `retry_on`: only these exceptions retry; `give_up_on`: these
    never do. `priority` is from 0 to 9, higher first; `limit` how many start in a time, `concurrency` how many run at
    once, `unique` how many of a key there are. `source` is the handler's place, `path:line`. `enqueue_options` is what
    `options()` has set.
    """

    handler: Callable[Concatenate[Run, P], Any]
    name: str
    queue: str | None = None
    timeout: float | None = None
    max_attempts: int | None = None
    backoff: Backoff | None = None
    keep_result: float | None = None
    retry_on: Exceptions | None = None
    give_up_on: Exceptions = ()
    priority: int = 0
    limit: RateLimit | None = None
    concurrency: SlotLimit | None = None
    unique: Unique | None = None
    kind: Kind
    source: str
    payload: PayloadType = field(repr=False)
    result: ResultType = field(repr=False)
    enqueue_options: EnqueueOptions = field(default=EnqueueOptions(), repr=False)

    def options(self, **options: Unpack[EnqueueFields]) -> "Job[P, R]":
        """A copy to enqueue with these options beside its policy; EnqueueOptions says what each means.

        `delay` (seconds or a timedelta), `at`, `id`, `timeout`, `max_attempts`, `backoff`, `keep_result`, `priority`
        and `on_taken`. Raises TypeError for another name, ValueError for a value that cannot be.
        """
        return replace(self, enqueue_options=self.enqueue_options.changed(options))

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> "Call[R]":
        """This job with checked arguments, for a bulk enqueue. Raises InvalidPayload."""
        return Call(self, self.payload.bind(args, kwargs))

    def handle(self, client: JobClient, id: str, /) -> Handle[R]:  # noqa: A002 - the field's word
        """Return a handle of one of this job's runs whose id on the wire is known, typed as its result is."""
        return Handle(client, client.queue_of(self), id, self.result.parse)

    def __call__(self, run: Run, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the handler itself, as a unit test does: nothing is enqueued, checked or retried."""
        return self.handler(run, *args, **kwargs)


class Promise(Generic[R_co]):
    """Something with its arguments, ready to be enqueued, whose run gives an R."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Call(Promise[R_co]):
    """A job and the JSON of its arguments."""

    job: Job[Any, Any]
    arguments: bytes


class _Decorator(Protocol):
    @overload
    def __call__(self, handler: Callable[Concatenate[Run, P], Coroutine[Any, Any, R]], /) -> Job[P, R]: ...
    @overload
    def __call__(self, handler: Callable[Concatenate[Run, P], R], /) -> Job[P, R]: ...


@overload
def job(handler: Callable[Concatenate[Run, P], Coroutine[Any, Any, R]], /) -> Job[P, R]: ...
@overload
def job(handler: Callable[Concatenate[Run, P], R], /) -> Job[P, R]: ...
@overload
def job(**fields: Unpack[JobFields]) -> _Decorator: ...
def job(handler: Callable[..., Any] | None = None, /, **fields: Any) -> Any:
    """Make a handler a job: `@job`, or `@job(queue="video", timeout=300)`.

    An `async def` runs on the loop, a plain `def` in a thread, and with `process=True` in a process of its
    own. The function's name is the job's, unless `name` says otherwise. Raises TypeError or ValueError, at
    import, for a handler or an option that cannot be.
    """
    refuse_unknown("option of @job", fields, tuple(JobFields.__annotations__))
    if handler is None:
        return lambda handler: _job_of(handler, cast(JobFields, fields))
    return _job_of(handler, {})


def _job_of(handler: Callable[..., Any], fields: JobFields) -> Job[Any, Any]:
    if not isinstance(handler, FunctionType | MethodType):
        raise TypeError(f"@job is for functions, not {type(handler).__name__}")
    queue = fields.get("queue")
    name = fields.get("name")
    name = check_name("job", handler.__name__ if name is None else name)
    if queue is not None:
        check_name("queue", queue)
    check_policy(
        fields.get("timeout"), fields.get("max_attempts"), fields.get("backoff"), fields.get("keep_result")
    )
    retry_on, give_up_on = fields.get("retry_on"), fields.get("give_up_on", ())
    for option, exceptions in (("retry_on", retry_on or ()), ("give_up_on", give_up_on)):
        _check_exceptions(option, exceptions)
    label = name if queue is None else full_name(queue, name)
    payload = PayloadType(handler, label)
    limits = {option: _limit(label, option, kind, fields, payload) for option, kind in _LIMITS.items()}
    check_priority(fields.get("priority"))
    return Job(
        handler=handler,
        name=name,
        queue=queue,
        timeout=fields.get("timeout"),
        max_attempts=fields.get("max_attempts"),
        backoff=fields.get("backoff"),
        keep_result=fields.get("keep_result"),
        retry_on=retry_on,
        give_up_on=give_up_on,
        kind=_kind(handler, label, fields.get("process", False)),
        source=_source(handler),
        priority=fields.get("priority", 0),
        payload=payload,
        result=ResultType(handler, label),
        **limits,
    )


_LIMITS: dict[str, type[Any]] = {"limit": RateLimit, "concurrency": SlotLimit, "unique": Unique}
_WRITTEN = {"limit": "per_second(10)", "concurrency": "at_most(2)", "unique": "unique()"}


def _limit(label: str, option: str, kind: type[Any], fields: JobFields, payload: PayloadType) -> Any:
    value: Any = fields.get(option)
    if value is None:
        return None
    if not isinstance(value, kind):
        raise TypeError(f"job {label}: {option} is {value!r}; write {option}={_WRITTEN[option]}")
    parts = () if value.key is None else (value.key,) if isinstance(value.key, str) else value.key
    for part in parts:
        argument = part.partition(".")[0]
        if argument not in payload.names:
            takes = ", ".join(payload.names) or "none"
            raise TypeError(f"job {label}: {option} has the key {part!r}; the job's arguments are: {takes}")
    return value


def _kind(handler: Callable[..., Any], label: str, process: bool) -> Kind:
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise TypeError(f"job {label}: a handler returns its result; a generator with yield cannot be a job")
    is_coroutine = inspect.iscoroutinefunction(handler)
    if process and (is_coroutine or handler.__qualname__ != handler.__name__):
        raise TypeError(f"job {label}: process=True needs a plain def at the top of a module")
    if process:
        return "process"
    return "async" if is_coroutine else "thread"


def _source(handler: Callable[..., Any]) -> str:
    code = inspect.unwrap(handler).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _check_exceptions(option: str, exceptions: Exceptions) -> None:
    classes = isinstance(exceptions, tuple) and all(
        isinstance(kind, type) and issubclass(kind, BaseException) for kind in exceptions
    )
    if not classes:
        raise TypeError(f"{option} is {exceptions!r}; it is a tuple of exception classes: (ValueError,)")
