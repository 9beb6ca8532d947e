"""A job is a handler with its policy: a frozen value, made by `@job` and found by looking at modules."""

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
from rota.model.options import (
    UNCHANGED,
    EnqueueFields,
    EnqueueOptions,
    check_policy,
    check_priority,
    checked_aliases,
    refuse_unknown,
)
from rota.model.payload.payload import PayloadType, ResultType
from rota.model.policies.backoff import Backoff
from rota.model.policies.limits import RateLimit, SlotLimit
from rota.model.policies.uniqueness import Unique
from rota.model.run import Run, enqueuer, sync_enqueuer
from rota.model.schedules.schedule import Schedule
from rota.model.sync import SyncHandle, SyncSource
from rota.names import check_name, full_name
from rota.wire.envelopes import HOME

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

HandlerKind = Literal["async", "thread", "process"]
Exceptions = tuple[type[BaseException], ...]


class JobFields(TypedDict, total=False):
    """The keyword arguments of `@job`; Job says what each means. `process=True` runs the handler in a child process."""

    name: str | None
    aliases: tuple[str, ...]
    queue: str | None
    timeout: float | None
    max_attempts: int | None
    backoff: Backoff | None
    keep_result: float | None
    keep_log: bool | None
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

    name: the short name, unique on its queue.
    aliases: names that it had before, the latest first; jobs enqueued under them are run by it.
    timeout: how long an attempt may take, in seconds.
    max_attempts: how many attempts may end in an error or a timeout before the job is dead.
    backoff: the wait before the next attempt.
    keep_result: how long the result is kept, in seconds.
    keep_log: whether what the handler logs is kept with the job.
    retry_on: the only exceptions that are retried; None: all are.
    give_up_on: exceptions that are never retried.
    priority: from 0 to 9; higher ones start first.
    limit: how many may start in a time.
    concurrency: how many may run at once.
    unique: how many of a key there may be.
    kind: where the handler runs: on the loop, in a thread or in a child process.
    source: where the handler is defined, `path:line`.
    payload, result: the types of the arguments and the result.
    enqueue_options: what `options()` has set.
    schedules: when it runs by the clock, as `@every` says.
    """

    handler: Callable[Concatenate[Run, P], Any]
    name: str
    aliases: tuple[str, ...] = ()
    queue: str | None = None
    timeout: float | None = None
    max_attempts: int | None = None
    backoff: Backoff | None = None
    keep_result: float | None = None
    keep_log: bool | None = None
    retry_on: Exceptions | None = None
    give_up_on: Exceptions = ()
    priority: int = 0
    limit: RateLimit | None = None
    concurrency: SlotLimit | None = None
    unique: Unique | None = None
    kind: HandlerKind
    source: str
    payload: PayloadType = field(repr=False)
    result: ResultType = field(repr=False)
    enqueue_options: EnqueueOptions = field(default=UNCHANGED, repr=False)
    schedules: tuple[Schedule, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, and those that it had before."""
        return (self.name, *self.aliases)

    @property
    def first_name(self) -> str:
        """The oldest of its names, by which limits, unique keys and schedules know it: they outlast a new name."""
        return self.names[-1]

    @property
    def is_free(self) -> bool:
        """Whether it has no priority, limit or unique key, so that nothing but its turn keeps it from starting."""
        return not (self.priority or self.limit or self.concurrency or self.unique)

    def options(self, **options: Unpack[EnqueueFields]) -> "Job[P, R]":
        """Return a copy to enqueue with these options, which win over its policy; EnqueueOptions says what each means.

        `delay` (seconds or a timedelta), `at`, `id`, `queue`, `timeout`, `max_attempts`, `backoff`, `keep_result`,
        `priority`, `on_taken` and `tenant`. Raises TypeError for another name, ValueError for an impossible value.
        """
        return replace(self, enqueue_options=self.enqueue_options.changed(options))

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> "Call[R]":
        """Return this job with checked arguments, for a bulk enqueue. Raises InvalidPayload."""
        return Call(self, self.payload.bind(args, kwargs))

    async def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Enqueue this job by the client that is there: `await greet.enqueue(name="Ann")`.

        Within a job that is the worker's own, as for `run.enqueue`, and elsewhere the client that `rota.connect()`
        opened last on this event loop. Raises RuntimeError where there is none, and what `Client.enqueue` raises.
        """
        return await enqueuer(self.name).enqueue(self, *args, **kwargs)

    def enqueue_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> SyncHandle[R]:
        """Enqueue this job from a plain function: `greet.enqueue_sync(name="Ann")`.

        Within a job by the worker's own client, and elsewhere by the one that `rota.connect_sync()` made last. Raises
        RuntimeError where there is none, and what `SyncClient.enqueue` raises.
        """
        return sync_enqueuer(self.name).enqueue(self, *args, **kwargs)

    @overload
    def handle(self, client: JobClient, id: str, /) -> Handle[R]: ...
    @overload
    def handle(self, client: SyncSource, id: str, /) -> SyncHandle[R]: ...
    def handle(self, client: JobClient | SyncSource, id: str, /) -> Handle[R] | SyncHandle[R]:  # noqa: A002 - the field's word
        """Return a handle of an enqueued job of this name, by its id on the wire; its result has this job's type."""
        return client.handle(client.queue_of(self), id, self)

    def __call__(self, run: Run, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the handler itself, as a unit test does: nothing is enqueued, checked or retried."""
        return self.handler(run, *args, **kwargs)


def home_of(job: Job[Any, Any], default_queue: str) -> str:
    """Return the queue that a job belongs to, on which workers find its code."""
    return job.queue or default_queue


def queue_of(job: Job[Any, Any], default_queue: str) -> str:
    """Return the queue on which a job is enqueued: the one that `options` names, or else its own."""
    return job.enqueue_options.queue or home_of(job, default_queue)


def wire_options(job: Job[Any, Any], default_queue: str) -> dict[str, Any]:
    """Return the options that travel with a job; one that runs on another queue than its own says which that is."""
    options, home = job.enqueue_options.wire(), home_of(job, default_queue)
    return options if queue_of(job, default_queue) == home else {**options, HOME: home}


class Promise(Generic[R_co]):
    """A job or a pipeline with its arguments, ready to be enqueued; its result is an R_co."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Call(Promise[R_co]):
    """A job with its arguments as JSON."""

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
    import, for an impossible handler or option.
    """
    refuse_unknown("option of @job", fields, tuple(JobFields.__annotations__))
    if handler is None:
        return lambda handler: _job_of(handler, cast(JobFields, fields))
    return _job_of(handler, {})


#: The fields of `@job` that depend on the handler; all others become fields of the Job unchanged.
_OF_THE_HANDLER = ("name", "aliases", "queue", "process")


def _job_of(handler: Callable[..., Any], fields: JobFields) -> Job[Any, Any]:
    if not isinstance(handler, FunctionType | MethodType):
        raise TypeError(f"@job is for functions, not {type(handler).__name__}")
    queue, name = fields.get("queue"), fields.get("name")
    name = check_name("job", handler.__name__ if name is None else name)
    label = name if queue is None else full_name(check_name("queue", queue), name)
    payload = PayloadType(handler, label)
    _check_fields(fields, label, payload)
    policy: dict[str, Any] = {field: value for field, value in fields.items() if field not in _OF_THE_HANDLER}
    return Job(
        handler=handler,
        name=name,
        aliases=checked_aliases(label, name, fields.get("aliases", ())),
        queue=queue,
        kind=_kind(handler, label, fields.get("process", False)),
        source=_source(handler),
        payload=payload,
        result=ResultType(handler, label),
        **policy,
    )


def _check_fields(fields: JobFields, label: str, payload: PayloadType) -> None:
    check_policy(
        fields.get("timeout"), fields.get("max_attempts"), fields.get("backoff"), fields.get("keep_result")
    )
    keep_log = fields.get("keep_log")
    if keep_log is not None and not isinstance(keep_log, bool):
        raise TypeError(f"job {label}: keep_log is {keep_log!r}; it is True or False")
    _check_exceptions("retry_on", fields.get("retry_on") or ())
    _check_exceptions("give_up_on", fields.get("give_up_on", ()))
    check_priority(fields.get("priority"))
    _check_limit(label, "limit", RateLimit, fields.get("limit"), payload)
    _check_limit(label, "concurrency", SlotLimit, fields.get("concurrency"), payload)
    _check_limit(label, "unique", Unique, fields.get("unique"), payload)


_WRITTEN = {"limit": "per_second(10)", "concurrency": "at_most(2)", "unique": "unique()"}


def _check_limit(label: str, option: str, kind: type[Any], value: Any, payload: PayloadType) -> None:
    if value is None:
        return
    if not isinstance(value, kind):
        raise TypeError(f"job {label}: {option} is {value!r}; write {option}={_WRITTEN[option]}")
    parts = () if value.key is None else (value.key,) if isinstance(value.key, str) else value.key
    for part in parts:
        if part.partition(".")[0] not in payload.names:
            takes = ", ".join(payload.names) or "none"
            raise TypeError(f"job {label}: {option} has the key {part!r}; the job's arguments are: {takes}")


def _kind(handler: Callable[..., Any], label: str, process: bool) -> HandlerKind:
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise TypeError(f"job {label}: a handler returns its result; a generator with yield cannot be a job")
    is_coroutine = inspect.iscoroutinefunction(handler)
    if not is_coroutine:
        _check_wrapped(handler, label)
    if process and (is_coroutine or handler.__qualname__ != handler.__name__):
        raise TypeError(f"job {label}: process=True needs a plain def at the top of a module")
    if process:
        return "process"
    return "async" if is_coroutine else "thread"


def _check_wrapped(handler: Callable[..., Any], label: str) -> None:
    """Refuse a plain function around what only runs when it is awaited or iterated: nobody would."""
    inner = inspect.unwrap(handler)
    if inspect.iscoroutinefunction(inner):
        raise TypeError(
            f"job {label}: a decorator makes a plain function of its `async def`, whose body would never be awaited; "
            "the decorator's own function must be an `async def` that awaits the handler"
        )
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise TypeError(
            f"job {label}: a decorator such as @contextmanager returns an object whose body with `yield` would never "
            "run; a handler returns its result"
        )


def _source(handler: Callable[..., Any]) -> str:
    code = inspect.unwrap(handler).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _check_exceptions(option: str, exceptions: Exceptions) -> None:
    classes = isinstance(exceptions, tuple) and all(
        isinstance(kind, type) and issubclass(kind, BaseException) for kind in exceptions
    )
    if not classes:
        raise TypeError(f"{option} is {exceptions!r}; it is a tuple of exception classes: (ValueError,)")
