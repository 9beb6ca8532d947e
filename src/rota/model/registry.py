"""Finds the jobs of a package: imports every module and looks at what it defines, so nothing is registered."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple, TypeVar

from rota.errors import DiscoveryFailed, InvalidPayload, JobClash, ScheduleClash, UnknownJob, UnknownQueue
from rota.errors.traces import place_of
from rota.model.job import Job
from rota.model.options import EnqueueOptions
from rota.model.schedules.schedule import Schedule
from rota.names import check_name, full_name

Lifespan = Callable[[], AbstractAsyncContextManager[Any]]
AnyJob = Job[Any, Any]
T = TypeVar("T")
R = TypeVar("R")


class Hooks(NamedTuple):
    """The code of a jobs package around its jobs; `rota.seams` says what each kind is."""

    middleware: tuple[Callable[..., Any], ...] = ()
    subscribers: tuple[Callable[..., Any], ...] = ()
    senders: tuple[Any, ...] = ()


NO_HOOKS = Hooks()

#: The longest name of a schedule: its ticks have it in their ids.
LONGEST_SCHEDULE = 150


class Scheduled(NamedTuple):
    """A schedule with the job that it runs, and the name by which it is known."""

    name: str
    job: AnyJob
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Registry:
    """The jobs of one package, the lifespan of what they depend on, and the code around all of them.

    Jobs that name no queue belong to `default_queue`. `lifespan` is None when the package has none.
    """

    jobs: tuple[AnyJob, ...]
    default_queue: str
    lifespan: Lifespan | None
    _by_queue: Mapping[str, Mapping[str, AnyJob]]
    hooks: Hooks = NO_HOOKS
    # Made once, as the API looks for a job by each of a thousand names in one request.
    _by_any_name: Mapping[str, Mapping[str, AnyJob]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_any_name = {
            queue: MappingProxyType({name: job for job in jobs.values() for name in job.names})
            for queue, jobs in self._by_queue.items()
        }
        object.__setattr__(self, "_by_any_name", MappingProxyType(by_any_name))

    @property
    def schedules(self) -> tuple[Scheduled, ...]:
        """Every schedule of the jobs, with its name."""
        return tuple(one for job in self.jobs for one in schedules_of(job, self.default_queue))

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that jobs belong to, sorted."""
        return tuple(sorted(self._by_queue))

    @property
    def full_names(self) -> tuple[str, ...]:
        """Every job's `queue:name`, sorted."""
        return tuple(sorted(self.full_name(job) for job in self.jobs))

    def queue_of(self, job: AnyJob) -> str:
        """Return the queue that `job` belongs to."""
        return job.queue or self.default_queue

    def full_name(self, job: AnyJob) -> str:
        return full_name(self.queue_of(job), job.name)

    def for_queue(self, queue: str) -> Mapping[str, AnyJob]:
        """Return the jobs of `queue` by short name. Raises UnknownQueue."""
        if queue not in self._by_queue:
            raise UnknownQueue(queue, self.queues)
        return self._by_queue[queue]

    def by_any_name(self, queue: str) -> Mapping[str, AnyJob]:
        """Return the jobs of `queue` by each name that a payload may have for them; none for an unknown queue."""
        return self._by_any_name.get(queue, {})

    def find(self, name: str) -> AnyJob:
        """Return the job named `queue:name`, or `name` if one queue alone has it, now or before. Raises UnknownJob."""
        queue, colon, short = name.rpartition(":")
        named = self._by_any_name.items()
        found = [jobs[short] for key, jobs in named if short in jobs and queue in (key, "")]
        if len(found) == 1 and bool(queue) == bool(colon):
            return found[0]
        raise UnknownJob(name, self.full_names)


def schedules_of(job: AnyJob, default_queue: str) -> list[Scheduled]:
    """Return the schedules of a job. Those without a name get the job's full name, from the second on with a number."""
    name = full_name(job.queue or default_queue, job.first_name)
    numbered = [name if number == 1 else f"{name}-{number}" for number in range(1, len(job.schedules) + 1)]
    return [
        Scheduled(one.name or given, job, one) for one, given in zip(job.schedules, numbered, strict=True)
    ]


#: Told why something of a package cannot be collected.
OnFailure = Callable[[DiscoveryFailed | JobClash | ScheduleClash], None]


def discover(
    package: str, default_queue: str = "default", *, on_failure: OnFailure | None = None
) -> Registry:
    """Import every module under `package` and collect the jobs that they define.

    Raises DiscoveryFailed for a module that cannot be imported, JobClash for two handlers of one name on one
    queue, ScheduleClash for two schedules of one name, ValueError for a default queue's name that is not allowed. With
    `on_failure` the first three are given to it instead, and what they are about is passed over.
    """
    check_name("queue", default_queue)
    collecting = _Collecting(default_queue, on_failure)
    collecting.take(package)
    return collecting.registry()


class _Collecting:
    """The jobs of a package while its modules are looked at."""

    def __init__(self, default_queue: str, on_failure: OnFailure | None) -> None:
        self._default_queue = default_queue
        self._on_failure = on_failure
        self._by_queue: dict[str, dict[str, AnyJob]] = {}
        self._lifespan: Lifespan | None = None
        self._hooks = NO_HOOKS
        self._schedules: dict[str, str] = {}

    def take(self, package: str) -> None:
        """Collect the jobs of all modules under a package, and its lifespan."""
        root = self._tried(imported, package)
        if root is None:
            return
        self._take_jobs(root)
        self._lifespan = self._tried(_lifespan, root)
        self._hooks = self._tried(_hooks, root) or NO_HOOKS
        for jobs in self._by_queue.values():
            for job in jobs.values():
                self._tried(self._check_aliases, job)
                self._tried(_resolve, job)
                self._tried(self._check_schedules, job)

    def registry(self) -> Registry:
        """Return the jobs that were collected, by queue."""
        jobs = tuple(job for queue in self._by_queue.values() for job in queue.values())
        frozen = {queue: MappingProxyType(jobs) for queue, jobs in self._by_queue.items()}
        return Registry(jobs, self._default_queue, self._lifespan, MappingProxyType(frozen), self._hooks)

    def _take_jobs(self, module: ModuleType) -> None:
        for job in _jobs_in(module):
            self._tried(self._add, job)
        for name in sorted(_names_under(module)):
            # Importing a __main__ would start a program.
            if name.rpartition(".")[2] != "__main__" and (inner := self._tried(imported, name)):
                self._take_jobs(inner)

    def _add(self, job: AnyJob) -> None:
        queue = job.queue or self._default_queue
        jobs = self._by_queue.setdefault(queue, {})
        known = jobs.setdefault(job.name, job)
        if known.handler is not job.handler:
            raise JobClash(full_name(queue, job.name), known.source, job.source)
        if job.enqueue_options == EnqueueOptions() and (job.schedules or not known.schedules):
            # The job itself is preferred to a copy that options() made, and the one that @every made to another.
            jobs[job.name] = job

    def _check_aliases(self, job: AnyJob) -> None:
        queue = job.queue or self._default_queue
        for other in self._by_queue[queue].values():
            for name in other.names:
                if other is not job and name in job.aliases:
                    raise JobClash(full_name(queue, name), other.source, job.source)

    def _check_schedules(self, job: AnyJob) -> None:
        for name, _, schedule in schedules_of(job, self._default_queue):
            if name in self._schedules:
                raise ScheduleClash(name, self._schedules[name], job.source)
            self._schedules[name] = job.source
            if len(name) > LONGEST_SCHEDULE:
                reason = f"the schedule name {name!r} is longer than {LONGEST_SCHEDULE} characters; give another name="
                raise DiscoveryFailed(job.handler.__module__, reason)
            try:
                job.payload.bind((), schedule.arguments)
            except InvalidPayload as error:
                raise DiscoveryFailed(
                    job.handler.__module__, f"@every of the job {job.name}: {error}"
                ) from None

    def _tried(self, step: Callable[[T], R], of: T) -> R | None:
        try:
            return step(of)
        except (DiscoveryFailed, JobClash, ScheduleClash) as error:
            if self._on_failure is None:
                raise
            self._on_failure(error)
            return None


def _names_under(package: ModuleType) -> set[str]:
    paths = list(getattr(package, "__path__", ()))
    names = {module.name for module in pkgutil.iter_modules(paths, f"{package.__name__}.")}
    # A folder without __init__.py is a package too, which pkgutil does not list.
    folders = (entry for path in paths if Path(path).is_dir() for entry in Path(path).iterdir())
    names.update(f"{package.__name__}.{folder.name}" for folder in folders if _holds_modules(folder))
    return names


def _holds_modules(folder: Path) -> bool:
    return folder.is_dir() and folder.name.isidentifier() and any(folder.rglob("*.py"))


def imported(name: str) -> ModuleType:
    """Import a module of the user's. Raises DiscoveryFailed with the place where its import failed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise DiscoveryFailed(name, "there is no such package on the Python path") from None
        raise DiscoveryFailed(name, _said_of(error)) from error
    # SystemExit too: a script among the jobs must not end the boot silently.
    except (Exception, SystemExit) as error:
        raise DiscoveryFailed(name, _said_of(error)) from error


def _said_of(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        place, text = f"{error.filename}:{error.lineno}", error.msg
    else:
        place, text = place_of(error), str(error)
    where = f" at {place}" if place else ""
    return f"its import failed{where} with {type(error).__name__}: {text}"


def _jobs_in(module: ModuleType) -> list[AnyJob]:
    return [value for value in vars(module).values() if isinstance(value, Job)]


def _resolve(job: AnyJob) -> None:
    try:
        job.payload.resolve()
        job.result.resolve()
    except TypeError as error:
        raise DiscoveryFailed(job.handler.__module__, str(error)) from error


def _declared(package: ModuleType, name: str) -> Any:
    value = getattr(package, name, None)
    # The import of jobs/lifespan.py has set the package's attribute `lifespan` to the module.
    return getattr(value, name, None) if isinstance(value, ModuleType) else value


def _hooks(package: ModuleType) -> Hooks:
    return Hooks(
        _around(package, "middleware", "an async def (run, call_next)", 2),
        _around(package, "subscribers", "a plain function (event)", 1),
        _around(package, "senders", "a context manager (jobs)", 1),
    )


def _around(package: ModuleType, name: str, what: str, takes: int) -> tuple[Callable[..., Any], ...]:
    """Return the list `name` of a package. Raises DiscoveryFailed for what is none, or holds something else."""
    found = _declared(package, name)
    if found is None:
        return ()
    if not isinstance(found, list | tuple):
        raise DiscoveryFailed(
            package.__name__, f"its {name} is {type(found).__name__}; it is a list: [{what}, …]"
        )
    for one in found:
        if callable(getattr(one, "created", None)):
            continue  # a sender that is only told
        if not callable(one) or not _takes(one, takes) or (takes == 1 and inspect.iscoroutinefunction(one)):
            shown = getattr(one, "__qualname__", None) or type(one).__qualname__
            raise DiscoveryFailed(package.__name__, f"{shown} in its {name} does not fit; each is {what}")
    return tuple(found)


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Tell whether a function can be called with this number of arguments; one that does not say it can."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        pass
    return True


def _lifespan(package: ModuleType) -> Lifespan | None:
    lifespan: Lifespan | None = _declared(package, "lifespan")
    if lifespan is not None and not callable(lifespan):
        raise DiscoveryFailed(
            package.__name__, "its lifespan is not a function; decorate one with asynccontextmanager"
        )
    for is_bare in (inspect.isasyncgenfunction, inspect.isgeneratorfunction, inspect.iscoroutinefunction):
        if lifespan is not None and is_bare(lifespan):
            code = lifespan.__code__
            raise DiscoveryFailed(
                package.__name__,
                f"its lifespan at {code.co_filename}:{code.co_firstlineno} is a bare function; decorate it with"
                " @contextlib.asynccontextmanager",
            )
    return lifespan
