"""Drafts: jobs that are ready to be sent, with their arguments checked and encoded."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import to_json

from rota.errors import InvalidPayload, PayloadTooLarge
from rota.model.job import Job, home_of, wire_options
from rota.model.options import EnqueueOptions
from rota.model.policies.terms import of_tenant, terms_and_key
from rota.model.trace import tenant_of
from rota.names import check_name, full_name, new_id, wire_id
from rota.process.clock import Clock
from rota.seams import Outgoing
from rota.settings.settings import Settings
from rota.wire import envelopes
from rota.wire.envelopes import HOME
from rota.wire.keys import check_queue
from rota.wire.sealing.sealed import seal_job

_checked = lru_cache(maxsize=1024)(check_queue)


class Draft(NamedTuple):
    """A job ready to be sent.

    :param payload: its envelope, without headers.
    :param terms: what the scripts must know of it beside the payload.
    :param unique: the value of its unique key; empty without one.
    :param job: None where only the job's name is known.
    """

    queue: str
    task: str
    payload: bytes
    terms: str
    unique: str
    options: EnqueueOptions
    job: Job[Any, Any] | None

    @property
    def outgoing(self) -> Outgoing:
        """The job as senders see it, under the id that it will have."""
        own = self.options.id
        job_id = new_id() if own is None else wire_id(self.queue, own)
        headers, declared = self.options.headers, self.job is not None
        return Outgoing(self.queue, self.task, job_id, self.payload, headers, declared)

    def terms_of(self, job: Outgoing) -> tuple[str, str]:
        """Return the terms, and the value of the unique key, once the senders have said whose job it is."""
        return of_tenant(self.terms, self.unique, tenant_of(job.headers))

    @property
    def on_taken(self) -> str:
        """The rule for an id, or a unique key, that is taken: refuse, existing, replace or debounce."""
        unique = self.job.unique if self.job else None
        return self.options.on_taken or (unique.on_taken if unique else "refuse")

    @property
    def delay_ms(self) -> int:
        """The time before it may start, in milliseconds."""
        unique = self.job.unique if self.job else None
        own = self.options.delay
        delay = own if own is not None or unique is None else unique.delay
        return round((delay or 0) * 1000)

    @property
    def at_ms(self) -> int:
        """The moment at which it may start, in milliseconds since 1970; -1 where none was given."""
        at: datetime | None = self.options.at
        return -1 if at is None else round(at.timestamp() * 1000)


class Drafter:
    """Makes drafts.

    :param settings: namespace, default queue and payload limit.
    :param clock: the time at which jobs are enqueued.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._namespace = settings.namespace
        self._default_queue = settings.default_queue
        self._payload_limit = settings.payload_limit
        self._clock = clock
        self._sealer = settings.sealer

    def draft(self, job: Job[Any, Any], arguments: bytes) -> Draft:
        """Return a draft of a job with its arguments (JSON). Raises PayloadTooLarge, InvalidPayload."""
        home, options = _checked(home_of(job, self._default_queue)), job.enqueue_options
        queue = options.queue or home
        payload = self._payload(queue, job.name, arguments, wire_options(job, self._default_queue))
        terms, unique = terms_and_key(
            job, queue, arguments, namespace=self._namespace, priority=options.priority, home=home
        )
        return Draft(queue, job.name, payload, terms, unique, options, job)

    def draft_by_name(self, name: str, payload: Mapping[str, Any] | None, options: EnqueueOptions) -> Draft:
        """Return a draft of a job of which only `queue:name`, or `name` on the default queue, is known.

        Raises PayloadTooLarge, InvalidPayload, ValueError for an impossible name, TypeError for a payload by position.
        """
        home, _, task = name.rpartition(":")
        home = check_queue(home or self._default_queue)
        check_name("job", task)
        arguments = _arguments(name, task, payload)
        queue = options.queue or home
        marks = {} if queue == home else {HOME: home}
        known = (("p", options.priority), ("h", options.webhook))
        terms = " ".join(f"{letter}={value}" for letter, value in known if value)
        encoded = self._payload(queue, task, arguments, {**options.wire(), **marks})
        return Draft(queue, task, encoded, terms, "", options, None)

    def _payload(self, queue: str, task: str, arguments: bytes, options: Mapping[str, Any]) -> bytes:
        payload = envelopes.encode_job(task, arguments, enqueued_ms=self._clock.time_ms(), options=options)
        if len(payload) > self._payload_limit:
            raise PayloadTooLarge(full_name(queue, task), len(payload), self._payload_limit)
        return payload

    @property
    def seals(self) -> bool:
        """Whether payloads are signed."""
        return self._sealer is not None and self._sealer.signs

    def sealed(self, draft: Draft, job: Outgoing) -> bytes:
        """Return the payload of a draft as it is sent: with the headers that its senders have added, and a seal."""
        payload = envelopes.with_headers(job.payload, job.headers)
        if self._sealer is None:
            return payload
        return seal_job(self._sealer, payload, queue=draft.queue, job_id=job.id)


def _arguments(name: str, task: str, payload: Mapping[str, Any] | None) -> bytes:
    """Return the arguments of a job whose types are not known, as JSON. Raises InvalidPayload, TypeError."""
    if payload is not None and not isinstance(payload, Mapping):
        raise TypeError(
            f'the payload of {name} is {type(payload).__name__}; give arguments by name: {{"to": "ann"}}'
        )
    try:
        # Bytes and infinities as typed jobs write them, whose types read them.
        return to_json(dict(payload or {}), bytes_mode="base64", inf_nan_mode="strings")
    except ValueError as error:
        raise InvalidPayload(task, {"": "cannot travel as JSON"}) from error
