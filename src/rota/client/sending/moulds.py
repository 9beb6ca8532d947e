"""Moulds: what all enqueues of one job have in common, so that each of them works out nothing but what is its own."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from rota.model.job import Job, home_of, wire_options
from rota.model.options import UNCHANGED, EnqueueOptions
from rota.model.policies.terms import have_same_terms, terms_and_key
from rota.names import check_name, wire_id
from rota.wire import envelopes
from rota.wire.envelopes import HOME
from rota.wire.keys import check_queue


class Mould(NamedTuple):
    """The part of an enqueue that is the same of every enqueue of a job, or of a name, with its options.

    :param begun: the envelope before the arguments.
    :param ended: the envelope behind the time.
    :param own_id: the id that the options give it; None where each gets a new one.
    :param headers: those that the options give it.
    :param at_ms: the moment at which it may start, in milliseconds since 1970; -1 where none was given.
    :param delay_ms: the time before it may start.
    :param on_taken: the rule for an id, or a unique key, that is taken: refuse, existing, replace or debounce.
    :param home: the job's own queue, whichever it is enqueued on.
    :param terms: what the scripts must know of it beside the payload; None where the arguments count.
    :param rest: the values that the scripts take behind the payload, of a job without a tenant; None as `terms`.
    :param job: None where only the job's name is known.
    """

    queue: str
    task: str
    begun: bytes
    ended: bytes
    own_id: str | None
    headers: Mapping[str, str]
    at_ms: int
    delay_ms: int
    on_taken: str
    home: str
    terms: str | None
    rest: tuple[Any, ...] | None
    options: EnqueueOptions
    job: Job[Any, Any] | None


class Moulds:
    """The moulds of a client: made once for each job that the code declares.

    :param default_queue: the queue of jobs that name none.
    :param namespace: the first part of keys that belong to no single queue.
    """

    def __init__(self, default_queue: str, namespace: str) -> None:
        self._default_queue = default_queue
        self._namespace = namespace
        self._of_declared: dict[Job[Any, Any], Mould] = {}

    def of(self, job: Job[Any, Any]) -> Mould:
        """Return the mould of a job. Raises ValueError for a queue that cannot be."""
        mould = self._of_declared.get(job)
        if mould is None:
            mould = self._of(job)
            # A job with options is mostly made for one enqueue, and would be kept here for ever.
            if job.enqueue_options is UNCHANGED:
                self._of_declared[job] = mould
        return mould

    def of_name(self, name: str, options: EnqueueOptions) -> Mould:
        """Return the mould of `queue:name`, or of `name` on the default queue. Raises ValueError."""
        home, _, task = name.rpartition(":")
        home = check_queue(home or self._default_queue)
        check_name("job", task)
        marks = {} if (options.queue or home) == home else {HOME: home}
        known = (("p", options.priority), ("h", options.webhook))
        terms = " ".join(f"{letter}={value}" for letter, value in known if value)
        return _made(None, task, home, options, wire={**options.wire(), **marks}, terms=terms)

    def _of(self, job: Job[Any, Any]) -> Mould:
        home, options = check_queue(home_of(job, self._default_queue)), job.enqueue_options
        terms = None
        if have_same_terms(job):
            terms, _ = self.terms(job, options.queue or home, home, b"{}")
        wire = wire_options(job, self._default_queue)
        return _made(job, job.name, home, options, wire=wire, terms=terms)

    def terms(self, job: Job[Any, Any], queue: str, home: str, arguments: bytes) -> tuple[str, str]:
        """Return the terms and the unique key of a job with these arguments. Raises InvalidPayload."""
        priority = job.enqueue_options.priority
        return terms_and_key(job, queue, arguments, namespace=self._namespace, priority=priority, home=home)


def ready(queue: str, task: str, terms: str) -> Mould:
    """Return the mould of a job whose payload is written already, without options."""
    rest = (-1, 0, 0, task, terms, "", "refuse")
    return Mould(queue, task, b"", b"", None, {}, -1, 0, "refuse", queue, terms, rest, UNCHANGED, None)


def _made(
    job: Job[Any, Any] | None,
    task: str,
    home: str,
    options: EnqueueOptions,
    *,
    wire: Mapping[str, Any],
    terms: str | None,
) -> Mould:
    queue, unique = options.queue or home, job.unique if job else None
    delay = options.delay if options.delay is not None or unique is None else unique.delay
    at_ms = -1 if options.at is None else round(options.at.timestamp() * 1000)
    delay_ms = round((delay or 0) * 1000)
    on_taken = options.on_taken or (unique.on_taken if unique else "refuse")
    return Mould(
        queue,
        task,
        *envelopes.around(task, wire),
        None if options.id is None else wire_id(queue, options.id),
        options.headers,
        at_ms,
        delay_ms,
        on_taken,
        home,
        terms,
        None if terms is None else (at_ms, delay_ms, 0, task, terms, "", on_taken),
        options,
        job,
    )
