"""What a handler holds while it runs: which job it is, what it may use, and how it says how far it is."""

import logging
import math
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn, ParamSpec, TypedDict, TypeVar, Unpack

from rota.model.checkpoint import encode
from rota.model.enqueueing import (
    OFFERED,
    OFFERED_SYNC,
    Clients,
    Enqueueable,
    Enqueuer,
    SyncEnqueueable,
    SyncEnqueuer,
)
from rota.model.flows.batch import Batch
from rota.model.trace import log_fields, tenant_of
from rota.names import full_name

P = ParamSpec("P")
H_co = TypeVar("H_co", covariant=True)

_LOGGER = logging.getLogger("jobs")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_MESSAGE_LIMIT = 500
_CHECKPOINT_LIMIT = 262_144


class RunFacts(NamedTuple):
    """The facts of an attempt, known when it starts; `Run` says what each of them means.

    Every fact is a JSON value, so that a child process gets the same facts as its worker has.
    """

    id: str
    job: str
    queue: str
    attempt: int = 1
    max_attempts: int = 1
    enqueued_ms: int = 0
    headers: Mapping[str, str] = _NO_HEADERS
    snoozes: int = 0
    waited: float = 0.0
    last_checkpoint: Any = None
    checkpoint_limit: int = _CHECKPOINT_LIMIT

    def wire(self) -> dict[str, Any]:
        """Return the facts as a JSON object, from which `RunFacts(**fields)` makes them again."""
        return {**self._asdict(), "headers": dict(self.headers)}


class NamedFacts(TypedDict, total=False):
    """The facts as a handler's own test gives them by name, for the type checker: `id`, `job` and `queue` at least."""

    id: str
    job: str
    queue: str
    attempt: int
    max_attempts: int
    enqueued_ms: int
    headers: Mapping[str, str]
    snoozes: int
    waited: float
    last_checkpoint: Any
    checkpoint_limit: int


class Run:
    """One attempt of a job, as its handler sees it.

    The facts, which came with the job or with this claim of it, cannot be changed.

    Beside them, `deps` is what the jobs package's lifespan yielded, None in a child process. `batch` is the batch that
    called this job back, if one did. `payload` is the job as it lay in Redis, empty in a child process. `cancelled`
    turns true when the attempt is to end early: a plain function in a thread should look at it now and then, since a
    thread cannot be stopped from outside.
    """

    __slots__ = (
        "_clients",
        "_keep",
        "_log_fields",
        "_report",
        "_stopped_by",
        "batch",
        "cancelled",
        "deps",
        "facts",
        "payload",
    )

    def __init__(
        self,
        facts: RunFacts | None = None,
        *,
        deps: Any = None,
        batch: Batch | None = None,
        payload: bytes = b"",
        report: Callable[[float, str], None] | None = None,
        keep: Callable[[bytes], None] | None = None,
        stopped_by: Callable[[], str | None] | None = None,
        clients: Clients | None = None,
        **named: Unpack[NamedFacts],
    ) -> None:
        """Make a run of its facts, or of `id`, `job`, `queue` and others by name, as a handler's own test does.

        :param report: takes the handler's progress: percent and message.
        :param keep: takes a checkpoint that the handler saves, as JSON.
        :param stopped_by: says why the attempt was told to end; None while it was not.
        :param clients: enqueue what the handler enqueues; None where there are none, as in a child process.
        """
        #: The facts of this run, as a child process gets them.
        self.facts = facts or RunFacts(**named)
        self.deps = deps
        self.batch = batch
        self.payload = payload
        self.cancelled = False
        self._log_fields: dict[str, Any] | None = None
        self._report = report
        self._keep = keep
        self._stopped_by = stopped_by
        self._clients = clients

    @property
    def id(self) -> str:
        """The id of the job."""
        return self.facts.id

    @property
    def job(self) -> str:
        """The short name of the job."""
        return self.facts.job

    @property
    def queue(self) -> str:
        """The name of the job's queue."""
        return self.facts.queue

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self.facts.attempt

    @property
    def max_attempts(self) -> int:
        """The most attempts that the job has."""
        return self.facts.max_attempts

    @property
    def enqueued_ms(self) -> int:
        """When the job was enqueued, in milliseconds, by the enqueuer's clock."""
        return self.facts.enqueued_ms

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that came with the job."""
        return self.facts.headers

    @property
    def snoozes(self) -> int:
        """How often this job has put itself off."""
        return self.facts.snoozes

    @property
    def waited(self) -> float:
        """How long the job was due before this attempt began, in seconds."""
        return self.facts.waited

    @property
    def last_checkpoint(self) -> Any:
        """The state that an earlier attempt saved last; None if there is none."""
        return self.facts.last_checkpoint

    @property
    def checkpoint_limit(self) -> int:
        """The most bytes of JSON that may be saved."""
        return self.facts.checkpoint_limit

    @property
    def enqueued_at(self) -> datetime:
        """When the job was enqueued, in UTC, by the enqueuer's clock."""
        return datetime.fromtimestamp(self.enqueued_ms / 1000, UTC)

    @property
    def tenant(self) -> str | None:
        """The tenant that the job belongs to, and the jobs that it enqueues; None for a job of no tenant."""
        return tenant_of(self.headers)

    @property
    def stopped_by(self) -> str:
        """Why the attempt was told to end: timeout, cancel, shutdown or lease_lost. Empty while it was not."""
        return (self._stopped_by() if self._stopped_by else None) or ""

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry the job's id, name, queue and attempt, and its trace and tenant."""
        return _JobLog(_LOGGER, self.log_fields)

    @property
    def log_fields(self) -> Mapping[str, Any]:
        """The fields of every line that is logged within this attempt: id, name, queue, attempt, trace and tenant."""
        if self._log_fields is None:
            self._log_fields = {
                "job_id": self.id,
                "job": full_name(self.queue, self.job),
                "queue": self.queue,
                "attempt": self.attempt,
                **log_fields(self.headers),
            }
        return self._log_fields

    async def enqueue(self, job: Enqueueable[P, H_co], /, *args: P.args, **kwargs: P.kwargs) -> H_co:
        """Enqueue another job, or a pipeline, over the worker's connections; it gets this job's headers and trace.

            await run.enqueue(send_receipt.options(delay=60), order="o-7")

        The arguments, the handle and the errors are those of `Client.enqueue`. Raises RuntimeError where there is no
        worker behind the run, as in a child process.
        """
        return await self._of_worker(job).on_loop.enqueue(job, *args, **kwargs)

    def enqueue_sync(self, job: SyncEnqueueable[P, H_co], /, *args: P.args, **kwargs: P.kwargs) -> H_co:
        """Enqueue as `enqueue` does, from a handler that is a plain function; its thread waits for Redis.

        Raises RuntimeError on the event loop, which would stand still meanwhile, and in a child process.
        """
        return self._of_worker(job).blocking.enqueue(job, *args, **kwargs)

    def _of_worker(self, job: object) -> Clients:
        if self._clients is None:
            name = getattr(job, "name", "a job")
            raise RuntimeError(
                f"there is no worker behind this run to enqueue {name} with; a handler in a child process enqueues "
                "with rota.connect_sync(), a test that calls the handler itself uses bench.run"
            )
        return self._clients

    def progress(self, percent: float, message: str = "") -> None:
        """Report how far the job is, from 0 to 100 (a number outside counts as 0 or 100), with a short message.

        Cheap, and the same in a coroutine, a thread and a process: reports are gathered and written together.
        Raises ValueError for a percentage that is not a number, TypeError for a message that is not text.
        """
        if isinstance(percent, bool) or not isinstance(percent, int | float) or math.isnan(percent):
            raise ValueError(f"progress is {type(percent).__name__}; it is a number from 0 to 100")
        if not isinstance(message, str):
            raise TypeError(f"a progress message is text, not {type(message).__name__}")
        if self._report is not None:
            self._report(min(max(float(percent), 0.0), 100.0), message[:_MESSAGE_LIMIT])
        # To type checkers it is None: they complain of an await themselves.
        return _PROGRESS  # type: ignore[return-value]

    def checkpoint(self, state: Any) -> None:
        """Save how far the job is: if this attempt does not complete it, the next has `state` as `last_checkpoint`.

        `state` is any JSON value, a dataclass or a pydantic model, and comes back as the JSON value that it was at this
        call. The latest wins; after None the next attempt starts from the beginning. Cheap, and the same in a
        coroutine, a thread and a process: the state is written every half second, and when the attempt ends. Only a
        process that dies at once, as by kill -9, loses what it saved since the last write.

        Raises TypeError for what JSON cannot carry, CheckpointTooLarge.
        """
        raw = encode(state, self.checkpoint_limit)
        if self._keep is not None:
            self._keep(raw)
        return _CHECKPOINT  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"<Run {self.queue}:{self.job} {self.id} attempt {self.attempt} of {self.max_attempts}>"


_CURRENT: ContextVar[Run | None] = ContextVar("run", default=None)


def enter(run: Run) -> None:
    """Let what this context does from now on be done within `run`."""
    _CURRENT.set(run)


def current_run() -> Run | None:
    """Return the attempt that this code is part of, by its context: its coroutines, tasks and threads have it."""
    return _CURRENT.get()


def enqueuer(name: str) -> Enqueuer:
    """Return what enqueues the job `name` here: the attempt, or else the application's client. Raises RuntimeError."""
    run = _CURRENT.get()
    return OFFERED.latest(name) if run is None or run._clients is None else run._clients.on_loop


def sync_enqueuer(name: str) -> SyncEnqueuer:
    """Return what enqueues the job `name` where no event loop runs, as `enqueuer` does. Raises RuntimeError."""
    run = _CURRENT.get()
    return OFFERED_SYNC.latest(name) if run is None or run._clients is None else run._clients.blocking


class _Done:
    """The result of a call that is done at once: awaited all the same, it says how to write the call."""

    __slots__ = ("_call",)

    def __init__(self, call: str) -> None:
        self._call = call

    def __await__(self) -> NoReturn:
        raise TypeError(f"{self._call} is done at once and cannot be awaited; write it without `await`")


_PROGRESS, _CHECKPOINT = _Done("run.progress(...)"), _Done("run.checkpoint(...)")


class _JobLog(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds the job's fields to those that the call itself passes in `extra`."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the job's fields. A field of the call with the same name is kept beside it, as `<name>_`."""
        own, given = self.extra or {}, kwargs.get("extra") or {}
        kwargs["extra"] = {f"{name}_" if name in own else name: value for name, value in given.items()} | {
            **own
        }
        return msg, kwargs
