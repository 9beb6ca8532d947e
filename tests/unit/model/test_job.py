import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Annotated, Any, Protocol

import pytest

from rota.errors import InvalidPayload
from rota.model.job import Call, Job, job
from rota.model.options import EnqueueOptions
from rota.model.policies.backoff import exponential
from rota.model.run import Run


@job
async def greet(run: Run, name: str, times: int = 1) -> str:
    return name * times


@job
def count(run: Run) -> int:
    return 3


@job(process=True)
def crunch(run: Run, rows: list[int]) -> int:
    return sum(rows)


@pytest.fixture
def run() -> Run:
    return Run(id="7", job="greet", queue="default")


def test_a_job_takes_its_name_and_place_from_its_function() -> None:
    assert greet.name == "greet"
    assert greet.queue is None
    path, _, line = greet.source.rpartition(":")
    assert path == __file__
    assert int(line) > 1


def test_the_function_says_where_it_runs() -> None:
    assert (greet.kind, count.kind, crunch.kind) == ("async", "thread", "process")


def test_the_decorator_takes_parentheses_or_none() -> None:
    @job()
    async def bare(run: Run) -> None: ...

    assert isinstance(bare, Job)
    assert isinstance(greet, Job)


def test_a_job_keeps_its_policy() -> None:
    backoff = exponential(2)

    @job(
        name="paint-it",
        queue="video",
        timeout=300,
        max_attempts=5,
        backoff=backoff,
        keep_result=60,
        retry_on=(OSError,),
        give_up_on=(FileNotFoundError,),
    )
    async def paint(run: Run) -> None: ...

    assert (paint.name, paint.queue, paint.timeout, paint.max_attempts) == ("paint-it", "video", 300, 5)
    assert (paint.backoff, paint.keep_result) == (backoff, 60)
    assert (paint.retry_on, paint.give_up_on) == ((OSError,), (FileNotFoundError,))


def test_a_job_is_frozen() -> None:
    with pytest.raises(AttributeError):
        greet.name = "other"  # type: ignore[misc]


async def test_calling_a_job_calls_its_handler(run: Run) -> None:
    assert await greet(run, "ab", times=2) == "abab"
    assert count(run) == 3


def test_options_make_a_copy() -> None:
    urgent = greet.options(delay=timedelta(seconds=5), id="7").options(timeout=3)
    assert urgent.enqueue_options == EnqueueOptions(delay=5, id="7", timeout=3)
    assert greet.enqueue_options == EnqueueOptions()
    assert urgent.handler is greet.handler


def test_an_unknown_option_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(TypeError, match="no option 'dely'; choose from: delay, at, id"):
        greet.options(dely=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"no option of @job 'tiemout'; choose from: name, aliases, queue"):
        job(tiemout=5)  # type: ignore[call-overload]


def test_a_call_holds_checked_arguments() -> None:
    call = greet.call("ab", times=2)
    assert call == Call(greet, b'{"name":"ab","times":2}')


def test_a_call_refuses_wrong_arguments_by_the_jobs_name() -> None:
    @job(queue="video")
    async def paint(run: Run, scene: int) -> None: ...

    with pytest.raises(InvalidPayload, match="job video:paint: scene: is required"):
        paint.call()  # type: ignore[call-arg]
    with pytest.raises(InvalidPayload, match="job greet: name: Input should be a valid string"):
        greet.call(5)  # type: ignore[arg-type]


async def module_coroutine(run: Run) -> None: ...


def generator(run: Run) -> Any:
    yield 1


async def asynchronous_generator(run: Run) -> Any:
    yield 1


def no_run() -> None: ...


def CamelCase(run: Run) -> None: ...


def plain(run: Run) -> None: ...


def nested() -> Any:
    def inside(run: Run) -> None: ...

    return inside


def plain_wrapper(handler: Any) -> Any:
    @functools.wraps(handler)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return handler(*args, **kwargs)

    return wrapper


@contextlib.contextmanager
def span() -> Iterator[None]:
    yield


async def run_forgotten(name: str, x: int) -> None: ...


async def context_of_arq(ctx: dict[Any, Any], x: int) -> None: ...


async def run_quoted(name: "str | None", run: int) -> None: ...


def run_annotated(name: Annotated[list[int], "many"]) -> None: ...


@pytest.mark.parametrize(
    ("handler", "fields", "named"),
    [
        (module_coroutine, {"process": True}, "process=True needs a plain def at the top of a module"),
        (nested(), {"process": True}, "process=True needs a plain def at the top of a module"),
        (generator, {}, "a generator with yield cannot be a job"),
        (asynchronous_generator, {}, "a generator with yield cannot be a job"),
        (no_run, {}, "first parameter receives its run"),
        (plain_wrapper(module_coroutine), {}, "a plain function of its `async def`"),
        (plain_wrapper(plain_wrapper(module_coroutine)), {}, "a plain function of its `async def`"),
        (plain_wrapper(module_coroutine), {"process": True}, "a plain function of its `async def`"),
        (span()(module_coroutine), {}, "a plain function of its `async def`"),
        (contextlib.contextmanager(module_coroutine), {}, "a plain function of its `async def`"),  # type: ignore[arg-type]
        (contextlib.contextmanager(generator), {}, "an object whose body with `yield` would never run"),
        (contextlib.asynccontextmanager(asynchronous_generator), {}, "an object whose body with `yield`"),
        (functools.partial(module_coroutine), {}, "@job is for functions, not partial"),
        (functools.lru_cache(module_coroutine), {}, "@job is for functions, not _lru_cache_wrapper"),
        (run_forgotten, {}, "'name: str' cannot; add `run: Run` before it"),
        (context_of_arq, {}, "add `run: Run` before it"),
        (run_quoted, {}, "add `run: Run` before it"),
        (run_annotated, {}, "add `run: Run` before it"),
        (CamelCase, {}, "job name 'CamelCase' is not allowed"),
        (lambda run: None, {}, "job name '<lambda>' is not allowed"),
        (plain, {"name": ""}, "job name '' is not allowed"),
        (plain, {"queue": "Big"}, "queue name 'Big' is not allowed"),
        (plain, {"timeout": 0}, "timeout is 0"),
        (plain, {"max_attempts": 0}, "max_attempts is 0"),
        (plain, {"keep_result": -1}, "keep_result is -1"),
        (plain, {"keep_log": "no"}, "keep_log is 'no'; it is True or False"),
        (plain, {"backoff": 3}, "backoff is 3"),
        (plain, {"retry_on": ValueError}, "retry_on is .* tuple of exception classes"),
        (plain, {"give_up_on": ("ValueError",)}, "give_up_on is .* tuple of exception classes"),
        (functools.partial(plain), {}, "@job is for functions, not partial"),
        (type("Thing", (), {}), {}, "@job is for functions, not type"),
    ],
)
def test_a_handler_or_policy_that_cannot_be_is_refused_at_once(
    handler: Any, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=named):
        job(**fields)(handler)


class HasId(Protocol):
    @property
    def id(self) -> str: ...


@pytest.mark.parametrize(
    "annotation",
    [Run, Any, object, HasId, Run | None, Annotated[Run, "mine"], "Run", "Missing", inspect.Parameter.empty],
)
def test_what_may_be_a_run_is_taken_as_first_parameter(annotation: Any) -> None:
    async def handler(run, x: int): ...  # type: ignore[no-untyped-def]

    if annotation is not inspect.Parameter.empty:
        handler.__annotations__["run"] = annotation
    assert job(handler).payload.names == ("x",)


async def test_a_decorator_with_an_async_function_of_its_own_runs_the_handler(run: Run) -> None:
    @contextlib.asynccontextmanager
    async def around() -> AsyncIterator[None]:
        yield

    wrapped = job(around()(greet.handler))
    assert wrapped.kind == "async"
    assert await wrapped(run, "ab") == "ab"


def test_a_wrapped_handler_shows_the_place_of_the_original() -> None:
    def logged(handler: Any) -> Any:
        @functools.wraps(handler)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await handler(*args, **kwargs)

        return wrapper

    wrapped = job(logged(greet.handler))
    assert wrapped.source == greet.source
    assert wrapped.kind == "async"
    assert wrapped.payload.names == ("name", "times")


@pytest.mark.parametrize(
    ("aliases", "problem"),
    [
        ("old", r'aliases is \'old\'; it is a tuple of names: aliases=\("old_name",\)'),
        (("greet",), "aliases names one job twice, or the job itself"),
        (("old", "old"), "aliases names one job twice, or the job itself"),
        (("not a name",), "not a name"),
    ],
)
def test_aliases_that_cannot_be_are_refused_at_import(aliases: Any, problem: str) -> None:
    with pytest.raises((TypeError, ValueError), match=problem):

        @job(name="greet", aliases=aliases)
        async def renamed(run: Run) -> None: ...
