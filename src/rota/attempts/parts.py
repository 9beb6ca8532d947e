"""What a runner is made of: the policy of its queue, what its jobs get, and the stacks around them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rota.engine.execution import Execution
from rota.model.enqueueing import Clients
from rota.model.flows.batch import Batch
from rota.model.job import Job
from rota.model.run import Run
from rota.seams import Entry, Middleware, Subscriber
from rota.wire.claims import Claim
from rota.wire.sealing.seals import Sealer

#: Runs a handler that must not run on the event loop: (execution, run, job, arguments) → result. The result of a
#: `process=True` job is JSON already.
OffLoopCall = Callable[[Execution, Run, Job[Any, Any], Mapping[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """The names of one queue, and what it allows of its jobs.

    :param queue: the short name, as events and logs have it.
    :param queue_key: the key of the queue's sorted set, as arq's records have it.
    :param namespace: what rota's own keys begin with.
    :param max_lost: a job that was lost this often is dead.
    :param unknown_grace: how long a job waits for a worker that knows it, in seconds.
    :param unknown_delay: how long a worker leaves such a job to others, in seconds.
    :param keep_result: how long the record of a job without rules of its own is kept, in seconds.
    :param payload_limit: the largest checkpoint, in bytes of JSON.
    :param result_limit: the largest result, in bytes of JSON.
    :param sealer: opens payloads and seals records; None in a process without PAYLOAD_KEYS.
    """

    queue: str
    queue_key: str
    namespace: str
    max_lost: int
    unknown_grace: float
    unknown_delay: float
    keep_result: float
    payload_limit: int
    result_limit: int
    sealer: Sealer | None = None


class Inputs(Protocol):
    """The source of what flows give to their jobs. Its methods may raise signals."""

    async def input(self, job_id: str) -> bytes:
        """Return the input of a stage's job, as JSON."""

    async def batch(self, job_id: str) -> Batch:
        """Return the batch that calls a job back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The things that a worker gives to the jobs that it runs.

    :param deps: what handlers get as `run.deps`.
    :param report: takes the progress of a running job: claim, job's name, percent, message.
    :param off_loop: runs the handlers that must not run on the event loop.
    :param inputs: fetches what a flow gives to its jobs; None in a worker that serves no flows.
    :param clients: returns the clients with which handlers enqueue; None in their place where nothing can be enqueued.
    """

    deps: Any
    report: Callable[[Claim, str, float, str], None]
    off_loop: OffLoopCall
    inputs: Inputs | None = None
    clients: Callable[[], Clients | None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacks:
    """The middleware and the subscribers of a worker.

    :param entries: called with each run at its beginning, in the context of its attempt.
    :param tracers: around the middleware and the encoding of the result, outermost first.
    :param middleware: around every handler, outermost first.
    :param subscribers: told of every event.
    """

    entries: tuple[Entry, ...] = ()
    tracers: tuple[Middleware, ...] = ()
    middleware: tuple[Middleware, ...] = ()
    subscribers: tuple[Subscriber, ...] = ()
